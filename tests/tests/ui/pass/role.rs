use cluster::Role;

#[cluster::main(workers = 1)]
async fn main(role: Role) -> Result<(), String> {
    match role {
        Role::Master(_master) => Ok(()),
        Role::Worker(_worker) => Ok(()),
    }
}
