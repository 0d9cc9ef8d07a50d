mod nothing {
    use std::sync::OnceLock;

    static WARM: OnceLock<u32> = OnceLock::new();

    fn warm_up() {
        WARM.set(7).expect("once");
    }

    #[cluster::main(workers = 0, preload = warm_up)]
    pub async fn main() {
        assert_eq!(WARM.get(), Some(&7));
    }
}

mod result {
    fn load() -> Result<u32, std::fmt::Error> {
        Ok(7)
    }

    #[cluster::main(workers = 0, preload = load)]
    pub async fn main() {}
}

mod failure {
    fn load() -> Result<u32, &'static str> {
        Err("this line is meant to be here")
    }

    #[cluster::main(workers = 0, preload = load)]
    pub async fn main() {
        unreachable!();
    }
}

mod rc {
    // Stays where it was made: nobody takes it.
    fn load() -> std::rc::Rc<u32> {
        std::rc::Rc::new(7)
    }

    #[cluster::main(workers = 0, preload = load)]
    pub async fn main() {}
}

fn main() {
    use std::process::ExitCode;
    assert_eq!(failure::main(), ExitCode::from(70));
    // A process serves once; the others have to compile.
    let run = [nothing::main, result::main, rc::main];
    assert_eq!(run[0](), ExitCode::SUCCESS);
}
