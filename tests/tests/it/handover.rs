//! A binary that is started by hand with the handover variable set says so and exits 78. The variable begins
//! with the protocol version.

use std::{
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use cluster_tests::{Running, fixture};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

const VARIABLE: &str = "CLUSTER_HANDOVER";

fn is_refused(mut program: Running, said: &str) {
    program.line(said);
    let line = program.line(VARIABLE);
    assert!(line.contains("unset it"), "{line}");
    assert_eq!(program.exit_code(), 78, "{line}");
}

fn started_with(value: &str) -> Running {
    Running::start(fixture!("serve"), &[], &[(VARIABLE, value)])
}

/// Starts the program with descriptor 9 open on what is its standard input too.
fn started_with_9(value: &str, stdin: impl Into<Stdio>) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "exec 9<&0; exec \"$0\"", fixture!("serve")]).env(VARIABLE, value);
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Running::start_as_is(command)
}

fn packet_socket() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a pair")
}

#[test]
fn garbage_is_refused() {
    for value in ["", "yes", "1", "1.2.3", "-1.5.1.1", "999.5.811.1"] {
        is_refused(started_with(value), "no cluster's master started this process");
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    is_refused(started_with("5.200.1.1"), "descriptor 200 is not a link");
}

#[test]
fn a_standard_stream_is_refused() {
    is_refused(started_with("5.0.1.1"), "descriptor 0 is not a link");
}

#[test]
fn a_descriptor_that_is_no_link_is_refused() {
    is_refused(started_with_9("5.9.1.1", Stdio::null()), "descriptor 9 is not a link");
}

/// A socket of the right kind, but the process named as master is not the parent.
#[test]
fn another_parent_is_refused() {
    let (ours, theirs) = packet_socket();
    is_refused(started_with_9("5.9.1.1", theirs), "process 1 is not the parent");
    drop(ours);
}
