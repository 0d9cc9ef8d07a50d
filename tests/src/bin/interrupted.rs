//! A worker that says each INT that its own handler sees, as `worker N saw INT`, and ends half a second after
//! the drain began, so that a second one would be seen.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let id = cluster::worker().id();
    cluster::set_ready();
    println!("worker {id} is ready");
    let end = async {
        cluster::draining().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = int.recv() => println!("worker {id} saw INT"),
            () = &mut end => return Ok(()),
        }
    }
}
