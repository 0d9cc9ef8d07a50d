//! Workers on the processors of their slots, by the attribute. Each says `worker SLOT runs`.

#[cluster::main(workers = 1, pin)]
async fn main() {
    println!("worker {} runs", cluster::worker().slot());
    cluster::set_ready();
    cluster::draining().await;
}
