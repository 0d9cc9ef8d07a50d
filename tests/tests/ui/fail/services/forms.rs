#[cluster::main(services)]
async fn main() {}

mod value {
    #[cluster::main(services = 4)]
    async fn main() {}
}

mod none {
    #[cluster::main(services())]
    async fn main() {}
}

mod no_number {
    #[cluster::main(services(web = ))]
    async fn main() {}
}

mod not_a_name {
    #[cluster::main(services("web" = 4, 7))]
    async fn main() {}
}
