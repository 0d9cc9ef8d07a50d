mod deps {
    pub use ::cluster as rt;
}

#[deps::rt::main(workers = 1, flavor = "local", crate = "crate::deps::rt")]
async fn main(_role: deps::rt::Role) {}
