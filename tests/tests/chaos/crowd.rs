//! Clients that are no friends of a server: slow, late, silent and rude ones, each on a thread of its own.
//!
//! Those that want an answer are counted as others are; the rest only take room.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use cluster_tests::client::Outcome;
use rustix::net::sockopt::set_socket_linger;

use super::{
    load::{Connection, Count, Request, address_of},
    plan::Crowd,
};

/// How long a client of a crowd takes for what it does slowly. Shorter than `grace`.
const TAKES: Duration = Duration::from_millis(900);

/// Starts `size` such clients.
pub(super) fn start(
    crowd: Crowd,
    size: u64,
    address: SocketAddr,
    count: &Arc<Count>,
) -> Vec<JoinHandle<()>> {
    let client = |number| {
        let count = Arc::clone(count);
        thread::spawn(move || come(crowd, address_of(100 + number), address, &count))
    };
    (0..size).map(client).collect()
}

fn come(crowd: Crowd, client: Ipv4Addr, address: SocketAddr, count: &Count) {
    let Some(mut connection) = Connection::open(client, address, count) else { return };
    match act(crowd, &mut connection, count) {
        Ok(Some(outcome)) => drop(connection.counted(outcome)),
        Ok(None) => {}
        Err(error) => drop(connection.counted(Outcome::from(&error))),
    }
}

fn act(
    crowd: Crowd,
    connection: &mut Connection<'_>,
    count: &Count,
) -> io::Result<Option<Outcome>> {
    let stream = connection.stream.get_mut();
    match crowd {
        Crowd::Slow => {
            let request = Request::new(count, 64);
            let text = request.text(true);
            for byte in text.bytes() {
                stream.write_all(&[byte])?;
                thread::sleep(TAKES / text.len() as u32);
            }
            Ok(Some(request.read(&mut connection.stream)?.0))
        }
        Crowd::Late => {
            // More than the buffers of both sockets take is not needed: the answer has to survive.
            let request = Request::new(count, 200_000);
            stream.write_all(request.text(true).as_bytes())?;
            thread::sleep(TAKES);
            Ok(Some(request.read(&mut connection.stream)?.0))
        }
        Crowd::Silent => {
            stream.set_read_timeout(Some(TAKES))?;
            // Whatever comes, nothing was asked for.
            let _ = stream.read(&mut [0]);
            Ok(None)
        }
        Crowd::Rude => {
            let request = Request::new(count, 64).text(true);
            let sent = stream.write_all(&request.as_bytes()[..request.len() / 2]);
            reset(stream);
            sent.map(|()| None)
        }
    }
}

/// Makes the end of a connection an RST.
fn reset(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).expect("a socket");
}
