#[cluster::main(
    workers = 4,
    recycle(
        connections = 0,
        age = 1h,
        rss = "512",
        jitter = 1.5,
        age = "2h",
        conections = 5,
        memory = "1GiB",
        frobnicate,
        = 7,
    ),
    grace = 25,
)]
async fn main() {}
