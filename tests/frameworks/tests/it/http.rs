//! HTTP/1 servers. An exchange under way is a request of whose body a part is still to be sent.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use cluster_tests::{
    Running,
    client::{self, Outcome},
    fixture,
};

use crate::promises::{self, Client, Directory};

#[derive(Clone)]
struct Http;

impl Client for Http {
    type Address = SocketAddr;
    type Talk = TcpStream;

    fn address(program: &Running) -> SocketAddr {
        program.address()
    }

    fn ask(&self, &address: &SocketAddr) -> Outcome {
        client::get(address, "/")
    }

    fn begin(&self, &address: &SocketAddr) -> TcpStream {
        begin(client::connect(address))
    }

    fn finish(&self, stream: TcpStream) {
        finish(stream);
    }
}

/// The same over a Unix socket.
#[derive(Clone)]
struct Local;

impl Client for Local {
    type Address = PathBuf;
    type Talk = UnixStream;

    fn address(program: &Running) -> PathBuf {
        promises::path(program)
    }

    fn ask(&self, path: &PathBuf) -> Outcome {
        promises::or_gone(path, || client::get_at(path, "/"))
    }

    fn begin(&self, path: &PathBuf) -> UnixStream {
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_read_timeout(Some(client::PATIENCE)).expect("a timeout above zero");
        begin(stream)
    }

    fn finish(&self, stream: UnixStream) {
        finish(stream);
    }
}

fn begin<S: Read + Write>(mut stream: S) -> S {
    // A request before, so that this is a connection that is kept.
    request(&mut stream, "hello", "");
    stream.write_all(b"hello").expect("a request");
    let answer = read_answer(&mut stream);
    assert!(answer.ends_with(": hello"), "{answer}");
    request(&mut stream, "under way", "expect: 100-continue\r\n");
    let told = read_head(&mut stream);
    assert!(told.starts_with("http/1.1 100"), "{told}");
    stream.write_all(b"under").expect("half a body");
    stream
}

fn finish(mut stream: impl Read + Write) {
    stream.write_all(b" way").expect("the other half");
    let answer = read_answer(&mut stream);
    assert!(answer.ends_with(": under way"), "{answer}");
    let rest = client::read_answer(&mut stream).expect("a clean end");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// Sends the head of a request with `body`, and with one field more, or none.
fn request(stream: &mut impl Write, body: &str, field: &str) {
    let length = format!("content-length: {}\r\n", body.len());
    let head = format!("POST / HTTP/1.1\r\nhost: test\r\n{length}{field}\r\n");
    stream.write_all(head.as_bytes()).expect("a head");
}

/// Reads a head, in small letters, and nothing behind it.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

/// Reads one answer and nothing behind it.
fn read_answer(stream: &mut impl Read) -> String {
    let head = read_head(stream);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("a length").parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

#[test]
fn axum_keeps_every_promise() {
    promises::are_kept(fixture!("with_axum"), &[], &Http);
}

#[test]
fn axum_keeps_every_promise_on_a_unix_socket() {
    let directory = Directory::new("axum");
    promises::are_kept(fixture!("with_axum"), &[&directory.socket()], &Local);
}

#[test]
fn axum_knows_who_asks_on_a_unix_socket() {
    let directory = Directory::new("peer");
    let path = directory.socket();
    let program = Running::start(fixture!("with_axum"), &[&path], &[]);
    program.wait_for_workers(2);
    let user = rustix::process::geteuid().as_raw();
    let answer = client::get_at(&Local::address(&program), "/peer");
    assert_eq!(answer, Outcome::Answered(format!("user {user}")));
    program.stop();
}

#[test]
fn hyper_keeps_every_promise() {
    promises::are_kept(fixture!("with_hyper"), &[], &Http);
}

#[test]
fn actix_web_keeps_every_promise() {
    promises::are_kept(fixture!("with_actix_web"), &[], &Http);
}

#[test]
fn poem_keeps_every_promise() {
    promises::are_kept(fixture!("with_poem"), &[], &Http);
}
