//! A master's branch with children of its own: one of the standard library's, which ends at once and is
//! waited for only after an orphan, adopted by the master and ended as well, was reaped; and one of
//! tokio's.
//!
//! Says `child: CODE`, `tokio's child: CODE`, `orphan PID`, `orphan reaped`.

use std::{io, path::Path, process::Command, time::Duration};

#[cluster::main(workers = 1, respawn, master = branch)]
async fn main() {
    cluster::draining().await;
}

async fn branch(_master: cluster::Master) -> io::Result<()> {
    let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
    let status = tokio::process::Command::new("sh").args(["-c", "exit 8"]).status().await?;
    println!("tokio's child: {:?}", status.code());

    // The inner shell's parent does not wait for it.
    let script = "sh -c 'echo $$; exit 0' & exit 0";
    let output = Command::new("sh").args(["-c", script]).output()?;
    let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    println!("orphan {pid}");
    while Path::new("/proc").join(&pid).exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("orphan reaped");
    println!("child: {:?}", child.wait()?.code());
    Ok(())
}
