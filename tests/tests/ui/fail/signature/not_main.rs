#[cluster::main]
async fn serve() {}

fn main() {
    drop(serve());
}
