//! A main that ends, or does not begin, as its argument says; prints `begun` first of all.
//!
//! * `err`, `panic`: before it binds anything
//! * `--help`, `--bad`: as clap does, usage and `exit`
//! * `slot`: the worker of slot 3 fails, the others serve
//! * `bind ADDRESS`: binds and serves
//! * `codes A B ..`: binds, says ready, exits with the code of its slot when something connects
//! * `early A`: returns the code A before it binds anything
//! * `mute`: binds, but never accepts
//! * `late`: returns an error soon after it has begun to accept
//! * `lingers`: returns an error at the first connection, and leaves a task that blocks for ever

use std::{io, process::ExitCode};

use cluster::TcpListener;

#[cluster::main(workers = 4)]
async fn main() -> Result<ExitCode, io::Error> {
    println!("begun");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let slot = cluster::worker().slot();
    match arguments.first().map_or("", String::as_str) {
        "err" => return Err(io::Error::other("the flux capacitor is missing")),
        "panic" => panic!("the flux capacitor is on fire"),
        "--help" => {
            println!("usage: ends [--help]");
            std::process::exit(0);
        }
        "--bad" => {
            eprintln!("error: unexpected argument");
            std::process::exit(2);
        }
        "slot" if slot == 3 => return Err(io::Error::other("slot 3 is unlucky")),
        "early" => return Ok(ExitCode::from(number(&arguments[1]))),
        "bind" => return serve(TcpListener::bind(&arguments[1]).await?).await,
        "codes" => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = listener.accept().await?;
            return Ok(ExitCode::from(number(&arguments[1 + slot])));
        }
        "mute" => {
            let _listener = TcpListener::bind("127.0.0.1:0").await?;
            std::future::pending::<()>().await;
        }
        "late" => {
            let first = TcpListener::bind("127.0.0.1:0").await?;
            // Once, by which the master hears of it.
            tokio::select! {
                biased;
                _ = first.accept() => {}
                () = std::future::ready(()) => {}
            }
            return Err(io::Error::other("the second port is taken"));
        }
        "lingers" => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            });
            let _ = listener.accept().await?;
            return Err(io::Error::other("main is over"));
        }
        _ => {}
    }
    serve(TcpListener::bind("127.0.0.1:0").await?).await
}

fn number(text: &str) -> u8 {
    text.parse().expect("a number")
}

async fn serve(listener: TcpListener) -> Result<ExitCode, io::Error> {
    // With `workers = 0` there is no master to say it.
    println!("worker {} serves {}", cluster::worker().slot(), listener.local_addr()?);
    let app = axum::Router::new()
        .route("/", axum::routing::get(|| async { format!("{}\n", cluster::worker().slot()) }));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await?;
    Ok(ExitCode::SUCCESS)
}
