#[cluster::main(workers = 1)]
async fn main(
    #[allow(unused_variables)]
    role @ (::cluster::Role::Master(_) | ::cluster::Role::Worker(_)): ::cluster::Role,
) {
}
