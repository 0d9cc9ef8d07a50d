//! The two ways a process of the cluster comes to be: exec from a kept descriptor, and forking twice.
//!
//! Both block every signal around the fork. Neither waits without end: an exec that fails is told on
//! the link, and a fork is waited for only as long as the intermediate process lives, which does four
//! system calls.
#![allow(unsafe_code)]

use std::{
    ffi::{CString, OsString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    libc,
    sys::signal::SigSet,
    unistd::{ForkResult, fork},
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::{
    signal::{self, Blocked},
    wait,
};

/// A program that can be started again and again: one inode, called as this process was.
#[derive(Debug)]
pub(crate) struct Image {
    /// `O_PATH` on the executable's inode: the same code even after the file was replaced.
    executable: OwnedFd,
    call: Arc<Call>,
}

/// How this process was called: path, arguments, environment, signal mask.
#[derive(Debug)]
struct Call {
    path: PathBuf,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    mask: SigSet,
}

impl Image {
    /// The program of this process. To be called before anything changes the environment, the mask or
    /// the working directory.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let executable = open_path(Path::new("/proc/self/exe"))?;
        let arguments = std::env::args_os().map(c_string).collect::<io::Result<_>>()?;
        let environment = std::env::vars_os()
            .map(|(mut pair, value)| {
                pair.push("=");
                pair.push(value);
                c_string(pair)
            })
            .collect::<io::Result<_>>()?;
        let path = called_path()?;
        let call = Call { path, arguments, environment, mask: signal::current_mask() };
        Ok(Self { executable, call: Arc::new(call) })
    }

    /// The same program again.
    pub(crate) fn same(&self) -> Result<Self, String> {
        let executable = self.executable.try_clone().map_err(|e| format!("dup: {e}"))?;
        Ok(Self { executable, call: Arc::clone(&self.call) })
    }

    /// The program that is now at the path by which this one was called.
    ///
    /// # Errors
    /// The path, and why nothing can be opened there.
    pub(crate) fn renewed(&self) -> Result<Self, String> {
        let path = &self.call.path;
        let executable = open_path(path).map_err(|e| format!("open {}: {e}", path.display()))?;
        Ok(Self { executable, call: Arc::clone(&self.call) })
    }

    /// Where a renewed program comes from.
    pub(crate) fn path(&self) -> &Path {
        &self.call.path
    }

    /// Starts the program anew with `handed` open in it, under the same number, and `variable`, made
    /// from that number, in its environment, and with `stderr` as its own if there is one. Returns the
    /// pid.
    ///
    /// If the exec fails, the new process sends `failed(errno)` on `handed` and exits 127; `failed`
    /// must not allocate.
    pub(crate) fn exec<const N: usize>(
        &self,
        handed: BorrowedFd<'_>,
        stderr: Option<BorrowedFd<'_>>,
        variable: impl FnOnce(RawFd) -> String,
        failed: fn(i32) -> [u8; N],
    ) -> io::Result<i32> {
        let handed = handed.as_raw_fd();
        // Everything that allocates comes before the fork: this process has threads.
        let variable = CString::new(variable(handed))?;
        let stderr = stderr.map(|stderr| stderr.as_raw_fd());
        let argv = pointers(self.call.arguments.iter());
        let envp = pointers(self.call.environment.iter().chain([&variable]));
        let blocked = Blocked::all();
        // SAFETY: the child calls only async-signal-safe functions, none of which allocates or takes
        // a lock, and then execs or exits; `argv` and `envp` outlive it, since it has its own copy.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(blocked);
                Ok(child.as_raw())
            }
            ForkResult::Child => {
                signal::reset_for_exec(&self.call.mask);
                // SAFETY: fcntl, dup2, execveat, send and _exit are async-signal-safe; the pointers are to
                // NUL-terminated strings in arrays that end with a null pointer.
                unsafe {
                    libc::fcntl(handed, libc::F_SETFD, 0);
                    if let Some(stderr) = stderr {
                        libc::dup2(stderr, libc::STDERR_FILENO);
                    }
                    libc::syscall(
                        libc::SYS_execveat,
                        self.executable.as_raw_fd(),
                        c"".as_ptr(),
                        argv.as_ptr(),
                        envp.as_ptr(),
                        libc::AT_EMPTY_PATH,
                    );
                    let told = failed(Errno::last_raw());
                    libc::send(handed, told.as_ptr().cast(), told.len(), libc::MSG_NOSIGNAL);
                    libc::_exit(127)
                }
            }
        }
    }
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The path by which this program was called, if it leads to it; else where the kernel found it.
///
/// Links in it are kept: a deployment that moves one is what a reload is for. So the working directory
/// is taken as the shell names it.
fn called_path() -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let own = identity(Path::new("/proc/self/exe"));
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let here = std::env::var_os("PWD")
        .map(PathBuf::from)
        .filter(|pwd| pwd.is_absolute() && identity(pwd) == identity(Path::new(".")));
    let here = here.map_or_else(std::env::current_dir, Ok).unwrap_or_default();
    let candidates: Vec<PathBuf> = if called.components().count() > 1 || called.has_root() {
        // Without `.`, as a person reads it.
        vec![here.join(&called).components().collect()]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| here.join(dir).join(&called)).collect()
    };
    let found = candidates.into_iter().find(|path| own.is_some() && identity(path) == own);
    found.map_or_else(|| std::fs::read_link("/proc/self/exe"), Ok)
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*const libc::c_char> {
    strings.map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Which of the two processes this is after [`fork_twice`].
#[derive(Debug)]
pub(crate) enum Forked {
    /// The process that called, with the pid of the new one.
    Caller(i32),
    /// The new process. All its signals are blocked until the value is dropped.
    New(Blocked),
}

/// Forks a process that is nobody's child here: it is adopted by the nearest subreaper.
///
/// **Returns twice**, once in each process. The caller must have one thread; it is the caller that
/// checks (`process::threads`). When this returns in the caller, the adoption has taken place, since
/// the kernel hands children on before their parent can be reaped.
///
/// # Errors
/// The errno of whichever of the two forks failed.
pub(crate) fn fork_twice() -> Result<Forked, Errno> {
    let (pid_in, pid_out) = pipe_with(PipeFlags::CLOEXEC).map_err(to_nix)?;
    let blocked = Blocked::all();
    // SAFETY: this process has one thread, as the caller has checked, so that the child may run any code.
    let intermediate = match unsafe { fork() }? {
        ForkResult::Parent { child } => child.as_raw(),
        ForkResult::Child => {
            // SAFETY: as above; the child of a single-threaded process has one thread.
            let told = match unsafe { fork() } {
                Ok(ForkResult::Child) => return Ok(Forked::New(blocked)),
                Ok(ForkResult::Parent { child }) => child.as_raw(),
                Err(errno) => -(errno as i32),
            };
            let _ = rustix::io::write(&pid_out, &told.to_ne_bytes());
            // SAFETY: _exit(2) ends this process without running anything; that is the point, since
            // exit handlers and buffers belong to the caller.
            unsafe { libc::_exit(0) }
        }
    };
    drop(pid_out);
    let mut told = [0; 4];
    let read = loop {
        match rustix::io::read(&pid_in, &mut told) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result,
        }
    };
    // The read ends when the intermediate has written or is gone; it lives for no other purpose.
    while let Ok(None) = wait::reap(intermediate) {
        std::thread::yield_now();
    }
    drop(blocked);
    match (read, i32::from_ne_bytes(told)) {
        (Ok(4), pid) if pid > 0 => Ok(Forked::Caller(pid)),
        (Ok(4), errno) => Err(Errno::from_raw(-errno)),
        // It was killed before it could write: as good as a fork that failed for now.
        _ => Err(Errno::EAGAIN),
    }
}

fn to_nix(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

/// Makes an owner of the descriptor with this number, which was handed over by the parent process.
///
/// # Safety
/// The number must have been named by the handover of this process and be taken only once.
pub(crate) unsafe fn take_handed(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD reads a flag and fails on a number that is not open.
    if number < 3 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: open, as just seen, and nobody else's, as the caller promises.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(owned)
}
