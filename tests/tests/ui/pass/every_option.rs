use cluster::Master;

const PER_CORE: usize = 1;

struct App;

impl App {
    fn setup() {}

    fn load() -> Self {
        Self
    }
}

async fn watch(_master: Master) -> Result<(), String> {
    Ok(())
}

fn cores() -> usize {
    2
}

#[cluster::main(
    workers = PER_CORE * cores(),
    respawn = "on-failure",
    backoff = "100ms..30s",
    give_up = 5,
    grace = "1m 30s",
    stop_delay = "0s",
    start_timeout = "1h30m",
    hang_timeout = "100ms",
    recycle(connections = 10_000, age = "1h", rss = "512MiB", jitter = 0.1),
    surplus = 1,
    schedule = "least-connections",
    flavor = "multi_thread",
    worker_threads = 2,
    pin,
    init = App::setup,
    master = watch,
    preload = App::load,
    crate = ::cluster,
)]
async fn main(_app: &'static App) {}
