//! Two services: web workers take requests and have the work done by job workers, in processes of their own.
//!
//! ```text
//! cargo run --release --example services
//! curl http://127.0.0.1:8080/primes/100000
//! pkill -9 -P $(pgrep -o services) -f 'worker [45]'    # all job workers: some 503, then all is well
//! ```
//!
//! The web workers begin when a job worker is ready, and are the first to drain at a stop (`after`). Each
//! service has its number of workers, which a variable overrides: `CLUSTER_WORKERS_JOBS=8`.

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use cluster::{Address, ClusterMessage, TcpListener};
use serde::{Deserialize, Serialize};

/// How many primes are below this number?
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = Found)]
struct Primes(u32);

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Found {
    primes: usize,
    slot: usize,
}

// `main` is the master's. When it ends well, the cluster goes on.
#[cluster::main(services(web(workers = 4, after = jobs), jobs = 2), respawn)]
async fn main() {}

async fn web() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    let app = Router::new().route("/primes/{below}", get(primes));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// A request fails at once when its job worker dies, or when there is none; nobody waits for ever.
async fn primes(Path(below): Path<u32>) -> Result<String, (StatusCode, String)> {
    let job = Primes(below.min(10_000_000));
    match cluster::request(Address::Service("jobs"), &job).await {
        Ok(Found { primes, slot }) => Ok(format!("{primes} primes, says slot {slot}\n")),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("try again: {error}\n"))),
    }
}

async fn jobs() -> Result<(), cluster::Error> {
    let slot = cluster::worker().slot();
    let mut asked = cluster::subscribe::<Primes>();
    cluster::set_ready();
    loop {
        let mail = tokio::select! {
            // Whoever has asked already is answered first.
            biased;
            mail = asked.recv() => mail,
            () = cluster::draining() => return Ok(()),
        };
        let Some(mail) = mail else { return Ok(()) };
        let mail = mail?;
        // Whoever asked may have given up while this worker was busy.
        if !mail.reply.is_awaited() {
            continue;
        }
        let primes = count_primes(mail.body.0);
        mail.reply.send(&Found { primes, slot }).await?;
    }
}

/// Keeps this worker busy, and no other.
fn count_primes(below: u32) -> usize {
    let is_prime = |n: &u32| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    (2..below).filter(is_prime).count()
}
