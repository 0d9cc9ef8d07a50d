//! Every example is built, started as its head says, and asked over HTTP.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually,
};

/// The path of an example, built if it was not.
pub(crate) fn example(name: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "cluster-examples", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the examples compile");
        let fixture = Path::new(cluster_tests::fixture!("serve"));
        fixture.parent().expect("a folder").join("examples")
    });
    folder.join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn hello_answers_its_slot_and_survives_a_kill() {
    let program = Running::start(&example("hello"), &["127.0.0.1:0"], &[("CLUSTER_WORKERS", "2")]);
    let address = program.address();
    program.line("listening on http://");
    let killed = program.worker(1);
    cluster_tests::send_signal(killed.pid, Signal::KILL);
    for _ in 0..20 {
        let Outcome::Answered(body) = get(address, "/") else { panic!("no answer") };
        assert!(body == "worker 0" || body == "worker 1", "{body}");
    }
    eventually("another worker 1", || (program.worker(1).pid != killed.pid).then_some(()));
    program.stop();
}

#[test]
fn single_answers_in_one_process() {
    let program = Running::start(&example("single"), &["127.0.0.1:0"], &[]);
    assert_eq!(get(program.address(), "/"), Outcome::Answered("worker 0".to_owned()));
    assert_eq!(program.processes().len(), 1);
}

#[test]
fn cluster_answers_from_every_worker_and_without_a_cluster() {
    for workers in ["2", "0"] {
        let variables = [("CLUSTER_WORKERS", workers)];
        let program = Running::start(&example("cluster"), &["127.0.0.1:0"], &variables);
        let address = program.address();
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
        program.stop();
    }
}

#[test]
fn respawn_prints_what_happens_when_a_worker_crashes() {
    let program = Running::start(&example("respawn"), &["127.0.0.1:0"], &[]);
    let address = program.address();
    program.lines("master: slot 1 (worker 2) ready", 1);
    assert_eq!(get(address, "/crash"), Outcome::Empty);
    let line = program.line("exited: SIGABRT");
    assert!(line.contains("1 connection lost"), "{line}");
    // The third worker is the replacement.
    program.line("(worker 3) ready");
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    program.stop();
}

#[test]
fn messages_runs_to_its_end() {
    let mut program = Running::start(&example("messages"), &[], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    for slot in 0..3 {
        program.line(&format!("slot {slot}: \"hello, slot {slot}\""));
        // From the master and the two others.
        program.lines(&format!("Arrived {{ slot: {slot} }}"), 3);
    }
    program.line("slot 0: slot 1 says that 12 squared is 144");
}

#[test]
fn reload_runs_to_its_end_and_loses_nothing() {
    let mut program = Running::start(&example("reload"), &[], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    program.line("reload: Reloaded { generation: 2 }");
    assert!(program.line("meanwhile ").ends_with(", 0 were not"), "{:#?}", program.output());
    program.line("stopped: 2 drained, 0 killed");
}

#[test]
fn preload_runs_to_its_end_and_shares() {
    let mut program = Running::start(&example("preload"), &[], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    let mebibytes = |text: &str| {
        let line = program.line(text);
        let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
        numbers.next_back().expect("a number")
    };
    assert!(mebibytes("seen by 8 workers: ") > 800);
    assert!(mebibytes("taken by 8 workers: ") < 130);
    program.lines("worker 0: 0 squared is 0", 2);
}

/// Runs an example to its end and looks for lines.
fn runs_to_its_end(name: &str, lines: &[&str]) {
    let mut program = Running::start(&example(name), &[], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    for line in lines {
        program.line(line);
    }
}

#[test]
fn spawn_runs_to_its_end() {
    let lines = ["sort: wrote \"apple\\nfig\\npear\\n\"", "kill sent: true", "\"2\", \"b\""];
    runs_to_its_end("spawn", &lines);
}

#[test]
fn exec_runs_to_its_end() {
    let lines = ["words: 3", "checked: ", "had written Some(\"begun\")", "1000 bytes are kept"];
    runs_to_its_end("exec", &lines);
}

#[test]
fn exec_file_runs_to_its_end() {
    let lines =
        ["printed: ; rm -rf $HOME", "shell: hello in /", "error: `no-such-program", "sync: "];
    runs_to_its_end("exec_file", &lines);
}

#[test]
fn fork_runs_to_its_end() {
    let lines = ["count: 303", "parent: stop", "the channel has ended: exit status: 0"];
    runs_to_its_end("fork", &lines);
}

#[test]
fn by_host_counts_each_host_in_one_worker() {
    use std::io::Read;

    let program = Running::start(&example("by_host"), &["127.0.0.1:0"], &[]);
    let address = program.address();
    let ask = |stream: &mut std::net::TcpStream, host: &str| {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(stream, request.as_bytes()).expect("connected");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    for host in ["alice.example", "bob.example", "carol.example:80", "Dan.Example"] {
        let mut slots = Vec::new();
        for count in 1..=4 {
            let answer = ask(&mut cluster_tests::client::connect(address), host);
            let (_, rest) = answer.split_once(": request ").unwrap_or_else(|| panic!("{answer}"));
            let (counted, slot) = rest.split_once(", ").expect("a slot");
            assert_eq!(counted, count.to_string(), "{host}");
            slots.push(slot.to_owned());
        }
        slots.dedup();
        assert_eq!(slots.len(), 1, "{slots:?}");
    }
    program.stop();
}
