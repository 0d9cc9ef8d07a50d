#[cluster::main]
fn main() -> std::io::Result<()> {
    // Code that awaits is what a user who forgot `async` has.
    std::future::ready(Ok(())).await
}
