#[cluster::main]
#[actix_web::main]
async fn main() {}
