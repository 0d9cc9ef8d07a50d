//! Code before `Builder::run`, which executes in the zygote too. `thread` starts a thread named `early`
//! and `sleep` sleeps for ever in the zygote, so that it never says hello. `elsewhere` runs the cluster on a thread
//! of its own, `inside` in a runtime; `joined` has had a thread.

use std::{process::ExitCode, thread};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("thread") => {
            let early = thread::Builder::new().name("early".to_owned());
            early.spawn(park).expect("a thread");
        }
        Some("joined") => thread::spawn(|| {}).join().expect("it ends"),
        Some("elsewhere") => return thread::spawn(run).join().expect("a code"),
        Some("inside") => {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            return runtime.expect("a runtime").block_on(async { run() });
        }
        Some("sleep") if std::env::var_os("CLUSTER_HANDOVER").is_some() => park(),
        _ => {}
    }
    run()
}

fn run() -> ExitCode {
    cluster::Builder::new().workers(1).run(async || {
        println!("begun");
        cluster::draining().await;
    })
}

fn park() {
    loop {
        thread::park();
    }
}
