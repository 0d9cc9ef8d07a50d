//! A worker that asks where nobody answers: the master, which has no branch, and itself.
//!
//! Prints what came of each, and of the first whether it came at once.

use std::time::{Duration, Instant};

use cluster::{ClusterMessage, Error};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = u32)]
struct Ask;

#[cluster::main(workers = 1)]
async fn main() {
    let begun = Instant::now();
    tell("the master", cluster::request(cluster::Address::Master, &Ask).await);
    println!("at once: {}", begun.elapsed() < Duration::from_secs(2));
    let own = || cluster::request(cluster::worker().id(), &Ask).timeout(Duration::from_millis(50));
    tell("nobody", own().await);
    let mailbox = cluster::subscribe::<Ask>();
    tell("a slow one", own().await);
    drop(mailbox);
}

fn tell(who: &str, result: Result<u32, Error>) {
    let error = result.expect_err("nobody answers");
    println!(
        "{who}: {error} [unreachable {}, timeout {}]",
        error.is_unreachable(),
        error.is_timeout()
    );
}
