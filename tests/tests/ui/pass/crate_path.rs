use ::cluster as rt;

// A module of the crate's own name is what makes the option necessary.
mod cluster {}

#[rt::main(workers = 1, respawn, crate = rt)]
async fn main() {}
