//! A program with arguments, without a shell between: safe for words that come from strangers. Ends by
//! itself.
//!
//! ```text
//! cargo run --release --example exec_file
//! ```

use std::io;

use cluster::process::{self, ErrorKind};

#[cluster::main(workers = 0)]
async fn main() -> io::Result<()> {
    // To a shell this would be an order; here it is a word.
    let word = "; rm -rf $HOME";
    let output = process::exec_file("printf", ["%s", word]).await?;
    println!("printed: {}", output.stdout_text());

    let output = process::exec_file("sh", ["-c", "echo $GREETING in $PWD"])
        .env_clear()
        .env("GREETING", "hello")
        .current_dir("/")
        .await?;
    println!("shell: {}", output.stdout_text().trim());

    let output = process::exec_file("tr", ["a-z", "A-Z"]).input("written to its stdin").await?;
    println!("tr: {}", output.stdout_text());

    match process::exec_file("no-such-program", ["--help"]).await {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("error: {error}"),
        other => println!("surprising: {other:?}"),
    }

    // The same for code that has no runtime.
    let output = process::exec_file_sync("echo", ["waited for on this thread"])?;
    println!("sync: {}", output.stdout_text().trim());
    Ok(())
}
