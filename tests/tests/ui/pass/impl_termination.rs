use std::process::{ExitCode, Termination};

#[cluster::main(workers = 1)]
async fn main() -> impl Termination {
    ExitCode::SUCCESS
}
