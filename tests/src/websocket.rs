//! A WebSocket client that blocks, with a deadline for every read.

use std::net::TcpStream;

use tungstenite::WebSocket;

use crate::DEADLINE;

/// Connects to a `ws://` URL.
///
/// # Panics
/// If the other side refuses.
pub fn connect(url: &str) -> WebSocket<TcpStream> {
    try_connect(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Connects to a `ws://` URL, whose host is an address with a port.
///
/// # Errors
/// What the other side answered instead.
///
/// # Panics
/// If there is no such address.
pub fn try_connect(url: &str) -> Result<WebSocket<TcpStream>, Box<tungstenite::Error>> {
    let (_, rest) = url.split_once("://").expect("a URL");
    let address = rest.split('/').next().expect("an address");
    let stream = TcpStream::connect(address).map_err(|e| Box::new(e.into()))?;
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    match tungstenite::client(url, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
        Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("{url}: no answer"),
    }
}
