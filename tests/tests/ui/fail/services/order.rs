#[cluster::main(services(
    web(after = jobs),
    jobs(after = mail),
    mail(after = web),
    alone(after = alone),
    cron(after = nobody),
))]
async fn main() {}
