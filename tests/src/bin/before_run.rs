//! Code before `Builder::run`, which executes in the zygote too. `thread` starts a thread named `early`
//! and `sleep` sleeps for ever in the zygote, so that it never says hello.

use std::{process::ExitCode, thread};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("thread") => {
            let early = thread::Builder::new().name("early".to_owned());
            early.spawn(park).expect("a thread");
        }
        Some("sleep") if std::env::var_os("CLUSTER_HANDOVER").is_some() => park(),
        _ => {}
    }
    cluster::Builder::new().workers(1).run(cluster::draining)
}

fn park() {
    loop {
        thread::park();
    }
}
