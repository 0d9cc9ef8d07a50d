//! poem: answers each request with the worker's slot and the request's body.

use std::io;

use poem::{
    Route, Server, handler,
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};

#[cluster::main(workers = 2, respawn)]
async fn main() -> io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    Server::new_with_acceptor(Connections(listener))
        .run_with_graceful_shutdown(Route::new().at("/", answer), cluster::draining(), None)
        .await
}

#[handler]
async fn answer(body: String) -> String {
    format!("worker {}: {body}", cluster::worker().slot())
}

struct Connections(cluster::TcpListener);

impl Acceptor for Connections {
    type Io = cluster::TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr().map(|addr| LocalAddr(addr.into())).into_iter().collect()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, peer) = self.0.accept().await?;
        let local = stream.local_addr()?;
        Ok((stream, LocalAddr(local.into()), RemoteAddr(peer.into()), Scheme::HTTP))
    }
}
