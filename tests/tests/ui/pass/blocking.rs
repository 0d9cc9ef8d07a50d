//! A `main` without a runtime, with what workers share.

struct Table;

fn load() -> Result<Table, String> {
    Ok(Table)
}

#[cluster::main(workers = 2, blocking, schedule = "kernel", preload = load)]
fn main(_table: &'static Table) -> std::io::Result<()> {
    Ok(())
}
