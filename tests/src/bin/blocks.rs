//! Workers without a runtime, a thread for each connection: `/` answers the slot, `/slow` after 200 ms.
//!
//! With `ignores` as the argument, `main` takes no notice of a drain.

use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use cluster::blocking::{TcpListener, TcpStream};

#[cluster::main(workers = 2, respawn, blocking)]
fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    if std::env::args().nth(1).as_deref() == Some("ignores") {
        while let Some((stream, _)) = listener.accept()? {
            thread::spawn(move || answer(stream));
        }
        loop {
            thread::park();
        }
    }
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || answer(stream));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    if request.starts_with(b"GET /slow") {
        thread::sleep(Duration::from_millis(200));
    }
    let body = format!("worker {}", cluster::worker().slot());
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
