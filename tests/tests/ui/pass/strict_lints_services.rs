//! What generated code for services has to pass.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

#[cluster::main(services(web(workers = 2, optional), jobs = 1))]
async fn main(master: cluster::Master) {
    let _ = master.scale_service("web", 3).await;
    master.stop().await;
}

async fn web() {
    cluster::draining().await;
}

async fn jobs() {
    cluster::draining().await;
}
