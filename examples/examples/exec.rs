//! Shell lines run to their end, their output collected, bounded in time and size. Ends by itself.
//!
//! ```text
//! cargo run --release --example exec
//! ```

use std::{io, time::Duration};

use cluster::process;

#[cluster::main(workers = 0)]
async fn main() -> io::Result<()> {
    let output = process::exec("echo one two three | wc -w").await?;
    println!("words: {}", output.stdout_text().trim());

    // A code other than 0 is an output like any other; `checked` makes it an error.
    let output = process::exec("echo 'cannot find it' >&2; exit 3").await?;
    println!("code: {:?}", output.status.code());
    if let Err(error) = output.checked() {
        println!("checked: {error}");
    }

    // At its timeout the shell ends, and so do the two that it has started.
    let slow = process::exec("echo begun; sleep 60 & sleep 60 & wait");
    if let Err(error) = slow.timeout(Duration::from_millis(200)).await {
        let wrote = error.output().map(|output| output.stdout_text().trim().to_owned());
        println!("timeout: {error}; it had written {wrote:?}");
    }

    // So does one that writes too much.
    if let Err(error) = process::exec("yes").max_buffer(1000).await {
        let kept = error.output().map_or(0, |output| output.stdout.len());
        println!("too much: {error}; {kept} bytes are kept");
    }
    Ok(())
}
