#[cluster::main(services(
    web(wrokers = 4, essential, user = "www", grace = 25),
    web = 2,
    jobs(workers = 0, workers = 2, optional = true, after = "web"),
))]
async fn main() {}
