#[cluster::main(
    schedule = "by-host",
    services(
        web(workers = 2),
        tls(workers = 2, schedule = "by-server-name"),
        behind(workers = 2, schedule = "by-proxy"),
        lines(workers = 2, schedule = "by-line"),
    )
)]
async fn main() {}

async fn web() {}

async fn tls() {}

async fn behind() {}

async fn lines() {}
