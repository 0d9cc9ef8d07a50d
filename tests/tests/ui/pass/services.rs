use std::time::Duration;

mod admin {
    pub async fn console() -> std::io::Result<()> {
        Ok(())
    }
}

struct Model(std::cell::Cell<u8>);

fn load() -> Result<Model, String> {
    Ok(Model(std::cell::Cell::new(7)))
}

async fn web(model: &Model) {
    model.0.get();
}

async fn jobs() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

const JOBS: usize = 2;

mod with_every_option {
    use super::*;

    #[cluster::main(
        preload = load,
        respawn,
        services(
            web(
                workers = 2 * JOBS,
                respawn = "always",
                backoff = "1s..2s",
                give_up = 3,
                grace = "5s",
                start_timeout = "10s",
                hang_timeout = "1s",
                recycle(age = "1h"),
                schedule = "sticky",
                flavor = "multi_thread",
                worker_threads = 2,
                optional,
                after = jobs,
            ),
            jobs = JOBS,
            admin::console,
        )
    )]
    async fn main(_master: cluster::Master) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn start() {
        let _ = main();
    }
}

mod in_code {
    use super::*;

    pub(super) fn main() -> std::process::ExitCode {
        cluster::Builder::new()
            .preload(load)
            .grace(Duration::from_secs(1))
            .service("web", web, |options| options.workers(4).after("jobs"))
            .service("jobs", async || {}, |options| options.optional())
            .run_master(async |_master| {})
    }
}

fn main() {
    if std::env::args().count() > 100 {
        with_every_option::start();
        in_code::main();
    }
}
