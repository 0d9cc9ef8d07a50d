//! The worker of a connection is chosen by its first bytes: its owner gets it and reads all of them, and clients that
//! send nothing cost nothing and keep nobody out.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use cluster::{HashSplitter, Splitter};
use cluster_tests::{Running, Signal, client, eventually, fixture, proc::Process, send_signal};

fn start(arguments: &[&str]) -> (Running, SocketAddr) {
    let program = Running::start(fixture!("keyed"), arguments, &[]);
    let address = program.address();
    program.lines(") ready", 4);
    (program, address)
}

/// A connection, and what its worker says.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr, first: &[u8]) -> Self {
        let mut client = Self(BufReader::new(client::connect(address)));
        client.send(first);
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("somebody has it");
    }

    /// The index of its worker, whose slot is the next one: slot 0 is another service's.
    fn index(&mut self) -> usize {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a worker");
        let words: Vec<usize> =
            line.split(' ').filter_map(|word| word.trim().parse().ok()).collect();
        let [slot, index] = words[..] else { panic!("{line:?}") };
        assert_eq!(slot, index + 1);
        index
    }

    /// Ends by naming the key; the index of its worker, which has to own it and to have read `count` bytes before.
    fn owner(mut self, count: usize, key: &str) -> usize {
        let end = format!("key={key}");
        self.send(end.as_bytes());
        let index = self.index();
        assert_eq!(self.answer(), format!("read {} owns true\n", count + end.len()), "{key}");
        index
    }

    fn answer(&mut self) -> String {
        self.0.get_ref().shutdown(Shutdown::Write).expect("connected");
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn is_closed(&mut self) -> bool {
        let end = self.0.read(&mut [0]);
        matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }

    fn hears_nothing(&mut self) -> bool {
        self.0.get_ref().set_nonblocking(true).expect("a socket");
        let nothing = self.0.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        self.0.get_ref().set_nonblocking(false).expect("a socket");
        nothing
    }
}

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\naccept: */*\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// Of the host of this number, by its owner.
fn ask_host(address: SocketAddr, number: usize) -> usize {
    let request = request(&format!("Tenant{number}.Example.com:8080"));
    Client::new(address, &request).owner(request.len(), &format!("tenant{number}.example.com"))
}

#[test]
fn every_connection_comes_to_the_owner_of_its_host() {
    let (program, address) = start(&["by-host"]);
    let owners: Vec<usize> = (0..60).map(|number| ask_host(address, number)).collect();
    assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), 3, "{owners:?}");
    send_signal(program.worker(2).pid, Signal::KILL);
    for (number, &owner) in owners.iter().enumerate() {
        assert_eq!(ask_host(address, number), owner, "also while it is being replaced");
    }
    program.stop();
}

#[test]
fn a_worker_more_takes_its_share_and_moves_no_other() {
    let (program, address) = start(&["by-host"]);
    let owners = || (0..60).map(|number| ask_host(address, number)).collect::<Vec<usize>>();
    let before = owners();
    let scale = |count: usize| {
        assert!(program.order(&count.to_string()).starts_with("Ok"));
        for slot in 1..=count {
            program.line(&format!("slot {slot} knows of {count}"));
        }
    };
    scale(4);
    let after = owners();
    let moved: BTreeSet<usize> =
        before.iter().zip(&after).filter(|(b, a)| b != a).map(|(_, &after)| after).collect();
    assert_eq!(moved, BTreeSet::from([3]), "to the new worker alone");
    scale(3);
    assert_eq!(owners(), before);
    program.stop();
}

#[test]
fn the_cluster_may_have_it_as_its_schedule() {
    let variables = [("CLUSTER_SCHEDULE", "by-host")];
    let program = Running::start(fixture!("keyed"), &["default"], &variables);
    program.line("schedule by-host, listening on ");
    let address = program.address();
    program.lines(") ready", 4);
    for number in 0..20 {
        ask_host(address, number);
    }
    program.stop();
}

#[test]
fn a_key_may_come_in_pieces() {
    let (program, address) = start(&["by-host"]);
    for number in 0..12 {
        let host = format!("tenant{number}.example.com");
        let request = request(&host);
        let (first, rest) = request.split_at(request.len() / 2);
        let (second, third) = rest.split_at(5);
        let mut client = Client::new(address, first);
        for piece in [second, third] {
            // Who comes later has been served: what came first has been looked at.
            ask_host(address, number);
            assert!(client.hears_nothing(), "{host}");
            client.send(piece);
        }
        client.owner(request.len(), &host);
    }
    program.stop();
}

/// The smallest hello that names a server, of TLS 1.2.
fn hello(name: &str) -> Vec<u8> {
    let list = |bytes: usize, content: &[u8]| {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    };
    let names = list(2, &[vec![0], list(2, name.as_bytes())].concat());
    let extensions = list(2, &[vec![0, 0], list(2, &names)].concat());
    let hello = [vec![3; 34], vec![0], list(2, &[0, 47]), vec![1, 0], extensions].concat();
    let message = [vec![1], list(3, &hello)].concat();
    [vec![22, 3, 1], list(2, &message)].concat()
}

#[test]
fn keys_are_found_in_tls_in_proxy_headers_and_in_lines() {
    type First = fn(usize) -> (Vec<u8>, String);
    let kinds: [(&str, First); 4] = [
        ("by-server-name", |n| {
            (hello(&format!("Tenant{n}.example")), format!("tenant{n}.example"))
        }),
        ("by-proxy", |n| {
            let header = format!("PROXY TCP4 10.0.0.{n} 10.9.9.9 {n} 443\r\n");
            (header.into_bytes(), format!("10.0.0.{n}"))
        }),
        ("by-proxy", |n| {
            let n = u8::try_from(n).expect("small");
            let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
            ([head, vec![10, 0, 0, n, 10, 9, 9, 9, 0, 1, 0, 2]].concat(), format!("10.0.0.{n}"))
        }),
        ("by-line", |n| (format!("Tenant {n}\r\n").into_bytes(), format!("Tenant {n}"))),
    ];
    for (schedule, first) in kinds {
        let (program, address) = start(&[schedule]);
        for number in 0..12 {
            let (first, key) = first(number);
            let owner = Client::new(address, &first).owner(first.len(), &key);
            assert_eq!(owner, HashSplitter.slot(&*key, 3), "as everywhere else");
        }
        program.stop();
    }
}

#[test]
fn a_table_says_where_some_belong() {
    let key = (0..).map(|n| format!("tenant{n}")).find(|key| HashSplitter.slot(&**key, 3) != 1);
    let key = key.expect("one of them");
    let (program, address) = start(&["by-line", &format!("table={key}:1")]);
    for _ in 0..3 {
        let mut client = Client::new(address, format!("{key}\n").as_bytes());
        assert_eq!(client.index(), 1);
    }
    program.stop();
}

#[test]
fn without_a_key_each_has_its_turn_or_is_closed() {
    let (program, address) = start(&["by-host", "bytes=100"]);
    let long = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 200]].concat();
    for bytes in [&b"hello\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", &long] {
        let served: BTreeSet<usize> = (0..3).map(|_| Client::new(address, bytes).index()).collect();
        assert_eq!(served.len(), 3, "{bytes:?}");
    }
    // Nothing will ever come.
    let mut client = Client::new(address, b"");
    assert!(client.answer().ends_with("read 0 owns false\n"));
    program.stop();

    let (program, address) = start(&["by-host", "bytes=100", "close", "timeout=300"]);
    for bytes in [&b"hello\n"[..], &long, b"", b"GET / HTTP/1.1\r\n"] {
        assert!(Client::new(address, bytes).is_closed(), "{bytes:?}");
    }
    program.line("without a key since the start");
    ask_host(address, 1);
    program.stop();
}

/// Of both kinds, so many at once.
fn silent(address: SocketAddr, count: usize) -> Vec<Client> {
    let first = |number| if number % 2 == 0 { &b""[..] } else { b"GET / HTTP/1.1\r\nhost: exam" };
    (0..count).map(|number| Client::new(address, first(number))).collect()
}

#[test]
fn clients_that_send_nothing_or_half_cost_no_time() {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let (program, address) = start(&["by-host", "timeout=5000"]);
    let begun = Instant::now();
    let mut clients = silent(address, 200);
    // All have been accepted when who came later is served.
    ask_host(address, 0);
    let master = Process::look(program.pid()).expect("it lives");
    let (before, accepted) = (master.ticks(), begun.elapsed());
    assert!(accepted < TIMEOUT / 2, "{accepted:?}: too slow a machine to tell");
    // Nor are they looked at again while others come.
    for number in 0..100 {
        ask_host(address, number);
    }
    assert!(clients.iter_mut().all(Client::hears_nothing));
    // When the time is over, each is served by some worker.
    let workers: BTreeSet<usize> = clients.iter_mut().map(Client::index).collect();
    assert!(begun.elapsed() >= TIMEOUT);
    assert_eq!(workers.len(), 3);
    let spent = Process::look(program.pid()).expect("it lives").ticks() - before;
    println!("{spent} ticks of 10 ms for 200 clients in {:?}", begun.elapsed() - accepted);
    assert!(spent < 60, "{spent} ticks, and 500 if it spun");
    program.stop();
}

/// With fewer descriptors than it would need for all that are silent.
#[test]
fn clients_that_send_nothing_keep_no_descriptor_from_those_that_do_nor_from_workers() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$0\" by-host timeout=60000", fixture!("keyed")]);
    let program = Running::start_command(command);
    let address = program.address();
    program.lines(") ready", 4);
    let silent = silent(address, 190);
    let begun = Instant::now();
    ask_host(address, 0);
    // Every worker dies, and what replaces them needs descriptors too.
    let workers = program.workers();
    workers.iter().for_each(|worker| send_signal(worker.pid, Signal::KILL));
    program.lines(") ready", 8);
    ask_host(address, 1);
    println!("{:?} for two clients among {} silent ones", begun.elapsed(), silent.len());
    drop(silent);
    program.stop();
}

#[test]
fn one_that_sends_byte_by_byte_is_looked_at_so_often_and_no_more() {
    let (program, address) = start(&["by-host", "timeout=60000"]);
    let mut client = Client::new(address, b"GET / HTTP/1.1\r\nx: ");
    client.0.get_ref().set_nodelay(true).expect("a socket");
    let mut sent = 0;
    eventually("a worker for it", || {
        client.send(b"x");
        sent += 1;
        (!client.hears_nothing()).then_some(())
    });
    println!("{sent} bytes were sent");
    program.stop();
}

#[test]
fn who_has_waited_longest_makes_room() {
    let (program, address) = start(&["by-host", "timeout=60000", "waiting=8"]);
    let mut clients = silent(address, 7);
    // This is the eighth, for a moment.
    ask_host(address, 0);
    assert!(clients.iter_mut().all(Client::hears_nothing));
    let _eighth_and_ninth = silent(address, 2);
    clients[0].index();
    assert!(clients[1..].iter_mut().all(Client::hears_nothing));
    program.stop();
}

#[test]
fn a_stop_loses_none_that_waits() {
    let (program, address) = start(&["by-host", "timeout=60000"]);
    let mut clients = silent(address, 20);
    ask_host(address, 0);
    assert!(clients.iter_mut().all(Client::hears_nothing));
    program.signal(Signal::TERM);
    for client in &mut clients {
        client.index();
        assert!(client.answer().starts_with("read "));
    }
    program.stop();
}
