//! A reload changes how a listener's connections are shared, for all of them at once, and a failed one changes it back.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use cluster_tests::{Running, Signal, client::connect, deploy::Deployed, fixture};

fn deploy(version: &str) -> (Deployed, Running, SocketAddr) {
    let deployed = Deployed::new(fixture!("rules"), version, "serve");
    let program = deployed.start(&[]);
    let address = program.address();
    program.wait_for_workers(2);
    (deployed, program, address)
}

/// To the reload's end.
fn reload(program: &Running, deployed: &Deployed, version: &str, generation: u32) {
    deployed.replace(fixture!("rules"), version, "serve");
    program.signal(Signal::HUP);
    program.line(&format!("reload to generation {generation} finished"));
}

fn client(address: SocketAddr, line: &str) -> BufReader<TcpStream> {
    let mut stream = connect(address);
    stream.write_all(line.as_bytes()).expect("connected");
    BufReader::new(stream)
}

fn slot(mut client: BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).expect("some worker has it");
    line.trim().to_owned()
}

/// The slot of four that send the same line, one after the other.
fn slot_of(address: SocketAddr, line: &str) -> String {
    let slots: Vec<String> = (0..4).map(|_| slot(client(address, line))).collect();
    assert!(slots.iter().all(|slot| *slot == slots[0]), "{slots:?}");
    slots[0].clone()
}

#[test]
fn another_table_of_keys_holds_also_for_those_whose_key_is_to_come() {
    let (deployed, program, address) = deploy("tenant:0");
    assert_eq!(slot_of(address, "tenant\n"), "slot 0");
    let mut early = client(address, "ten");
    reload(&program, &deployed, "tenant:1", 2);
    program.line("other options of its schedule from now on, as generation 2 asks");
    assert_eq!(slot_of(address, "tenant\n"), "slot 1");
    early.get_mut().write_all(b"ant\n").expect("connected");
    assert_eq!(slot(early), "slot 1");
    program.stop();
}

#[test]
fn another_schedule_waits_for_no_first_bytes_and_the_first_does_again() {
    let (deployed, program, address) = deploy("tenant:0");
    let early: Vec<_> = (0..4).map(|_| client(address, "")).collect();
    assert_eq!(slot_of(address, "tenant\n"), "slot 0");
    reload(&program, &deployed, "round-robin", 2);
    program.line("schedule round-robin from now on, as generation 2 asks; it was by-line");
    // Those that were waited for for a minute, and others.
    early.into_iter().for_each(|client| drop(slot(client)));
    let mut slots: Vec<String> = (0..4).map(|_| slot(client(address, ""))).collect();
    slots.sort();
    assert_eq!(slots, ["slot 0", "slot 0", "slot 1", "slot 1"]);
    reload(&program, &deployed, "tenant:1", 3);
    assert_eq!(slot_of(address, "tenant\n"), "slot 1");
    program.stop();
}

#[test]
fn a_reload_that_fails_leaves_what_was() {
    let (deployed, program, address) = deploy("tenant:0");
    deployed.replace(fixture!("rules"), "tenant:1", "fails");
    program.signal(Signal::HUP);
    program.line("other options of its schedule from now on, as generation 2 asks");
    program.line("other options of its schedule from now on, as generation 1 asks");
    program.line("reload to generation 2 failed");
    assert_eq!(slot_of(address, "tenant\n"), "slot 0");
    program.stop();
}

#[test]
fn what_needs_other_sockets_is_told_once_and_waits_for_a_start() {
    let (deployed, program, address) = deploy("round-robin");
    reload(&program, &deployed, "kernel", 2);
    let mut slots: Vec<String> = (0..4).map(|_| slot(client(address, ""))).collect();
    slots.sort();
    assert_eq!(slots, ["slot 0", "slot 0", "slot 1", "slot 1"]);
    let text = "the schedule stays round-robin until the next start: kernel needs other sockets";
    let told = program.output().iter().filter(|line| line.contains(text)).count();
    assert_eq!(told, 1, "{:#?}", program.output());
    program.stop();
}
