//! A child with streams: written to, read from, killed with all that it has started. Ends by itself.
//!
//! ```text
//! cargo run --release --example spawn
//! ```

use std::io;

use cluster::process::{self, Event};
use tokio::{io::AsyncWriteExt, signal::unix::SignalKind};

#[cluster::main(workers = 0)]
async fn main() -> io::Result<()> {
    // What is written to a child, and what comes back, in Node's order of events.
    let mut sort = process::spawn("sort", [""; 0])?;
    if let Some(mut stdin) = sort.stdin.take() {
        stdin.write_all(b"pear\napple\nfig\n").await?;
        // Dropped here: sort sees the end of its input.
    }
    let mut events = sort.events();
    while let Some(event) = events.recv().await {
        match event {
            Event::Spawn { .. } => println!("sort: spawned"),
            Event::Stdout(bytes) => println!("sort: wrote {:?}", String::from_utf8_lossy(&bytes)),
            Event::Exit(status) => println!("sort: {status}"),
            Event::Close(_) => println!("sort: closed, which is always the last"),
            other => println!("sort: {other:?}"),
        }
    }

    // A signal reaches what the child has started as well; a dropped handle would do the same.
    let mut shell = process::spawn("sh", ["-c", "sleep 60 & sleep 60 & wait"])?;
    let sent = shell.kill(SignalKind::terminate())?;
    println!("shell: kill sent: {sent}, {}", shell.wait().await?);

    // Several children, each reading what the one before it writes.
    let piped = process::pipeline([
        process::Command::new("printf").arg("b\\na\\nb\\n"),
        process::Command::new("sort"),
        process::Command::new("uniq").arg("-c"),
    ])
    .await?;
    println!("pipeline: {:?}", piped.output.stdout_text().split_whitespace().collect::<Vec<_>>());
    Ok(())
}
