//! tonic: answers each message with the worker's slot and the message. With a path as its argument it listens
//! there.

use std::pin::Pin;

use cluster_frameworks::grpc::echo_server::{Echo, EchoServer};
use futures_util::{Stream, TryStreamExt};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::UdsConnectInfo},
};

#[cluster::main(workers = 2, respawn)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Server::builder().add_service(EchoServer::new(Answers));
    if let Some(path) = std::env::args().nth(1) {
        let listener = cluster::UnixListener::bind(path).await?;
        router.serve_with_incoming_shutdown(listener.incoming(), cluster::draining()).await?;
        return Ok(());
    }
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    router.serve_with_incoming_shutdown(listener.incoming(), cluster::draining()).await?;
    Ok(())
}

struct Answers;

#[tonic::async_trait]
impl Echo for Answers {
    async fn say(&self, request: Request<String>) -> Result<Response<String>, Status> {
        let local = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        if request.remote_addr().is_none() && local.is_none() {
            return Err(Status::internal("no peer"));
        }
        Ok(Response::new(answer(request.get_ref())))
    }

    type TalkStream = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

    async fn talk(
        &self,
        request: Request<Streaming<String>>,
    ) -> Result<Response<Self::TalkStream>, Status> {
        Ok(Response::new(Box::pin(request.into_inner().map_ok(|message| answer(&message)))))
    }
}

fn answer(message: &str) -> String {
    format!("worker {}: {message}", cluster::worker().slot())
}
