//! A server with a tracing subscriber that panics at every event, as one may whose output is closed.

use tracing::{Event, Metadata, Subscriber, span};

struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        assert!(event.metadata().target() != "cluster", "no line can be written");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn subscribe() {
    tracing::subscriber::set_global_default(Panics).expect("the first subscriber");
}

#[cluster::main(workers = 2, respawn, init = subscribe)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    loop {
        drop(listener.accept().await?);
    }
}
