mod bare {
    #[cluster::main(respawn)]
    pub async fn main() {}
}

mod always {
    #[cluster::main(respawn = "always")]
    pub async fn main() {}
}

mod never {
    #[cluster::main(respawn = "never")]
    pub async fn main() {}
}

fn main() {
    let mains: [fn() -> std::process::ExitCode; 3] = [bare::main, always::main, never::main];
    assert_eq!(mains.len(), 3);
}
