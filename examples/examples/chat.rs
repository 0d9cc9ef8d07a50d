//! A chat: rooms over WebSockets, whose members are in different processes and do not notice.
//!
//! ```text
//! cargo run --release --example chat                     # or: ... -- 127.0.0.1:9000
//! # open http://127.0.0.1:8080/ in two windows and talk; http://127.0.0.1:8080/#garden is another room
//! kill -HUP <the master's pid>                           # every page goes over to a new worker by itself
//! kill -9 <a worker's pid>                               # so do the pages that were with that one
//! ```
//!
//! A line goes to the sockets of this process, and by `cluster::broadcast` to the other processes, whose
//! subscribers give it to theirs. Nobody can make anything grow: a line, a name and the number of sockets are
//! bounded; who does not keep up misses lines, and is told how many; who takes nothing at all is left.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use cluster::{ClusterMessage, TcpListener, http::DrainLayer};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, broadcast, broadcast::error::RecvError, broadcast::error::TryRecvError},
    time,
};

/// For each worker.
const SOCKETS_MAX: usize = 1000;
/// Lines that wait for a socket that does not keep up.
const WAITING_MAX: usize = 128;
/// In characters; the page knows them too.
const ROOM_MAX: usize = 64;
const NAME_MAX: usize = 32;
const TEXT_MAX: usize = 1000;
/// What a page sends: a name and a text, in JSON.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// How long a socket may take nothing, or say nothing though pinged, or not answer a close.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the workers tell each other.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Line {
    room: String,
    name: String,
    text: String,
    slot: usize,
}

/// What a page says.
#[derive(Deserialize)]
struct Said {
    name: String,
    text: String,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Welcome { slot: usize, worker: u64 },
    Line { name: &'a str, text: &'a str, slot: usize },
    Missed { count: u64 },
}

impl Told<'_> {
    fn to_json(&self) -> Utf8Bytes {
        serde_json::to_string(self).expect("strings and numbers").into()
    }
}

/// The sockets of this process, by room.
struct House {
    rooms: Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>,
    seats: Arc<Semaphore>,
}

impl House {
    fn enter(&self, room: &str) -> broadcast::Receiver<Utf8Bytes> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|_, lines| lines.receiver_count() > 0);
        let lines = rooms.entry(room.to_owned());
        lines.or_insert_with(|| broadcast::Sender::new(WAITING_MAX)).subscribe()
    }

    /// To the sockets of one room, or of all.
    fn tell(&self, room: Option<&str>, told: &Told<'_>) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let json = told.to_json();
        for (_, lines) in rooms.iter().filter(|(name, _)| room.is_none_or(|room| room == *name)) {
            // That all have left is no error.
            let _ = lines.send(json.clone());
        }
    }

    fn deliver(&self, line: &Line) {
        let told = Told::Line { name: &line.name, text: &line.text, slot: line.slot };
        self.tell(Some(&line.room), &told);
    }
}

#[cluster::main(respawn)]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let house =
        Arc::new(House { rooms: Mutex::default(), seats: Arc::new(Semaphore::new(SOCKETS_MAX)) });
    tokio::spawn(hear(Arc::clone(&house)));
    let listener = TcpListener::bind(address).await?;
    if cluster::worker().id().as_u64() == 1 {
        println!("listening on http://{}", listener.local_addr()?);
    }
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("chat.html")) }))
        .route("/rooms/{room}", get(knock))
        .with_state(house)
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// Gives the lines of the other processes to the sockets of this one.
async fn hear(house: Arc<House>) {
    let mut lines = cluster::subscribe::<Line>();
    while let Some(mail) = lines.recv().await {
        match mail {
            Ok(mail) => house.deliver(&mail.body),
            Err(error) => match error.is_lagged() {
                Some(count) => house.tell(None, &Told::Missed { count }),
                // During a reload: a program whose lines are others.
                None => eprintln!("chat: {error}"),
            },
        }
    }
}

async fn knock(
    State(house): State<Arc<House>>,
    Path(room): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if room.chars().count() > ROOM_MAX {
        return (StatusCode::BAD_REQUEST, "the room's name is too long").into_response();
    }
    let Ok(seat) = Arc::clone(&house.seats).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this worker has no seat left").into_response();
    };
    upgrade.max_message_size(FRAME_BYTES_MAX).on_upgrade(async move |mut socket| {
        // Without an end that is known, it was the other side's.
        if let Some(end) = sit(&mut socket, &house, &room).await {
            close(&mut socket, &house, &room, end).await;
        }
        drop(seat);
    })
}

/// A socket's stay in a room. Returns why it is to be closed, if it still can be.
async fn sit(socket: &mut WebSocket, house: &House, room: &str) -> Option<CloseFrame> {
    let mut lines = house.enter(room);
    let mut draining = cluster::draining();
    let mut pings = time::interval(PING_INTERVAL);
    let mut silent = false;
    let worker = cluster::worker();
    let welcome = Told::Welcome { slot: worker.slot(), worker: worker.id().as_u64() };
    send(socket, Message::Text(welcome.to_json())).await?;
    loop {
        tokio::select! {
            line = lines.recv() => {
                let json = match line {
                    Ok(json) => json,
                    Err(RecvError::Lagged(count)) => Told::Missed { count }.to_json(),
                    Err(RecvError::Closed) => return None,
                };
                send(socket, Message::Text(json)).await?;
            }
            message = socket.recv() => {
                silent = false;
                if let Message::Text(json) = message?.ok()? {
                    if !say(house, room, &json).await {
                        return Some(CloseFrame { code: close_code::POLICY, reason: "not a line".into() });
                    }
                }
            }
            _ = pings.tick() => {
                if std::mem::replace(&mut silent, true) {
                    return None;
                }
                send(socket, Message::Ping(axum::body::Bytes::new())).await?;
            }
            () = &mut draining => break,
        }
    }
    // What was said before is heard before.
    loop {
        let json = match lines.try_recv() {
            Ok(json) => json,
            Err(TryRecvError::Lagged(count)) => Told::Missed { count }.to_json(),
            Err(_) => break,
        };
        send(socket, Message::Text(json)).await?;
    }
    Some(CloseFrame { code: close_code::RESTART, reason: "service restart".into() })
}

/// What the page had sent before it knew of the close is still passed on.
async fn close(socket: &mut WebSocket, house: &House, room: &str, end: CloseFrame) {
    if send(socket, Message::Close(Some(end))).await.is_none() {
        return;
    }
    let _ = time::timeout(CLOSE_TIMEOUT, async {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(json) = message {
                say(house, room, &json).await;
            }
        }
    })
    .await;
}

/// `None` if the socket is gone, or takes nothing.
async fn send(socket: &mut WebSocket, message: Message) -> Option<()> {
    time::timeout(SEND_TIMEOUT, socket.send(message)).await.ok()?.ok()
}

/// Tells everybody in the room what a page says. `false` if that is no line.
async fn say(house: &House, room: &str, json: &str) -> bool {
    let Ok(said) = serde_json::from_str::<Said>(json) else { return false };
    let cut = |text: &str, max| text.trim().chars().take(max).collect::<String>();
    let (name, text) = (cut(&said.name, NAME_MAX), cut(&said.text, TEXT_MAX));
    if name.is_empty() || text.is_empty() {
        return false;
    }
    let line = Line { room: room.to_owned(), name, text, slot: cluster::worker().slot() };
    house.deliver(&line);
    // Waits while the outbox of this process is full, and with it the page.
    if let Err(error) = cluster::broadcast(&line).await {
        eprintln!("chat: {error}");
    }
    true
}
