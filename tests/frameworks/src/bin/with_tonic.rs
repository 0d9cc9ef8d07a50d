//! tonic: answers each message with the worker's slot and the message.

use std::pin::Pin;

use cluster_frameworks::grpc::echo_server::{Echo, EchoServer};
use futures_util::{Stream, TryStreamExt};
use tonic::{Request, Response, Status, Streaming, transport::Server};

#[cluster::main(workers = 2, respawn)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    Server::builder()
        .add_service(EchoServer::new(Answers))
        .serve_with_incoming_shutdown(listener.incoming(), cluster::draining())
        .await?;
    Ok(())
}

struct Answers;

#[tonic::async_trait]
impl Echo for Answers {
    async fn say(&self, request: Request<String>) -> Result<Response<String>, Status> {
        request.remote_addr().ok_or_else(|| Status::internal("no peer"))?;
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
