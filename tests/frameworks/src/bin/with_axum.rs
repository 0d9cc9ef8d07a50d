//! axum: answers each request with the worker's slot and the request's body. With a path as its argument it
//! listens there, and answers `/peer` with the user who asks.

use axum::{
    Router,
    extract::ConnectInfo,
    routing::{get, post},
};
use cluster::net::UnixConnectInfo;

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", post(answer).get(answer));
    if let Some(path) = std::env::args().nth(1) {
        return local(&path, app.route("/peer", get(peer))).await;
    }
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn local(path: &str, app: Router) -> std::io::Result<()> {
    let listener = cluster::UnixListener::bind(path).await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<UnixConnectInfo>())
        .with_graceful_shutdown(cluster::draining())
        .await
}

async fn peer(ConnectInfo(peer): ConnectInfo<UnixConnectInfo>) -> String {
    peer.peer_cred.map_or_else(|| "nobody".to_owned(), |cred| format!("user {}", cred.uid()))
}

async fn answer(body: String) -> String {
    format!("worker {}: {body}", cluster::worker().slot())
}
