//! What a fixture program without axum answers with: one request, one answer, the end.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads a request to the end of its head.
///
/// # Errors
/// Those of the stream; `UnexpectedEof` if it ends before.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(request)
}

/// Writes an answer with `body`, and ends the stream.
///
/// # Errors
/// Those of the stream.
pub async fn write_answer(stream: &mut (impl AsyncWrite + Unpin), body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads a request and answers it with `body`.
///
/// # Errors
/// Those of the stream.
pub async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    body: &str,
) -> io::Result<()> {
    read_request(stream).await?;
    write_answer(stream, body).await
}
