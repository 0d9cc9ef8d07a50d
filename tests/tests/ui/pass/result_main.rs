#[cluster::main(workers = 2)]
async fn main() -> std::io::Result<()> {
    tokio::task::yield_now().await;
    std::future::ready(Ok(())).await
}
