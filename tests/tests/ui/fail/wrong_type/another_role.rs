struct Role;

#[cluster::main]
async fn main(_role: Role) {}
