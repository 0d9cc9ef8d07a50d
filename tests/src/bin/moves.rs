//! Processes that move descriptors to each other with messages; the first argument says what.
//!
//! What came, and whether it works, is printed. The master begins when every worker is ready, and in some
//! scenes when it gets USR1.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use cluster::{
    Address, ClusterMessage, Event, Mail, Mailbox, Master, Role, Worker, broadcast, send,
    send_with_fd, subscribe,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::{FdFlags, fcntl_getfd},
};
use serde::{Deserialize, Serialize};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

/// From the master: everybody is there.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Begin;

/// A descriptor comes with it.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
enum Moved {
    Stream,
    Listener,
    File(String),
    Numbered(u64),
}

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> io::Result<()> {
    let scene = std::env::args().nth(1).expect("a scene");
    match role {
        Role::Master(master) => lead(&scene, master).await,
        Role::Worker(worker) => follow(&scene, worker).await,
    }
}

async fn lead(scene: &str, master: Master) -> io::Result<()> {
    let mut events = master.events();
    for _ in 0..2 {
        while !matches!(events.recv().await, Some(Event::Ready { .. })) {}
    }
    match scene {
        "kinds" => {
            let using = tokio::spawn(use_all("the master"));
            move_each_kind("master to worker", Address::Slot(0)).await?;
            broadcast(&Begin).await?;
            using.await??;
        }
        "from_master" => {
            wait_for_usr1().await?;
            for number in 0..count() {
                send_with_fd(Address::Slot(1), &Moved::Numbered(number), file("")?).await?;
            }
            println!("all is sent");
        }
        _ => {
            wait_for_usr1().await?;
            broadcast(&Begin).await?;
        }
    }
    Ok(())
}

async fn wait_for_usr1() -> io::Result<()> {
    let mut usr1 = signal(SignalKind::user_defined1())?;
    println!("waiting for USR1");
    usr1.recv().await;
    Ok(())
}

fn count() -> u64 {
    std::env::args().nth(2).expect("a number").parse().expect("a number")
}

async fn follow(scene: &str, worker: Worker) -> io::Result<()> {
    let slot = worker.slot();
    let mut begun = subscribe::<Begin>();
    let early = !matches!(scene, "late" | "kinds");
    let (one, other) = (early.then(subscribe), (scene == "two").then(subscribe));
    cluster::set_ready();
    match (scene, slot) {
        ("kinds", _) => {
            let who = if slot == 0 { "slot 0" } else { "slot 1" };
            let using = tokio::spawn(use_all(who));
            begun.recv().await.expect("a master")?;
            if slot == 0 {
                move_each_kind("worker to master", Address::Master).await?;
                move_each_kind("worker to worker", Address::Slot(1)).await?;
                println!("all kinds are moved");
            }
            using.await??;
        }
        // The receivers come late, or never; or the test stops them.
        (_, 0) if scene != "from_master" => {
            begun.recv().await.expect("a master")?;
            for number in 0..count() {
                send_with_fd(Address::Slot(1), &Moved::Numbered(number), file("")?).await?;
            }
            println!("all is sent");
            send(Address::Slot(1), &Begin).await?;
        }
        ("late", 1) => {
            // The second is sent when all has come.
            for _ in 0..2 {
                begun.recv().await.expect("a master")?;
            }
            println!("all is kept");
            wait_for_usr1().await?;
            tally(subscribe()).await;
        }
        (_, 1) => {
            let mailboxes = [one, other].into_iter().flatten();
            let tallies: Vec<_> = mailboxes.map(|mailbox| tokio::spawn(tally(mailbox))).collect();
            for tally in tallies {
                tally.await?;
            }
        }
        _ => {}
    }
    cluster::draining().await;
    Ok(())
}

/// A file that says `text`, at its beginning.
fn file(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("moved", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

async fn move_each_kind(way: &'static str, to: Address) -> io::Result<()> {
    let read = |mut stream: TcpStream| async move {
        let read = spawn_blocking(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        read.await?
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let here = TcpStream::connect(address)?;
    let (there, _) = listener.accept()?;
    send_with_fd(to, &Moved::Stream, there).await?;
    println!("{way}, a stream: {}", read(here).await?);
    send_with_fd(to, &Moved::Listener, listener).await?;
    println!("{way}, a listener: {}", read(TcpStream::connect(address)?).await?);
    send_with_fd(to, &Moved::File(way.to_owned()), file(way)?).await?;
    Ok(())
}

async fn use_all(who: &'static str) -> io::Result<()> {
    let mut moved = subscribe::<Moved>();
    while let Some(mail) = moved.recv().await {
        let Mail { body, fd, .. } = mail?;
        let fd = fd.expect("a descriptor");
        let closed_by_exec = fcntl_getfd(&fd)?.contains(FdFlags::CLOEXEC);
        assert!(closed_by_exec, "{who}: {body:?}");
        spawn_blocking(move || use_it(who, body, fd)).await??;
    }
    Ok(())
}

fn use_it(who: &str, body: Moved, fd: OwnedFd) -> io::Result<()> {
    match body {
        Moved::Stream => write!(TcpStream::from(fd), "it came to {who}"),
        Moved::Listener => {
            let (mut stream, _) = TcpListener::from(fd).accept()?;
            write!(stream, "it came to {who}")
        }
        Moved::File(way) => {
            let mut text = String::new();
            File::from(fd).read_to_string(&mut text)?;
            println!("{way}, a file that says {text:?} came to {who}");
            Ok(())
        }
        Moved::Numbered(number) => panic!("{number} in this scene"),
    }
}

/// Takes numbered descriptors until all are accounted for, and says what came of them.
async fn tally(mut moved: Mailbox<Moved>) {
    let count = count();
    let (mut came, mut lost, mut missed) = (0, 0, 0);
    while came + lost + missed < count {
        match moved.recv().await.expect("a cluster") {
            Ok(Mail { body: Moved::Numbered(number), fd: Some(fd), .. }) => {
                assert_eq!(
                    number,
                    came + lost + missed,
                    "{came} came, {lost} lost, {missed} missed"
                );
                assert!(rustix::fs::fstat(fd.as_fd()).is_ok());
                came += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) if error.is_descriptor_lost() => lost += 1,
            Err(error) => missed += error.is_lagged().expect("no other error"),
        }
    }
    println!("{came} came, {lost} lost, {missed} missed");
    let more = tokio::time::timeout(Duration::from_millis(20), moved.recv()).await;
    assert!(more.is_err(), "more came than was sent");
}
