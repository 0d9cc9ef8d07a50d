//! Running a child to its end and collecting what it writes: Node's `exec` and `execFile`.
//!
//! Holds at most `max_buffer` of each stream. The child is reaped last, so that until then a timeout can
//! reach what it has started.

use std::{io, process::ExitStatus};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{
    Child, Command, Error, Output, Stdio,
    child::ChildStdin,
    error::Cause,
    start,
    tree::{Tree, Verdict},
};

/// Read in one go.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long streams are read after the child was ended from here: somebody who has left its group may
/// hold them open for ever.
const STREAMS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) async fn output(mut command: Command) -> Result<Output, Error> {
    let (limit, most) = (command.timeout.unwrap_or_default(), command.max_buffer);
    let (signal, grace) = (command.kill_signal, command.kill_grace);
    let input = command.input.take();
    let usual = if input.is_some() { Stdio::Pipe } else { Stdio::Null };
    command.stdin.get_or_insert(usual);
    let mut child = start::spawn(command)?;
    let mut stdout = Collected::new("stdout", most);
    let mut stderr = Collected::new("stderr", most);
    let ended = collect(&mut child, input, &mut stdout, &mut stderr).await;
    let tree = child.parts.tree.clone();
    let ended = match ended {
        Ended::Itself(status) => status,
        Ended::TooMuch | Ended::FromHere => tree.end(signal, grace).await,
    };
    let status = ended.map_err(|error| child.parts.failed("wait", error))?;
    child.parts.close();
    let over = [&stdout, &stderr].into_iter().find(|stream| stream.over).map(|stream| stream.name);
    let verdict = tree.verdict();
    let output = Output {
        status,
        stdout: stdout.bytes,
        stderr: stderr.bytes,
        truncated: over.is_some(),
        pid: child.id(),
        elapsed: child.parts.started.elapsed(),
        command: child.parts.command.clone(),
    };
    judge(output, over.map(|stream| Cause::MaxBuffer { stream, most }), verdict, limit)
}

/// An output, or the error that it belongs to.
fn judge(
    output: Output,
    over: Option<Cause>,
    verdict: Option<Verdict>,
    limit: std::time::Duration,
) -> Result<Output, Error> {
    use std::os::unix::process::ExitStatusExt;
    let signaled = output.status.signal().map(|_| Cause::Ended(output.status));
    let by_verdict = verdict.map(|verdict| match verdict {
        Verdict::TimedOut => Cause::TimedOut(limit),
        Verdict::Cancelled => Cause::Cancelled,
    });
    match over.or(by_verdict).or(signaled) {
        Some(cause) => Err(Error::new(output.command.clone(), cause).with_output(output)),
        None => Ok(output),
    }
}

enum Ended {
    /// With its streams.
    Itself(io::Result<ExitStatus>),
    TooMuch,
    /// By timeout or cancellation; its streams are read, or held open by somebody out of reach.
    FromHere,
}

/// One stream as far as it was read.
struct Collected {
    name: &'static str,
    bytes: Vec<u8>,
    most: usize,
    /// There was more than that.
    over: bool,
}

impl Collected {
    fn new(name: &'static str, most: usize) -> Self {
        Self { name, bytes: Vec::new(), most, over: false }
    }

    /// Reads to the end; `Err` if there is more than is to be kept.
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) -> Result<(), ()> {
        let Some(mut stream) = stream else { return Ok(()) };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // An error is the end of the stream: it is a pipe, and ours.
            let count = stream.read(&mut chunk).await.unwrap_or(0);
            if count == 0 {
                return Ok(());
            }
            let room = self.most - self.bytes.len();
            self.bytes.extend_from_slice(&chunk[..count.min(room)]);
            if count > room {
                self.over = true;
                return Err(());
            }
        }
    }
}

async fn collect(
    child: &mut Child,
    input: Option<Vec<u8>>,
    stdout: &mut Collected,
    stderr: &mut Collected,
) -> Ended {
    let (out, err, stdin) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let tree = child.parts.tree.clone();
    // A child that does not read its input to the end is none of its trouble.
    let fed = async { feed(stdin, input).await };
    let read = async { tokio::try_join!(stdout.read(out), stderr.read(err)) };
    let whole = async {
        tokio::pin!(fed);
        tokio::pin!(read);
        let mut feeding = true;
        let read = loop {
            tokio::select! {
                () = &mut fed, if feeding => feeding = false,
                read = &mut read => break read,
            }
        };
        match read {
            Ok(_) => Ended::Itself(tree.exited().await),
            Err(()) => Ended::TooMuch,
        }
    };
    tokio::select! {
        biased;
        ended = whole => ended,
        () = out_of_time(&tree) => Ended::FromHere,
    }
}

async fn feed(stdin: Option<ChildStdin>, input: Option<Vec<u8>>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        let _ = stdin.write_all(&input).await;
    }
}

/// Resolves when the child was ended from here some time ago and its streams are still open.
async fn out_of_time(tree: &Tree) {
    tree.condemned().await;
    // If it cannot be waited for, there is nothing to wait for.
    let _ = tree.exited().await;
    tokio::time::sleep(STREAMS_PATIENCE).await;
}
