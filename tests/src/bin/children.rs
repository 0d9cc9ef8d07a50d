//! A worker that starts programs and takes signals: `/std` and `/tokio` start a shell by the standard
//! library and by tokio, which answers with its descriptors, its signal sets and its environment.
//!
//! Says `got USR1` and `got TERM` when tokio brings it those signals. Serves `127.0.0.1:0`.

use std::{io, process::Output};

use axum::{Router, routing::get};
use cluster_tests::proc::SAY_INHERITANCE;
use tokio::signal::unix::{SignalKind, signal};

#[cluster::main(workers = 1, respawn)]
async fn main() -> io::Result<()> {
    let mut user = signal(SignalKind::user_defined1())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = user.recv() => println!("got USR1"),
                _ = term.recv() => println!("got TERM"),
            }
        }
    });
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let app = Router::new().route("/std", get(by_std)).route("/tokio", get(by_tokio));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn by_std() -> String {
    text(std::process::Command::new("sh").args(["-c", SAY_INHERITANCE]).output())
}

async fn by_tokio() -> String {
    text(tokio::process::Command::new("sh").args(["-c", SAY_INHERITANCE]).output().await)
}

fn text(output: io::Result<Output>) -> String {
    match output {
        Ok(output) => format!(
            "{}{}{}\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status
        ),
        Err(error) => error.to_string(),
    }
}
