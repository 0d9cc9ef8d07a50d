//! HTTP/1 servers. An exchange under way is a request of whose body a part is still to be sent.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use cluster_tests::{
    client::{self, Outcome},
    fixture,
};

use crate::promises::{self, Client};

#[derive(Clone)]
struct Http;

impl Client for Http {
    type Talk = TcpStream;

    fn ask(&self, address: SocketAddr) -> Outcome {
        client::get(address, "/")
    }

    fn begin(&self, address: SocketAddr) -> TcpStream {
        let mut stream = client::connect(address);
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

    fn finish(&self, mut stream: TcpStream) {
        stream.write_all(b" way").expect("the other half");
        let answer = read_answer(&mut stream);
        assert!(answer.ends_with(": under way"), "{answer}");
        let rest = client::read_answer(&mut stream).expect("a clean end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// Sends the head of a request with `body`, and with one field more, or none.
fn request(stream: &mut TcpStream, body: &str, field: &str) {
    let length = format!("content-length: {}\r\n", body.len());
    let head = format!("POST / HTTP/1.1\r\nhost: test\r\n{length}{field}\r\n");
    stream.write_all(head.as_bytes()).expect("a head");
}

/// Reads a head, in small letters, and nothing behind it.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

/// Reads one answer and nothing behind it.
fn read_answer(stream: &mut TcpStream) -> String {
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
