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

/// The program of this process as it was started, for starting it again: code, arguments,
/// environment, signal mask.
#[derive(Debug)]
pub(crate) struct Image {
    /// `O_PATH` on the executable's inode: the same code even after the file was replaced.
    executable: OwnedFd,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    mask: SigSet,
}

impl Image {
    /// Takes the picture. To be called before anything changes the environment or the mask.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let executable = open("/proc/self/exe", flags, Mode::empty())?;
        let arguments = std::env::args_os().map(c_string).collect::<io::Result<_>>()?;
        let environment = std::env::vars_os()
            .map(|(mut pair, value)| {
                pair.push("=");
                pair.push(value);
                c_string(pair)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { executable, arguments, environment, mask: signal::current_mask() })
    }

    /// Starts the program anew with `handed` open in it, under the same number, and `variable`, made
    /// from that number, in its environment. Returns the pid.
    ///
    /// If the exec fails, the new process sends `failed(errno)` on `handed` and exits 127; `failed`
    /// must not allocate.
    pub(crate) fn exec<const N: usize>(
        &self,
        handed: BorrowedFd<'_>,
        variable: impl FnOnce(RawFd) -> String,
        failed: fn(i32) -> [u8; N],
    ) -> io::Result<i32> {
        let handed = handed.as_raw_fd();
        // Everything that allocates comes before the fork: this process has threads.
        let variable = CString::new(variable(handed))?;
        let argv = pointers(self.arguments.iter());
        let envp = pointers(self.environment.iter().chain([&variable]));
        let blocked = Blocked::all();
        // SAFETY: the child calls only async-signal-safe functions, none of which allocates or takes
        // a lock, and then execs or exits; `argv` and `envp` outlive it, since it has its own copy.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(blocked);
                Ok(child.as_raw())
            }
            ForkResult::Child => {
                signal::reset_for_exec(&self.mask);
                // SAFETY: fcntl, execveat, send and _exit are async-signal-safe; the pointers are to
                // NUL-terminated strings in arrays that end with a null pointer.
                unsafe {
                    libc::fcntl(handed, libc::F_SETFD, 0);
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
