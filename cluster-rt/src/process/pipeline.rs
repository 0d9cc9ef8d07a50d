//! `pipeline`: children of which each reads what the one before it writes, without a copy through here.

use std::process::ExitStatus;

use super::{Child, Command, Error, Output, Stdio, error::Cause};

/// What came of a [`pipeline`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Piped {
    /// The output of the last child.
    pub output: Output,
    /// How each child ended, in the order of the commands. One whose reader ends first often ends by
    /// SIGPIPE.
    pub statuses: Vec<ExitStatus>,
}

/// Runs commands of which each reads what the one before it writes, and collects what the last one writes.
///
/// The first reads what its own `stdin` says (nothing by default), the stderr of all but the last is this
/// process's own unless they say otherwise. The options of each command hold for it alone; `input`,
/// `max_buffer` for the first and the last.
///
/// ```
/// # fn main() -> std::io::Result<()> { tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use cluster::process::{Command, pipeline};
///
/// let piped = pipeline([
///     Command::new("printf").arg("b\na\nb\n"),
///     Command::new("sort"),
///     Command::new("uniq"),
/// ])
/// .await?;
/// assert_eq!(piped.output.stdout_text(), "a\nb\n");
/// # Ok(()) }) }
/// ```
///
/// # Errors
/// There is no command, one cannot be started (those before it are ended), or the last one's error.
///
/// # Cancel safety
/// Dropping the future ends all of them, with all that they have started.
pub async fn pipeline(commands: impl IntoIterator<Item = Command>) -> Result<Piped, Error> {
    let mut commands: Vec<Command> = commands.into_iter().collect();
    let Some(mut last) = commands.pop() else {
        let nothing = Cause::InvalidInput("a pipeline of no command".to_owned());
        return Err(Error::new("pipeline", nothing));
    };
    let mut children: Vec<Child> = Vec::new();
    let mut upstream: Option<Stdio> = None;
    for mut command in commands {
        let text = command.text();
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (read, write) = pipe.map_err(|error| {
            Error::new(text, Cause::Os { operation: "pipe", error: error.into() })
        })?;
        match upstream.replace(Stdio::Fd(read)) {
            Some(from) => command.stdin = Some(from),
            None => drop(command.stdin.get_or_insert(Stdio::Null)),
        }
        command.stderr.get_or_insert(Stdio::Inherit);
        children.push(command.stdout(Stdio::Fd(write)).spawn()?);
    }
    if let Some(from) = upstream {
        last.stdin = Some(from);
    }
    let output = last.output().await?;
    let mut statuses = Vec::with_capacity(children.len() + 1);
    for child in &mut children {
        statuses.push(child.wait().await?);
    }
    statuses.push(output.status);
    Ok(Piped { output, statuses })
}
