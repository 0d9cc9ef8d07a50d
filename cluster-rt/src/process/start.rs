//! Starting a child: from a `Command` to a process, or to an error that says what was wrong.

use std::{ffi::OsString, io, os::unix::process::CommandExt, time::Instant};

use super::{
    Child, Command, Error, Stdio,
    error::Cause,
    tree::{Tree, Verdict},
};
use crate::sys::child::{Setup, prepare};

/// Variables that are this cluster's own business.
const OWN_VARIABLES: &str = "CLUSTER_";

pub(super) fn spawn(mut command: Command) -> Result<Child, Error> {
    let text = command.text();
    let failed = |cause| Error::new(text.clone(), cause);
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| failed(Cause::NoRuntime))?;
    check(&command).map_err(failed)?;
    let stdin = command.stdin.take().unwrap_or(Stdio::Pipe);
    let stdout = command.stdout.take().unwrap_or(Stdio::Pipe);
    let stderr = command.stderr.take().unwrap_or(Stdio::Pipe);
    // One that shares the terminal's input has to stay in the group that the terminal serves.
    let leads = command.detached || !matches!(stdin, Stdio::Inherit);
    let mut std = to_std(&command);
    std.stdin(stdin.into_std()).stdout(stdout.into_std()).stderr(stderr.into_std());
    if leads && !command.detached {
        std.process_group(0);
    }
    let descriptors = std::mem::take(&mut command.descriptors);
    let setup = Setup { session: command.detached, descriptors };
    let os = |operation| move |error| Cause::Os { operation, error };
    let reserved = prepare(&mut std, setup).map_err(os("fcntl")).map_err(failed)?;
    let started = Instant::now();
    let mut child =
        tokio::process::Command::from(std).spawn().map_err(|e| failed(cause(&command, e)))?;
    drop(reserved);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let tree = Tree::new(child, leads).map_err(os("pidfd_open")).map_err(failed)?;
    let watch = watch(&runtime, &mut command, &tree);
    let parts =
        super::child::Parts { tree, watch, started, command: text, detached: command.detached };
    Ok(Child::new(parts, stdin, stdout, stderr))
}

/// What the kernel or the standard library would refuse with less to go by.
fn check(command: &Command) -> Result<(), Cause> {
    use std::os::unix::ffi::OsStrExt;
    let names = command.env.iter().map(|(name, _)| name);
    let values = command.env.iter().filter_map(|(_, value)| value.as_ref());
    let words = [Some(&command.program), command.argv0.as_ref()].into_iter().flatten();
    let words = words.chain(&command.arguments).chain(names).chain(values);
    let directory = command.directory.as_ref().map(|directory| OsString::from(directory.clone()));
    if let Some(word) = words.chain(&directory).find(|word| word.as_bytes().contains(&0)) {
        return Err(Cause::InvalidInput(format!("{word:?} has a NUL byte")));
    }
    if let Some((number, _)) = command.descriptors.iter().find(|(number, _)| *number < 3) {
        let text = format!("descriptor {number}: 0 to 2 are stdin, stdout and stderr");
        return Err(Cause::InvalidInput(text));
    }
    match &command.directory {
        Some(directory) if !directory.is_dir() => Err(Cause::BadDirectory(directory.clone())),
        _ => Ok(()),
    }
}

fn to_std(command: &Command) -> std::process::Command {
    let mut std = std::process::Command::new(&command.program);
    std.args(&command.arguments);
    if let Some(name) = &command.argv0 {
        std.arg0(name);
    }
    if let Some(directory) = &command.directory {
        std.current_dir(directory);
    }
    if command.clear_env {
        std.env_clear();
    } else {
        let own = |name: &OsString| name.to_string_lossy().starts_with(OWN_VARIABLES);
        for (name, _) in std::env::vars_os().filter(|(name, _)| own(name)) {
            std.env_remove(name);
        }
    }
    for (name, value) in &command.env {
        match value {
            Some(value) => std.env(name, value),
            None => std.env_remove(name),
        };
    }
    if let Some(gid) = command.gid {
        std.gid(gid);
    }
    if let Some(uid) = command.uid {
        // As root, the standard library drops the supplementary groups with it.
        std.uid(uid);
    }
    std
}

fn cause(command: &Command, error: io::Error) -> Cause {
    match &command.directory {
        // Gone since it was looked at.
        Some(directory) if !directory.is_dir() => Cause::BadDirectory(directory.clone()),
        _ => Cause::Spawn(error),
    }
}

/// Starts the task that ends the child at its timeout or when it is cancelled.
fn watch(
    runtime: &tokio::runtime::Handle,
    command: &mut Command,
    tree: &Tree,
) -> Option<tokio::task::AbortHandle> {
    let (timeout, cancel) = (command.timeout, command.cancel.take());
    if timeout.is_none() && cancel.is_none() {
        return None;
    }
    let (signal, grace, tree) = (command.kill_signal, command.kill_grace, tree.clone());
    let watch = async move {
        let over = async {
            match timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = async {
            match cancel {
                Some(cancel) => cancel.await,
                None => std::future::pending().await,
            }
        };
        let verdict = tokio::select! {
            biased;
            () = cancelled => Verdict::Cancelled,
            () = over => Verdict::TimedOut,
        };
        tree.condemn(verdict);
        // What became of it is for whoever waits for the child to see.
        let _ = tree.end(signal, grace).await;
    };
    Some(runtime.spawn(watch).abort_handle())
}
