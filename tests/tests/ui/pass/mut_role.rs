#[cluster::main(workers = 1)]
async fn main(mut role: cluster::Role) {
    let taken = &mut role;
    let _ = taken;
}
