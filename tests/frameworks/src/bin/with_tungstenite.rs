//! tokio-tungstenite: answers each text with the worker's slot and the text; closes when it drains.

use std::pin::pin;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    accept_async,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let mut incoming = pin!(listener.incoming());
    // Ends when this worker drains; the worker ends when its last connection has, too.
    while let Some(stream) = incoming.next().await {
        let Ok(stream) = stream else { continue };
        tokio::spawn(echo(stream));
    }
    Ok(())
}

async fn echo(stream: cluster::TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    let mut draining = cluster::draining();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let slot = cluster::worker().slot();
                    socket.send(format!("worker {slot}: {text}").into()).await?;
                }
                Some(message) => drop(message?),
                None => return Ok(()),
            },
            () = &mut draining => break,
        }
    }
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "drain".into() })).await?;
    // Until the client has answered it: to close before would be a reset.
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}
