//! The load generators that people have, on the server as they would run it.

use std::process::Command;

use cluster_tests::{Running, fixture, skip};

/// The output of a load generator; `None`, said aloud, if it is not installed.
fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{tool}: {said}{complaint}");
            Some(said)
        }
        Err(_) => {
            skip(&format!("{tool} is not installed (Debian: apache2-utils, wrk)"));
            None
        }
    }
}

#[test]
fn ab_without_keep_alive_fails_no_request() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let url = format!("http://{}/", program.address());
    if let Some(said) = run("ab", &["-q", "-c", "200", "-n", "20000", &url]) {
        assert!(said.contains("Complete requests:      20000"), "{said}");
        assert!(said.contains("Failed requests:        0"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    program.stop();
}

#[test]
fn wrk_with_keep_alive_fails_no_request() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let url = format!("http://{}/", program.address());
    if let Some(said) = run("wrk", &["-c", "64", "-t", "1", "-d", "2s", &url]) {
        assert!(said.contains("requests in"), "{said}");
        assert!(!said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    program.stop();
}
