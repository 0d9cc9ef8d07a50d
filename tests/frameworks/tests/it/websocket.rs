//! WebSockets. An exchange under way is a socket on which the server then says that it goes away.

use std::{error::Error, net::SocketAddr};

use cluster_tests::{Running, client::Outcome, fixture};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::promises::{self, Client};

#[derive(Clone)]
struct WebSocket;

type Socket = WebSocketStream<TcpStream>;

async fn connect(address: SocketAddr) -> Result<Socket, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (socket, _answer) = client_async(format!("ws://{address}/"), stream).await?;
    Ok(socket)
}

/// Sends a text and reads what comes: the answer, or that the server goes away.
async fn say(socket: &mut Socket, text: &str) -> Result<String, Box<dyn Error>> {
    socket.send(text.to_owned().into()).await?;
    match socket.next().await.ok_or("the end, and no answer")?? {
        Message::Text(answer) => Ok(answer.as_str().to_owned()),
        Message::Close(Some(frame)) if frame.code == CloseCode::Away => Ok("goes away".to_owned()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Reads to the end, which has to be clean.
async fn read_to_end(socket: &mut Socket) -> Result<Vec<Message>, Box<dyn Error>> {
    let mut rest = Vec::new();
    while let Some(message) = socket.next().await {
        rest.push(message?);
    }
    Ok(rest)
}

impl Client for WebSocket {
    type Address = SocketAddr;
    type Talk = (Runtime, Socket);

    fn address(program: &Running) -> SocketAddr {
        program.address()
    }

    fn ask(&self, &address: &SocketAddr) -> Outcome {
        let said = promises::run(async {
            let mut socket = connect(address).await?;
            let answer = say(&mut socket, "hello").await?;
            socket.close(None).await?;
            read_to_end(&mut socket).await?;
            Ok(answer)
        });
        said.map_or_else(|outcome| outcome, Outcome::Answered)
    }

    fn begin(&self, &address: &SocketAddr) -> (Runtime, Socket) {
        let runtime = promises::runtime();
        let socket = runtime.block_on(async {
            let mut socket = connect(address).await.expect("a connection");
            let answer = say(&mut socket, "hello").await.expect("an answer");
            assert!(answer.ends_with(": hello"), "{answer}");
            socket
        });
        (runtime, socket)
    }

    fn finish(&self, (runtime, mut socket): (Runtime, Socket)) {
        let rest = runtime.block_on(read_to_end(&mut socket)).expect("a clean end");
        let [Message::Close(Some(frame))] = &rest[..] else { panic!("{rest:?}") };
        assert_eq!(frame.code, CloseCode::Away);
    }
}

#[test]
fn tungstenite_keeps_every_promise() {
    promises::are_kept(fixture!("with_tungstenite"), &[], &WebSocket);
}
