//! The chat example: what one says is heard by those in other processes, while workers come and go, and in
//! two tabs of a browser.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use cluster_tests::{
    Running, Signal,
    browser::{Browser, Tab},
    client, eventually, send_signal, websocket,
};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket, protocol::frame::coding::CloseCode};

use crate::examples::example;

/// Tabs to open: round robin has every slot's turn come, but a browser connects for reasons of its own.
const TRIES: usize = 50;

/// Starts the example, and waits until every slot serves.
fn start(workers: u64) -> (Running, SocketAddr) {
    let program = Running::start(
        &example("chat"),
        &["127.0.0.1:0"],
        &[("CLUSTER_WORKERS", &workers.to_string())],
    );
    let address = program.address();
    for slot in 0..workers {
        Member::enter_at(address, "start", "nobody", slot);
    }
    (program, address)
}

/// Somebody in a room, without a browser.
struct Member {
    socket: WebSocket<TcpStream>,
    name: String,
    slot: u64,
    worker: u64,
}

/// What a member is told.
#[derive(Debug, PartialEq)]
enum Told {
    Line {
        name: String,
        text: String,
        slot: u64,
    },
    Closed(CloseCode),
    /// The connection ended without a close.
    Lost,
}

impl Member {
    fn enter(address: SocketAddr, room: &str, name: &str) -> Self {
        let mut socket = websocket::connect(&format!("ws://{address}/rooms/{room}"));
        let message = socket.read().expect("a welcome");
        let welcome: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        assert_eq!(welcome["kind"], "welcome");
        let number = |field: &str| welcome[field].as_u64().expect("a number");
        let (slot, worker) = (number("slot"), number("worker"));
        Self { socket, name: name.to_owned(), slot, worker }
    }

    /// Enters until it is with the worker of that slot, which may be yet to become ready.
    fn enter_at(address: SocketAddr, room: &str, name: &str, slot: u64) -> Self {
        eventually(&format!("a turn of slot {slot}"), || {
            Some(Self::enter(address, room, name)).filter(|member| member.slot == slot)
        })
    }

    /// `false` if the connection is known to have ended.
    fn say(&mut self, text: &str) -> bool {
        let said = json!({ "name": self.name, "text": text }).to_string();
        self.socket.send(Message::text(said)).is_ok()
    }

    fn next(&mut self) -> Told {
        loop {
            match self.socket.read() {
                Ok(Message::Text(json)) => {
                    let told: Value = serde_json::from_str(&json).expect("JSON");
                    assert_eq!(told["kind"], "line", "{told}");
                    let text = |field: &str| told[field].as_str().expect("a text").to_owned();
                    let slot = told["slot"].as_u64().expect("a slot");
                    return Told::Line { name: text("name"), text: text("text"), slot };
                }
                Ok(Message::Close(frame)) => {
                    // Answers the close, and waits for the end of the connection.
                    while self.socket.read().is_ok() {}
                    return Told::Closed(frame.expect("a code").code);
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("{}: nothing came", self.name)
                }
                Err(_) => return Told::Lost,
            }
        }
    }

    /// The text of the next line, which has to be of `from` and through its slot.
    fn hear(&mut self, from: &str, slot: u64) -> String {
        match self.next() {
            Told::Line { name, text, slot: through } if name == from && through == slot => text,
            other => panic!("{}: {other:?} instead of a line of {from}", self.name),
        }
    }
}

#[test]
fn lines_cross_workers_both_ways_and_stay_in_their_room() {
    const LINES: usize = 50;
    let (program, address) = start(2);
    let mut members = [0, 1].map(|slot| Member::enter_at(address, "a", &format!("m{slot}"), slot));
    let mut elsewhere = Member::enter(address, "b", "elsewhere");
    for number in 0..LINES {
        for member in &mut members {
            assert!(member.say(&number.to_string()));
        }
    }
    for member in &mut members {
        // Each sees its own as well, and each sender's in order.
        let mut next = [0, 0];
        for _ in 0..2 * LINES {
            let Told::Line { name, text, slot } = member.next() else { panic!("no line") };
            assert_eq!(name, format!("m{slot}"));
            let sender = usize::try_from(slot).expect("a slot");
            assert_eq!(text, next[sender].to_string(), "{name} heard by {}", member.name);
            next[sender] += 1;
        }
        assert_eq!(next, [LINES, LINES]);
    }
    assert!(elsewhere.say("alone"));
    let slot = elsewhere.slot;
    assert_eq!(elsewhere.hear("elsewhere", slot), "alone", "the first that is heard there");
    program.stop();
}

#[test]
fn those_who_stay_lose_nothing_while_others_workers_end() {
    let (program, address) = start(3);
    let [mut left, mut right] =
        [1, 2].map(|slot| Member::enter_at(address, "a", &slot.to_string(), slot));
    let mut said = 0;
    let mut talk = |lines: usize| {
        for _ in 0..lines {
            said += 1;
            assert!(left.say(&said.to_string()) && right.say(&said.to_string()));
            for member in [&mut left, &mut right] {
                // The two come in any order.
                let mut heard = [member.next(), member.next()];
                heard.sort_by_key(|told| matches!(told, Told::Line { slot: 2, .. }));
                let expected = [1, 2].map(|slot| Told::Line {
                    name: u64::to_string(&slot),
                    text: said.to_string(),
                    slot,
                });
                assert_eq!(heard, expected);
            }
        }
    };
    for (signal, end) in
        [(Signal::KILL, Told::Lost), (Signal::TERM, Told::Closed(CloseCode::Restart))]
    {
        let mut third = Member::enter_at(address, "elsewhere", "third", 0);
        let pid = program.worker(0).pid;
        talk(5);
        send_signal(pid, signal);
        while test_kill_process(Pid::from_raw(pid).expect("a pid")).is_ok() {
            talk(1);
        }
        assert_eq!(third.next(), end);
        let again = Member::enter_at(address, "elsewhere", "third", 0);
        assert!(again.worker > third.worker, "another worker has the slot");
        talk(5);
    }
    program.stop();
}

#[test]
fn a_reload_closes_with_service_restart_and_passes_on_what_was_said() {
    let (program, address) = start(2);
    // Slot 0 is reloaded first; who is in slot 1 hears all that is said there until then.
    let mut talker = Member::enter_at(address, "a", "talker", 0);
    let mut listener = Member::enter_at(address, "a", "listener", 1);
    program.signal(Signal::HUP);
    let mut said = 0;
    let end = 'talk: loop {
        for _ in 0..10 {
            said += 1;
            assert!(talker.say(&said.to_string()));
        }
        for _ in 0..10 {
            match talker.next() {
                Told::Line { .. } => {}
                end => break 'talk end,
            }
        }
    };
    assert_eq!(end, Told::Closed(CloseCode::Restart));
    for number in 1..=said {
        assert_eq!(listener.hear("talker", 0), number.to_string());
    }
    // Whoever comes back is served while the reload goes on.
    let mut back = Member::enter(address, "a", "back");
    assert_eq!(listener.next(), Told::Closed(CloseCode::Restart));
    program.line("generation 2");
    back.say("again");
    // It may have come to the old worker of slot 1.
    if let Told::Closed(code) = back.next() {
        assert_eq!(code, CloseCode::Restart);
    }
    // Afterwards all is as before, in new workers.
    let [mut left, mut right] = [0, 1].map(|slot| Member::enter_at(address, "c", "new", slot));
    assert!(left.worker > 2 && right.worker > 2, "{} {}", left.worker, right.worker);
    assert!(left.say("hello"));
    assert_eq!(right.hear("new", 0), "hello");
    // A stop ends for them as a reload does.
    program.signal(Signal::TERM);
    assert_eq!(left.hear("new", 0), "hello");
    assert_eq!([left.next(), right.next()], [(); 2].map(|()| Told::Closed(CloseCode::Restart)));
    program.stop();
}

#[test]
fn what_is_too_long_or_no_line_hurts_nobody_else() {
    let (program, address) = start(2);
    let mut witness = Member::enter(address, "a", "witness");
    let refused = websocket::try_connect(&format!("ws://{address}/rooms/{}", "r".repeat(65)));
    let answer = refused.expect_err("the name is too long");
    assert!(matches!(&*answer, Error::Http(answer) if answer.status() == 400), "{answer}");
    for nonsense in ["{}", "nonsense", r#"{"name":" ","text":"hello"}"#] {
        let mut member = Member::enter(address, "a", "somebody");
        member.socket.send(Message::text(nonsense)).expect("a connection");
        assert_eq!(member.next(), Told::Closed(CloseCode::Policy), "{nonsense}");
    }
    let mut member = Member::enter(address, "a", "somebody");
    member.say(&"x".repeat(20_000));
    assert_eq!(member.next(), Told::Lost);
    assert!(witness.say(&"ä".repeat(2000)));
    let slot = witness.slot;
    assert_eq!(witness.hear("witness", slot), "ä".repeat(1000), "the first that is heard");
    program.stop();
}

#[test]
fn an_upgrade_while_the_worker_drains_is_whole() {
    let (program, address) = start(1);
    let [mut asked, mut upgraded] = [(); 2].map(|()| client::connect(address));
    // So the connection is with this worker, and not with the one that follows.
    assert!(ask(&mut asked, "").starts_with("http/1.1 200 "));
    send_signal(program.worker(0).pid, Signal::TERM);
    // Tells its clients to close, for the second in which those may still ask.
    eventually("a drain", || ask(&mut asked, "").contains("connection: close").then_some(()));
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = ask(&mut upgraded, upgrade);
    // On a machine so slow that the second is over there is no answer.
    if !answer.is_empty() {
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(answer.contains("connection: upgrade\r\n"), "{answer}");
    }
    program.stop();
}

/// Sends a request with more headers, and returns what comes back at first, in small letters: the head of
/// the answer, or a piece of the page that was asked for before.
fn ask(stream: &mut TcpStream, headers: &str) -> String {
    let path = if headers.is_empty() { "/" } else { "/rooms/a" };
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
    let mut answer = vec![0; 64 << 10];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).to_ascii_lowercase()
}

/// Tabs in two different slots.
fn tabs_in_two_slots<'a>(browser: &'a Browser, url: &str) -> [Tab<'a>; 2] {
    let first = browser.open(url);
    let slot = first.wait_for("document.body.dataset.slot");
    for _ in 0..TRIES {
        let second = browser.open(url);
        if second.wait_for("document.body.dataset.slot") != slot {
            return [first, second];
        }
    }
    panic!("every tab is in slot {slot}");
}

/// Says something as a person would: types it and presses Enter.
fn say(tab: &Tab<'_>, name: &str, text: &str) {
    tab.wait_for("document.querySelector('#status').className == 'open'");
    tab.evaluate(&format!("document.querySelector('#name').value = {}", json!(name)));
    tab.evaluate("document.querySelector('#text').focus()");
    tab.type_text(text);
    tab.press_enter();
}

fn sees(tab: &Tab<'_>, name: &str, text: &str, slot: &Value) {
    let part = |class| format!("item.querySelector('{class}')?.textContent");
    let (names, slots, texts) = (part(".name"), part(".slot"), part(".text"));
    let slot = slot.as_str().expect("a slot");
    tab.wait_for(&format!(
        "[...document.querySelectorAll('#lines li')].some(item => {names} == {} && {slots} == {} && {texts} == {})",
        json!(name), json!(format!("slot {slot}")), json!(text),
    ));
}

#[test]
fn two_tabs_on_two_workers_see_each_others_lines() {
    const MARKUP: &str = "<img src=x onerror=\"document.title='broken'\"> & <b>bold</b>";
    let Some(browser) = Browser::start() else { return };
    let (program, address) = start(2);
    let tabs = tabs_in_two_slots(&browser, &format!("http://{address}/#garden"));
    let slots = [0, 1].map(|tab| tabs[tab].wait_for("document.body.dataset.slot"));
    say(&tabs[0], "Ada", "hello from here");
    say(&tabs[1], "Grace", MARKUP);
    for tab in &tabs {
        sees(tab, "Ada", "hello from here", &slots[0]);
        sees(tab, "Grace", MARKUP, &slots[1]);
        assert_eq!(tab.evaluate("document.querySelectorAll('#lines img, #lines b').length"), 0);
        assert_eq!(tab.evaluate("document.title"), "#garden – chat");
    }
    // After a reload both are with new workers, without anybody's doing, and see what they saw.
    program.signal(Signal::HUP);
    for tab in &tabs {
        tab.wait_for("Number(document.body.dataset.worker) > 2");
    }
    say(&tabs[0], "Ada", "still there?");
    let slot = tabs[0].wait_for("document.body.dataset.slot");
    for tab in &tabs {
        sees(tab, "Ada", "still there?", &slot);
        sees(tab, "Grace", MARKUP, &slots[1]);
    }
    // A worker that dies takes nobody's page along.
    let slot = slot.as_str().and_then(|slot| slot.parse().ok()).expect("a slot");
    let before = tabs[0].wait_for("Number(document.body.dataset.worker)");
    send_signal(program.worker(slot).pid, Signal::KILL);
    eventually("another worker", || {
        let worker = tabs[0].wait_for("Number(document.body.dataset.worker)");
        (worker != before).then_some(())
    });
    program.stop();
}
