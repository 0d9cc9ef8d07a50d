//! A headless Chromium and its tabs, spoken to by the DevTools protocol: open a page, evaluate in it.
//!
//! One command at a time over one WebSocket; events are not looked at, a test evaluates until it sees what
//! it waits for. The browser is a process group of its own with a profile of its own, both gone when dropped.

use std::{
    cell::RefCell,
    env, fs,
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::{DEADLINE, Running, skip, websocket};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser that runs.
#[derive(Debug)]
pub struct Browser {
    wire: RefCell<Wire>,
    // Dropped in this order: what writes to the profile ends first.
    running: Running,
    _profile: Profile,
}

impl Browser {
    /// Starts one; `None`, said aloud, if none is installed.
    ///
    /// # Panics
    /// If it does not start within the deadline.
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            skip("no browser is installed (Debian: chromium)");
            return None;
        };
        let profile = Profile::new();
        let mut command = Command::new(program);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-dev-shm-usage", "--disable-extensions", "--disable-breakpad"]);
        command.args(["--disable-background-networking", "--disable-component-update"]);
        // Tabs that nobody looks at are to be as quick as the one in front.
        command.args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"]);
        command.arg("--remote-debugging-port=0");
        command.arg(format!("--user-data-dir={}", profile.0.display())).arg("about:blank");
        let running = Running::start_command(command);
        let line = running.line("DevTools listening on ws://");
        let (_, url) = line.split_once(" on ").expect("it was looked for");
        let wire = RefCell::new(Wire { socket: websocket::connect(url), last: 0 });
        Some(Self { wire, running, _profile: profile })
    }

    /// Opens a page in a tab of its own.
    ///
    /// # Panics
    /// If the browser refuses.
    pub fn open(&self, url: &str) -> Tab<'_> {
        let target = self.call(None, "Target.createTarget", &json!({ "url": url }));
        let parameters = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", &parameters);
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        Tab { browser: self, session }
    }

    /// The pid of the browser, which is its group too.
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    fn call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.wire.borrow_mut().call(session, method, parameters)
    }
}

/// A page in a tab.
#[derive(Debug)]
pub struct Tab<'a> {
    browser: &'a Browser,
    session: String,
}

impl Tab<'_> {
    /// The value of an expression in the page; `null` if it throws, as it may while the page loads.
    ///
    /// # Panics
    /// If the browser does not answer.
    pub fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", &parameters)["result"]["value"].take()
    }

    /// Evaluates until the value is true, a text or a number, and returns it.
    ///
    /// # Panics
    /// After the deadline, with what the page shows.
    pub fn wait_for(&self, expression: &str) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let value = self.evaluate(expression);
            if !value.is_null() && value != false {
                return value;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "{expression} in {}", self.evaluate("document.body.innerText"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a text into the field that has the focus, as a keyboard with an input method does.
    pub fn type_text(&self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Presses the Enter key.
    pub fn press_enter(&self) {
        let key = |kind| json!({ "type": kind, "key": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
        self.call("Input.dispatchKeyEvent", &key("keyDown"));
        self.call("Input.dispatchKeyEvent", &key("keyUp"));
    }

    /// A command of the DevTools protocol for this tab, and its result.
    ///
    /// # Panics
    /// If the browser does not answer, or says that the command is wrong.
    pub fn call(&self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }
}

#[derive(Debug)]
struct Wire {
    socket: WebSocket<TcpStream>,
    last: u64,
}

impl Wire {
    fn call(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.socket.send(Message::text(command.to_string())).expect("the browser lives");
        loop {
            let message = self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }
}

/// A directory, gone when dropped.
#[derive(Debug)]
struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cluster-test-browser-{}-{number}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a temporary directory");
        Self(directory)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // Processes that have been killed may still be about to end, with a file open or half made.
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir_all(&self.0).is_err() && self.0.exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn find() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&folders).collect();
    NAMES.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).find(|p| p.is_file())
}
