mod master {
    #[cluster::main(preload = super::load)]
    async fn main(_master: cluster::Master) {}
}

mod worker {
    #[cluster::main(preload = super::load)]
    async fn main(_worker: cluster::Worker) {}
}

fn load() {}

fn main() {}
