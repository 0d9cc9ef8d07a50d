//! A function of this program in a process of its own: it counts, and takes orders from its parent. Ends by
//! itself.
//!
//! ```text
//! cargo run --release --example fork
//! ```

use std::{io, time::Duration};

use cluster::{ClusterMessage, process};
use serde::{Deserialize, Serialize};
use tokio::time;

/// What the child tells.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Count {
    pid: u32,
    count: u64,
}

/// What the child is told.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
enum Order {
    SetStep(u64),
    Stop,
}

#[cluster::child]
async fn counter(mut parent: process::Parent<Count, Order>) -> io::Result<()> {
    let (mut count, mut step) = (0, 1);
    let mut ticks = time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                count += step;
                parent.send(&Count { pid: std::process::id(), count }).await?;
            }
            order = parent.recv() => match order.transpose()? {
                Some(Order::SetStep(n)) => step = n,
                // `None`: the parent has ended, or wants nothing more.
                Some(Order::Stop) | None => return Ok(()),
            },
        }
    }
}

#[cluster::main(workers = 0)]
async fn main() -> io::Result<()> {
    let mut child = process::fork(counter).await?;
    println!("parent {} has forked {}", std::process::id(), child.id());
    while let Some(count) = child.recv().await.transpose()? {
        println!("{count:?}");
        if count.count == 3 {
            println!("parent: in steps of 100");
            child.send(&Order::SetStep(100)).await?;
        }
        if count.count > 300 {
            println!("parent: stop");
            child.send(&Order::Stop).await?;
        }
    }
    println!("the channel has ended: {}", child.wait().await?);
    Ok(())
}
