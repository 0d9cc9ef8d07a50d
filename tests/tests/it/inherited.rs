//! Sockets that the program was started with, by a service manager or a shell. Rows are those of Node's own tests.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{net::UnixListener, process::CommandExt},
    },
    path::Path,
    process::Command,
};

use cluster_tests::{
    Running, Signal,
    client::{get, get_at},
    fixture,
};

use super::endpoints::{Directory, TWO, answered, asked_by_datagram, by_both, start, udp_client};

/// Starts the program with a socket as its descriptor 3, and what a service manager says of it.
fn activated(arguments: &[&str], socket: OwnedFd, variables: &str) -> Running {
    let program = start_activated(arguments, socket, variables);
    program.lines("slot ", 2);
    program
}

fn start_activated(arguments: &[&str], socket: OwnedFd, variables: &str) -> Running {
    // The shell moves what is its standard input here, so that no code runs between fork and exec.
    let script = format!("exec 3<&0 </dev/null; {variables} exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, fixture!("listens")]).args(arguments).envs(TWO);
    command.stdin(std::process::Stdio::from(socket));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.process_group(0);
    Running::start_as_is(command)
}

const NAMED: &str = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http";

/// Row 89, listen-fd-cluster: by name and by number.
#[test]
fn a_socket_that_was_there_at_the_start_is_shared() {
    for (arguments, variables) in [
        (["tcp-inherited", "http"], NAMED),
        (["tcp-inherited", "3"], ""),
        (["tcp-inherited", "3"], NAMED),
    ] {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let program = activated(&arguments, socket.into(), variables);
        by_both(|| answered(get(address, "/")));
        // The convention's variables are for the master alone.
        let environment =
            fs::read(format!("/proc/{}/environ", program.worker(0).pid)).expect("read");
        assert!(!String::from_utf8_lossy(&environment).contains("LISTEN_PID"));
        program.stop();
    }
}

#[test]
fn unix_and_udp_sockets_can_be_inherited_too() {
    let directory = Directory::new("inherited");
    let path = directory.socket();
    let socket = UnixListener::bind(&path).expect("bound");
    let program = activated(&["unix-inherited", "http"], socket.into(), NAMED);
    by_both(|| answered(get_at(Path::new(&path), "/")));
    program.stop();
    assert!(Path::new(&path).exists(), "it is not ours to remove");

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let client = udp_client(socket.local_addr().expect("bound"));
    let program = activated(&["udp-inherited", "http"], socket.into(), NAMED);
    program.lines(") ready", 2);
    asked_by_datagram(&client);
    program.stop();
}

#[test]
fn a_socket_that_is_not_there_or_of_another_kind_is_an_error_that_says_so() {
    let never = [("CLUSTER_WORKERS", "1"), ("CLUSTER_RESPAWN", "never")];
    let mut program = Running::start(fixture!("listens"), &["tcp-inherited", "http"], &never);
    program.line("inherit socket \"http\": entity not found (the program was not started with it");
    assert_eq!(program.exit_code(), 1);

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let program = activated(&["tcp-inherited", "http"], socket.into(), NAMED);
    program.line("inherit socket \"http\": invalid input parameter (it is no socket of this kind");
}

/// One program runs with and without socket activation.
#[test]
fn the_address_is_bound_where_no_socket_was_there() {
    let program = start(&["tcp", "127.0.0.1:0", "inherited=http"]);
    by_both(|| answered(get(program.address(), "/")));
    program.stop();

    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    let program = activated(&["tcp", "127.0.0.1:0", "inherited=http"], socket.into(), NAMED);
    assert_eq!(program.address(), address);
    by_both(|| answered(get(address, "/")));
    program.stop();
}

#[test]
fn a_socket_that_was_there_and_that_nobody_takes_is_told() {
    // Two names for one socket; and in one process as well as with workers.
    let two = "exec 4<&3; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=https:http";
    let alone = format!("{two} CLUSTER_WORKERS=0");
    for variables in [two, &alone] {
        for (inherited, untaken, asked) in [
            ("inherited=http", 1, "no other name was asked for"),
            ("inherited=4", 1, "no other name was asked for"),
            ("inherited=web", 2, "asked for: \"web\""),
        ] {
            let arguments = ["tcp", "127.0.0.1:0", inherited];
            let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = socket.local_addr().expect("bound");
            let mut program = start_activated(&arguments, socket.into(), variables);
            program.line(&format!(
                "LISTEN_FDS: \"https\" (descriptor 3, {address}) is used by nobody; {asked}"
            ));
            program.signal(Signal::TERM);
            assert_eq!(program.exit_code(), 0);
            program.wait_for_output();
            let said = program.output();
            let told = said.iter().filter(|line| line.contains("LISTEN_FDS: ")).count();
            assert_eq!(told, untaken, "{said:#?}");
        }
    }
}
