//! A cluster whose processes start children by `cluster::process`: `/many/PLACE/N` awaits N of them, fifty
//! at a time, `/born/PLACE` answers what a shell was born with, `/emfile` starts one with no descriptor left,
//! `/crowded/N` gives one a descriptor while N files are open.
//!
//! PLACE is `worker` or `master`; the master is asked by message. Serves `127.0.0.1:0`.

use axum::{Router, extract::Path, routing::get};
use cluster::{Address, ClusterMessage, Master, TcpListener, process};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = String)]
enum Do {
    Many(usize),
    Born,
}

#[cluster::main(workers = 1, respawn, master = obey)]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let app = Router::new()
        .route("/many/{place}/{count}", get(many_at))
        .route("/born/{place}", get(born_at))
        .route("/emfile", get(emfile))
        .route("/crowded/{count}", get(crowded));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn obey(_master: Master) {
    let mut orders = cluster::subscribe::<Do>();
    while let Some(Ok(mail)) = orders.recv().await {
        let outcome = match mail.body {
            Do::Many(count) => many(count).await,
            Do::Born => born().await,
        };
        mail.reply.send(&outcome).await.expect("a worker waits");
    }
}

async fn at(place: &str, what: Do) -> String {
    if place == "master" {
        let asked = cluster::request(Address::Master, &what);
        return asked.timeout(std::time::Duration::from_secs(60)).await.expect("a reply");
    }
    match what {
        Do::Many(count) => many(count).await,
        Do::Born => born().await,
    }
}

async fn many_at(Path((place, count)): Path<(String, usize)>) -> String {
    at(&place, Do::Many(count)).await
}

async fn born_at(Path(place): Path<String>) -> String {
    at(&place, Do::Born).await
}

async fn many(count: usize) -> String {
    let (mut good, mut left) = (0, count);
    let mut running = JoinSet::new();
    loop {
        while left > 0 && running.len() < 50 {
            left -= 1;
            running.spawn(process::exec_file("echo", ["here"]).output());
        }
        match running.join_next().await {
            Some(output) => {
                let output = output.expect("no panic").expect("echo runs");
                good += usize::from(output.stdout == b"here\n");
            }
            None => return format!("{good} of {count}\n"),
        }
    }
}

async fn born() -> String {
    let line =
        "grep -E '^Sig(Blk|Ign)' /proc/self/status; echo nofile $(ulimit -n); echo MARK; env";
    process::exec(line).await.expect("a shell").stdout_text().into_owned()
}

/// Opens files until no more can be, starts a child, closes them, and starts it again.
async fn emfile() -> String {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(64), maximum: limit.maximum };
    setrlimit(Resource::Nofile, few).expect("a lower limit");
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    let error = process::spawn("true", [""; 0]).expect_err("no descriptor");
    drop(files);
    let again = process::exec_file("true", [""; 0]).await.is_ok_and(|o| o.status.success());
    setrlimit(Resource::Nofile, limit).expect("the limit before");
    format!("{:?} {}, then {again}\n", error.kind(), error.raw_os_error().unwrap_or(0))
}

async fn crowded(Path(count): Path<usize>) -> String {
    let open = || std::fs::File::open("/dev/null").expect("the limit was raised");
    let _crowd: Vec<_> = (0..count).map(|_| open()).collect();
    let command = process::exec("test -c /proc/self/fd/9 && ulimit -n").fd(9, open());
    match command.output().await {
        Ok(output) => output.stdout_text().into_owned(),
        Err(error) => format!("{error}\n"),
    }
}
