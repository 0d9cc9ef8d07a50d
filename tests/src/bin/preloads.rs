//! A program that preloads a table, and may fail at it.
//!
//! `load` writes `preloaded VERSION in PID as UID`. Each worker says what it got: `worker SLOT has VERSION of
//! PID, BYTES bytes at POINTER, sum SUM, file TEXT, hash HASH`. The master prints every event as `event
//! MILLISECONDS TEXT`. The first argument, else the mark behind the code, says how `load` behaves; a
//! number is the size of the table in MiB.

use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasher, RandomState},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::FileExt, net::UnixStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use cluster_tests::{deploy::marks, monotonic_ms};

struct Table {
    version: String,
    made_in: u32,
    bytes: Vec<u8>,
    file: File,
    /// So that this thread has drawn its keys.
    _hashed: HashMap<u32, u32>,
}

fn load() -> Result<Table, String> {
    let (version, marked) = marks();
    let behaviour = std::env::args().nth(1).unwrap_or(marked);
    let made_in = std::process::id();
    let user = rustix::process::geteuid().as_raw();
    eprintln!("preloaded {version} in {made_in} as {user}");
    if INIT_HAS_RUN.load(Relaxed) {
        return Err("init has run in the zygote".to_owned());
    }
    behave(&behaviour)?;
    let mib: usize = behaviour.parse().unwrap_or(1);
    // Every page is written to, so that there is memory behind it.
    let bytes = vec![made_in.to_le_bytes()[0] | 1; mib << 20];
    let file = File::open("/proc/sys/kernel/ostype").map_err(|e| e.to_string())?;
    Ok(Table { version, made_in, bytes, file, _hashed: HashMap::from([(1, 1)]) })
}

fn behave(behaviour: &str) -> Result<(), String> {
    match behaviour {
        "error" => return Err("the table is not there".to_owned()),
        "panic" => panic!("the table is empty"),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "for-ever" => loop {
            thread::park();
        },
        "six-seconds" => thread::sleep(Duration::from_secs(6)),
        "thread" => start("ticker", || thread::sleep(Duration::from_secs(3600))),
        "thread-that-ends" => start("brief", || thread::sleep(Duration::from_millis(200))),
        "listener" => keep(TcpListener::bind("127.0.0.1:0")),
        "connection" => {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
            keep(TcpStream::connect(listener.local_addr().map_err(|e| e.to_string())?));
            keep(Ok(listener));
        }
        "datagrams" => keep(UdpSocket::bind("127.0.0.1:0")),
        "pair" => keep(UnixStream::pair()),
        "socket-that-is-closed" => drop(UnixStream::pair()),
        _ => {}
    }
    Ok(())
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
}

fn keep<T>(socket: std::io::Result<T>) {
    Box::leak(Box::new(socket.expect("a socket")));
}

static INIT_HAS_RUN: AtomicBool = AtomicBool::new(false);

fn init() {
    INIT_HAS_RUN.store(true, Relaxed);
}

async fn watch(master: cluster::Master) {
    let mut events = master.events();
    while let Some(event) = events.recv().await {
        println!("event {:.3} {event}", monotonic_ms());
    }
}

#[cluster::main(workers = 2, respawn, init = init, master = watch, preload = load)]
async fn main(table: &'static Table) {
    let slot = cluster::worker().slot();
    let Table { version, made_in, bytes, .. } = table;
    let sum: u64 = bytes.iter().step_by(4096).map(|&byte| u64::from(byte)).sum();
    let mut text = [0; 5];
    table.file.read_exact_at(&mut text, 0).expect("a file that is open");
    println!(
        "worker {slot} has {version} of {made_in}, {} bytes at {:p}, sum {sum}, file {}, hash {:x}",
        bytes.len(),
        bytes.as_ptr(),
        String::from_utf8_lossy(&text),
        RandomState::new().hash_one(1)
    );
    cluster::set_ready();
    cluster::draining().await;
}
