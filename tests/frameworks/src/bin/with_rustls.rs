//! tokio-rustls: answers each line with the worker's slot and the line, over TLS.
//!
//! Takes the files of a certificate and its key, as PEM.

use std::{error::Error, io, pin::pin, sync::Arc};

use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

#[cluster::main(workers = 2, respawn)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (certificate, key) = (std::env::args().nth(1), std::env::args().nth(2));
    let certificate = CertificateDer::from_pem_file(certificate.ok_or("no certificate")?)?;
    let key = PrivateKeyDer::from_pem_file(key.ok_or("no key")?)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key)?));

    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let mut incoming = pin!(listener.incoming());
    // Ends when this worker drains; the worker ends when its last connection has, too.
    while let Some(stream) = incoming.next().await {
        let Ok(stream) = stream else { continue };
        tokio::spawn(echo(tls.clone(), stream));
    }
    Ok(())
}

async fn echo(tls: TlsAcceptor, stream: cluster::TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(tls.accept(stream).await?);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = format!("worker {}: {line}", cluster::worker().slot());
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        line.clear();
    }
    // Says that this is the end, so that the client can tell it from a broken connection.
    stream.shutdown().await
}
