//! Keys split over workers, seen through the example: every answer is right while keys move, a change moves what
//! it has to and no more, and a death loses what the dead one kept.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use cluster_tests::{Running, Signal, client, eventually, send_signal, setting};

use crate::examples::example;

fn start(workers: usize, variables: &[(&str, &str)]) -> (Running, SocketAddr) {
    let workers_variable = workers.to_string();
    let variables = [&[("CLUSTER_WORKERS", &*workers_variable)], variables].concat();
    let program = Running::start(&example("shard"), &["127.0.0.1:0"], &variables);
    let address = program.address();
    // Until every owner is there, its keys are nobody's.
    let mut client = Client::new(address);
    let mut reached = vec![false; workers];
    for key in 0.. {
        let answer = eventually("an owner", || {
            Some(client.get(&format!("start{key}"))).filter(|answer| answer.status == 404)
        });
        reached[answer.slot()] = true;
        if reached.iter().all(|&reached| reached) {
            return (program, address);
        }
    }
    unreachable!("keys do not run out")
}

/// A client that keeps its connection, and makes another when it is closed.
struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Who owns the key, if its owner has answered.
    slot: Option<usize>,
    body: String,
}

impl Answer {
    fn slot(&self) -> usize {
        self.slot.unwrap_or_else(|| panic!("no owner answered: {self:?}"))
    }
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    fn get(&mut self, key: &str) -> Answer {
        self.ask("GET", key, "")
    }

    fn set(&mut self, key: &str, value: &str) -> Answer {
        self.ask("PUT", key, value)
    }

    /// Asks again if the connection was closed: both requests may be done twice.
    fn ask(&mut self, method: &str, key: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} /keys/{key} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        eventually("an answer", || self.try_ask(&request))
    }

    fn try_ask(&mut self, request: &str) -> Option<Answer> {
        let connect = || BufReader::new(client::connect(self.address));
        let mut stream = self.stream.take().unwrap_or_else(connect);
        stream.get_mut().write_all(request.as_bytes()).ok()?;
        let (mut status, mut slot, mut length, mut close) = (None, None, 0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = line.split(' ').nth(1).map(|code| code.parse().expect("a status"));
            }
            let Some((name, value)) = line.split_once(": ") else { continue };
            match name {
                "slot" => slot = Some(value.parse().expect("a slot")),
                "content-length" => length = value.parse().expect("a length"),
                "connection" => close = value == "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        self.stream = (!close).then_some(stream);
        let body = String::from_utf8(body).expect("text");
        Some(Answer { status: status?, slot, body })
    }

    /// Sets so many keys, and tells who owns each.
    fn set_all(&mut self, keys: usize) -> BTreeMap<String, usize> {
        let set = |key: usize| {
            let (key, value) = (format!("key{key}"), format!("value{key}"));
            let answer = self.set(&key, &value);
            assert_eq!(answer.status, 204, "{answer:?}");
            (key, answer.slot())
        };
        (0..keys).map(set).collect()
    }

    /// Reads those keys, all of which are as they were set, and tells who owns each.
    fn get_all(&mut self, owners: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
        let get = |key: &String| {
            let answer = eventually("no key on its way", || {
                Some(self.get(key)).filter(|answer| answer.status != 503)
            });
            assert_eq!((answer.status, &answer.body), (200, &key.replace("key", "value")));
            (key.clone(), answer.slot())
        };
        owners.keys().map(get).collect()
    }
}

/// The values that a key may have: more than one if nobody knows whether it was set.
#[derive(Debug)]
struct May(Vec<Option<String>>);

/// Gets and sets of a client's own keys, and what each answer has to be.
fn mixed(address: SocketAddr, me: u64, requests: u64, done: &AtomicU64) -> u64 {
    const KEYS: u64 = 300;
    let (mut client, mut unavailable) = (Client::new(address), 0);
    let mut keys: BTreeMap<u64, May> = BTreeMap::new();
    let mut random = me * 7919 + 1;
    for number in 0..requests {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 33) % KEYS;
        let may = keys.entry(key).or_insert_with(|| May(vec![None]));
        let name = format!("client{me}-{key}");
        if (random >> 20) % 3 == 0 {
            let value = format!("{me}-{number}");
            let answer = client.set(&name, &value);
            match answer.status {
                204 => may.0 = vec![Some(value)],
                503 => may.0.push(Some(value)),
                _ => panic!("{name}: {answer:?}"),
            }
            unavailable += u64::from(answer.status == 503);
        } else {
            let answer = client.get(&name);
            let told = match answer.status {
                200 => Some(answer.body.clone()),
                404 => None,
                503 => {
                    unavailable += 1;
                    continue;
                }
                _ => panic!("{name}: {answer:?}"),
            };
            assert!(may.0.contains(&told), "{name}: {answer:?}, but it is {may:?}");
            may.0 = vec![told];
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    unavailable
}

#[test]
fn every_answer_is_right_while_workers_come_go_and_are_replaced() {
    const CLIENTS: u64 = 4;
    let requests = setting("CLUSTER_TEST_REQUESTS", 6000) / CLIENTS;
    let (program, address) = start(4, &[]);
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        let done = &done;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|me| scope.spawn(move || mixed(address, me, requests, done)))
            .collect();
        let changes = [
            (Signal::TTIN, "keys are split over 5 slots instead of 4"),
            (Signal::TTOU, "keys are split over 4 slots instead of 5"),
            (Signal::HUP, "reload to generation 2 finished"),
        ];
        for (part, (signal, line)) in (1..).zip(changes) {
            let until = part * CLIENTS * requests / 4;
            eventually("some answers, or the end of a client", || {
                let ended = clients.iter().any(thread::ScopedJoinHandle::is_finished);
                (ended || done.load(Ordering::Relaxed) > until).then_some(())
            });
            program.signal(signal);
            program.line(line);
        }
        let unavailable: u64 = clients.into_iter().map(|c| c.join().expect("all right")).sum();
        // What is on its way is waited for first.
        println!("{} of {} answers were 503", unavailable, CLIENTS * requests);
        assert!(unavailable * 10 < CLIENTS * requests, "{unavailable} answers were 503");
    });
    program.stop();
}

#[test]
fn a_fifth_worker_takes_a_fifth_of_the_keys_and_gives_them_back() {
    let keys = usize::try_from(setting("CLUSTER_TEST_KEYS", 2000)).expect("a number");
    let (program, address) = start(4, &[]);
    let mut client = Client::new(address);
    let before = client.set_all(keys);
    program.signal(Signal::TTIN);
    program.line("keys are split over 5 slots instead of 4");
    let after = client.get_all(&before);
    let moved: Vec<_> = before.iter().filter(|(key, slot)| after[*key] != **slot).collect();
    assert!(moved.iter().all(|(key, _)| after[*key] == 4), "moves go to the new worker alone");
    let share = moved.len() as f64 / keys as f64;
    println!("{} of {keys} keys moved: {share}", moved.len());
    assert!((share - 0.2).abs() < 0.03, "{share}");
    program.signal(Signal::TTOU);
    program.line("keys are split over 4 slots instead of 5");
    assert_eq!(client.get_all(&before), before);
    // Nor is anything lost by changes that follow each other at once.
    for _ in 0..3 {
        program.signal(Signal::TTIN);
        program.signal(Signal::TTOU);
    }
    assert_eq!(client.get_all(&before).len(), keys);
    program.stop();
}

#[test]
fn the_keys_of_a_worker_that_is_killed_are_lost_and_no_others() {
    let (program, address) = start(4, &[]);
    let mut client = Client::new(address);
    let owners = client.set_all(400);
    send_signal(program.worker(2).pid, Signal::KILL);
    for (key, &slot) in &owners {
        let answer =
            eventually("an owner", || Some(client.get(key)).filter(|answer| answer.status != 503));
        assert_eq!(answer.slot(), slot, "a respawn moves nothing");
        match slot {
            2 => assert!(answer.status == 410 && answer.body.starts_with("lost: "), "{answer:?}"),
            _ => assert_eq!((answer.status, answer.body), (200, key.replace("key", "value"))),
        }
    }
    // And what is set again is there again.
    assert_eq!(client.set_all(400), owners);
    assert_eq!(client.get_all(&owners), owners);
    program.stop();
}

#[test]
fn a_key_whose_owner_is_gone_for_good_says_so_at_once() {
    let (program, address) = start(3, &[("CLUSTER_RESPAWN", "never")]);
    let mut client = Client::new(address);
    let owners = client.set_all(100);
    send_signal(program.worker(1).pid, Signal::KILL);
    program.line("slot 1 (worker 2");
    for (key, &slot) in &owners {
        let answer = client.get(key);
        if slot != 1 {
            assert_eq!((answer.status, answer.slot()), (200, slot), "{answer:?}");
            continue;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        let why = "to slot 1: nobody is there, or who was has died";
        assert!(
            answer.body.contains(&format!("{key:?}")) && answer.body.contains(why),
            "{answer:?}"
        );
    }
    program.stop();
}

#[test]
fn without_a_cluster_one_process_has_every_key() {
    let program = Running::start(&example("shard"), &["127.0.0.1:0"], &[("CLUSTER_WORKERS", "0")]);
    let mut client = Client::new(program.address());
    let owners = client.set_all(20);
    assert!(owners.values().all(|&slot| slot == 0));
    assert_eq!(client.get_all(&owners), owners);
    program.stop();
}
