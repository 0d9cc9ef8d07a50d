//! A table of 100 MiB that is made once and shared by all workers. Ends by itself.
//!
//! ```text
//! cargo run --release --example preload
//! ```
//!
//! Each worker sees the whole table in its memory (rss), but pays for its share of it alone (pss): eight
//! workers together take little more than one. A worker that is replaced has the table at once.

use std::{io, time::Instant};

use cluster::{Event, Master};

const MIB: u64 = 1 << 20;

const WORKERS: usize = 8;

struct Table {
    squares: Vec<u64>,
}

/// Runs in the zygote, once: also a file, a download or a model would be read here.
fn load() -> Result<Table, String> {
    let begun = Instant::now();
    let numbers = 100 * MIB / 8;
    let squares = (0..numbers).map(|n| n.checked_mul(n).ok_or(format!("{n} squared is too large")));
    let table = Table { squares: squares.collect::<Result<_, _>>()? };
    println!("preload: {numbers} squares in {:?}", begun.elapsed());
    Ok(table)
}

#[cluster::main(workers = WORKERS, respawn, preload = load, master = watch)]
async fn main(table: &'static Table) {
    let slot = cluster::worker().slot();
    println!("worker {slot}: {slot} squared is {}", table.squares[slot]);
    cluster::set_ready();
    cluster::draining().await;
}

/// What the master does.
async fn watch(master: Master) -> io::Result<()> {
    let mut events = master.events();
    let mut ready = 0;
    while ready < WORKERS {
        match events.recv().await {
            Some(Event::Ready { .. }) => ready += 1,
            Some(_) => {}
            None => return Ok(()),
        }
    }
    let stats = master.stats().await?;
    let rss: u64 = stats.slots.iter().filter_map(|slot| slot.rss).sum();
    let pss: u64 = stats.slots.iter().filter_map(|slot| slot.pss).sum();
    println!("seen by {ready} workers: {} MiB in sum", rss / MIB);
    println!("taken by {ready} workers: {} MiB in sum", pss / MIB);

    let begun = Instant::now();
    let replaced = master.respawn(0).await?;
    println!("{replaced:?} after {:?}", begun.elapsed());
    master.stop().await;
    Ok(())
}
