mod result {
    pub(super) fn load() -> Result<u32, std::fmt::Error> {
        Ok(7)
    }

    #[cluster::main(preload = load, services(web = 2, builder = 1))]
    pub async fn main() {}

    async fn web() {}

    /// What generated code might call something of its own.
    async fn builder() -> std::io::Result<()> {
        Ok(())
    }
}

mod nothing {
    fn warm_up() {}

    #[cluster::main(services(web), preload = warm_up)]
    pub async fn main(_master: cluster::Master) {}

    async fn web() {}
}

mod rc {
    // Stays where it was made: nobody takes it.
    fn load() -> std::rc::Rc<u32> {
        std::rc::Rc::new(7)
    }

    #[cluster::main(preload = load, services(web = 2))]
    pub async fn main() {}

    async fn web() {}
}

mod one_takes_it {
    use super::result::load;

    #[cluster::main(preload = load, services(web = 2, jobs = 2))]
    pub async fn main() {}

    async fn web() {}

    async fn jobs(_table: &u32) {}
}

mod failure {
    fn load() -> Result<u32, &'static str> {
        Err("this line is meant to be here")
    }

    #[cluster::main(preload = load, services(web = 1))]
    pub async fn main() {}

    async fn web() {
        unreachable!();
    }
}

fn main() {
    use std::process::ExitCode;
    assert_eq!(failure::main(), ExitCode::from(70));
    // A process has one cluster; the others have to compile.
    let _: [fn() -> ExitCode; 4] = [result::main, nothing::main, rc::main, one_takes_it::main];
}
