//! Who accepted which connection, whether it was the server that closed it, and how many each worker has open: a
//! file in which workers leave a receipt at the place of each client's address, so that it outlives them.
//!
//! Each address has one place, the newest connection's; a worker accepts on one thread. Holds no judgement.

use std::{
    fs::{File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::monotonic_ms;

/// By which variable a program is told where the file is.
pub const VARIABLE: &str = "RECEIPTS";

/// The worker, the time and whether it is closed, 8 bytes each.
const RECEIPT_BYTES: u64 = 24;

/// Behind all receipts: how many connections each worker has open, 8 bytes each.
const WORKERS_AT: u64 = (256 << 16) * RECEIPT_BYTES;

/// The file. Both sides have it.
#[derive(Clone, Debug)]
pub struct Receipts {
    file: Arc<File>,
    /// Connections of this process.
    open: Arc<AtomicU64>,
}

/// What a worker has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of its `WorkerId`.
    pub worker: u64,
    /// The worker itself has closed the connection; it did not end with it open.
    pub closed: bool,
}

/// A connection that is open. Its end is noted when this is dropped, so drop it before the socket.
#[derive(Debug)]
pub struct Open {
    receipts: Receipts,
    client: SocketAddr,
    worker: u64,
}

impl Receipts {
    /// Opens the file, which is made if it is not there.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file: Arc::new(file), open: Arc::default() })
    }

    /// Notes that `worker` has accepted a connection from `client`.
    ///
    /// # Errors
    /// Those of `pwrite(2)`.
    pub fn accepted(&self, client: SocketAddr, worker: u64) -> io::Result<Open> {
        let mut bytes = [0; RECEIPT_BYTES as usize];
        bytes[..8].copy_from_slice(&worker.to_ne_bytes());
        bytes[8..16].copy_from_slice(&monotonic_ms().to_ne_bytes());
        self.file.write_all_at(&bytes, place(client))?;
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.file.write_all_at(&open.to_ne_bytes(), place_of(worker))?;
        Ok(Open { receipts: self.clone(), client, worker })
    }

    /// How many connections `worker` has, or had at its end, open.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn open_at(&self, worker: u64) -> u64 {
        let mut bytes = [0; 8];
        match self.file.read_exact_at(&mut bytes, place_of(worker)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return 0,
            read => read.expect("a file"),
        }
        u64::from_ne_bytes(bytes)
    }

    /// The receipt of the connection from `client` that was begun at `since`, if anybody has accepted it.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn find(&self, client: SocketAddr, since: f64) -> Option<Receipt> {
        let mut bytes = [0; RECEIPT_BYTES as usize];
        match self.file.read_exact_at(&mut bytes, place(client)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            read => read.expect("a file"),
        }
        let [worker, time, closed] =
            [0, 8, 16].map(|at| bytes[at..at + 8].try_into().expect("8 bytes"));
        // An older one is of another connection from this address, or nobody's.
        (f64::from_ne_bytes(time) >= since)
            .then_some(Receipt { worker: u64::from_ne_bytes(worker), closed: closed != [0; 8] })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Receipts { file, open } = &self.receipts;
        let place = place(self.client) + 16;
        file.write_all_at(&1_u64.to_ne_bytes(), place).expect("room in a file");
        let open = open.fetch_sub(1, Ordering::Relaxed) - 1;
        file.write_all_at(&open.to_ne_bytes(), place_of(self.worker)).expect("room in a file");
    }
}

fn place_of(worker: u64) -> u64 {
    WORKERS_AT + 8 * worker
}

/// Clients have 127.1.0.0/24 and any port. What is not written takes no room on disk.
fn place(client: SocketAddr) -> u64 {
    let host = match client {
        SocketAddr::V4(client) => u64::from(client.ip().octets()[3]),
        SocketAddr::V6(_) => 0,
    };
    (host << 16 | u64::from(client.port())) * RECEIPT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_of_one_connection_and_says_who_closed_it() {
        let path = std::env::temp_dir().join(format!("cluster-receipts-{}", std::process::id()));
        let receipts = Receipts::open(&path).expect("a file");
        let [one, other] = [1, 2].map(|host| SocketAddr::from(([127, 1, 0, host], 40_000)));
        assert_eq!(receipts.find(one, 0.0), None);
        let before = monotonic_ms();
        let open = receipts.accepted(one, 7).expect("room");
        assert_eq!(receipts.find(one, before), Some(Receipt { worker: 7, closed: false }));
        assert_eq!(receipts.find(other, before), None);
        assert_eq!([6, 7, 8].map(|worker| receipts.open_at(worker)), [0, 1, 0]);
        drop(open);
        assert_eq!(receipts.open_at(7), 0);
        assert_eq!(receipts.find(one, before), Some(Receipt { worker: 7, closed: true }));
        assert_eq!(receipts.find(one, monotonic_ms()), None);
        std::fs::remove_file(path).expect("ours");
    }
}
