//! Signals of this process: handlers that only set a bit and ring, empty handlers, masks kept and restored.
//!
//! A handler does three things, all async-signal-safe: it looks who else handles the signal, sets bits, and
//! writes to an eventfd.
//! Handlers rather than ignoring or blocking, since both of those are inherited by programs that the
//! user starts, while `execve(2)` resets a handler; and a handler that user code installs with tokio
//! calls ours after its own.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd},
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
        },
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::sys::wake::Wake;

/// The signals that came since [`take`], a bit each.
static CAME: AtomicU64 = AtomicU64::new(0);
/// The signals that came while a handler of other code was installed, a bit each.
static HEARD: AtomicU64 = AtomicU64::new(0);
/// The eventfd that the handler writes to; -1 before [`ring_on`].
static BELL: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: libc::c_int) {
    let errno = Errno::last_raw();
    note_who_heard(signal);
    CAME.fetch_or(1 << signal, Ordering::Release);
    let bell = BELL.load(Ordering::Acquire);
    if bell >= 0 {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: write(2) is async-signal-safe (signal-safety(7)); the buffer is eight bytes on this
        // stack; `bell` is never closed once stored (see `ring_on`).
        unsafe { libc::write(bell, one.as_ptr().cast(), one.len()) };
    }
    Errno::set_raw(errno);
}

extern "C" fn nothing(signal: libc::c_int) {
    let errno = Errno::last_raw();
    note_who_heard(signal);
    Errno::set_raw(errno);
}

/// A handler of this file is run although another is installed only if that one calls it. Async-signal-safe,
/// since sigaction(2) is.
fn note_who_heard(signal: libc::c_int) {
    if handler_of(signal).is_some_and(is_foreign) {
        HEARD.fetch_or(1 << signal, Ordering::Release);
    }
}

/// Whether a handler that other code installed, and that calls ours as tokio's does, was run for `signal`.
pub(crate) fn was_heard(signal: Signal) -> bool {
    HEARD.load(Ordering::Acquire) & (1 << (signal as u32)) != 0
}

/// Lets the handlers of this process ring `wake` from now on.
pub(crate) fn ring_on(wake: &Wake) -> io::Result<()> {
    // A copy that is never closed: a handler may run at any time until the process ends.
    let bell: OwnedFd = wake.as_fd().try_clone_to_owned()?;
    let previous = BELL.swap(bell.into_raw_fd(), Ordering::AcqRel);
    debug_assert!(previous < 0, "one bell a process");
    Ok(())
}

/// The signals that came since the last call.
pub(crate) fn take() -> impl Iterator<Item = Signal> {
    let came = CAME.swap(0, Ordering::AcqRel);
    Signal::iterator().filter(move |&signal| came & (1 << (signal as u32)) != 0)
}

/// Notes `signal` for [`take`] and rings, from now on.
pub(crate) fn watch(signal: Signal) {
    install(signal, note);
}

/// Lets `signals` come to this thread, and to those that it starts, although the program was started with them
/// blocked.
pub(crate) fn unblock(signals: impl IntoIterator<Item = Signal>) {
    let set: SigSet = signals.into_iter().collect();
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

/// Lets `signal` come and do nothing, from now on.
pub(crate) fn disregard(signal: Signal) {
    install(signal, nothing);
}

fn install(signal: Signal, handler: extern "C" fn(libc::c_int)) {
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: both handlers are async-signal-safe, as argued on them.
    let installed = unsafe { sigaction(signal, &action) };
    debug_assert!(installed.is_ok(), "every signal that is named here can be caught");
}

/// What happens when `signal` comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignored,
    /// A handler of this file.
    Ours,
    /// A handler that other code installed.
    Foreign,
}

/// The disposition of `signal` now.
pub(crate) fn disposition(signal: Signal) -> Disposition {
    match handler_of(signal as libc::c_int) {
        None | Some(libc::SIG_DFL) => Disposition::Default,
        Some(libc::SIG_IGN) => Disposition::Ignored,
        Some(handler) if is_foreign(handler) => Disposition::Foreign,
        Some(_) => Disposition::Ours,
    }
}

/// The address of the handler of `signal`, or one of the two constants.
fn handler_of(signal: libc::c_int) -> Option<libc::sighandler_t> {
    let mut current = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only reads the old one (sigaction(2)), into memory of its size.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), current.as_mut_ptr()) };
    // SAFETY: the call succeeded, so the kernel and libc have filled it in.
    (result == 0).then(|| unsafe { current.assume_init() }.sa_sigaction)
}

fn is_foreign(handler: libc::sighandler_t) -> bool {
    let ours = [note as *const () as usize, nothing as *const () as usize];
    ![libc::SIG_DFL, libc::SIG_IGN].contains(&handler) && !ours.contains(&handler)
}

/// Every signal blocked on this thread until dropped, then the mask as it was: for the moments around
/// a fork, so that no handler of the parent runs in the child.
#[derive(Debug)]
pub(crate) struct Blocked {
    before: SigSet,
}

impl Blocked {
    pub(crate) fn all() -> Self {
        let mut before = SigSet::empty();
        let blocked =
            pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
        debug_assert!(blocked.is_ok(), "SIG_SETMASK with valid sets cannot fail");
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Blocks every signal on this thread for good: for threads of the cluster's own, so that handlers
/// run where the user expects them.
pub(crate) fn block_on_this_thread() {
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
}

/// Sends `signal` to this process.
pub(crate) fn raise(signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), signal);
}

/// For the child of a fork, before exec: default dispositions where a handler was (an ignored signal
/// stays ignored, as exec keeps it), and then `mask`. Calls only async-signal-safe functions.
pub(crate) fn reset_for_exec(mask: &SigSet) {
    for signal in Signal::iterator() {
        if matches!(disposition(signal), Disposition::Ours | Disposition::Foreign) {
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            // SAFETY: the default disposition runs no code of this process.
            let _ = unsafe { sigaction(signal, &default) };
        }
    }
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(mask), None);
}

/// The mask of the calling thread.
pub(crate) fn current_mask() -> SigSet {
    SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty())
}

/// TTIN and TTOU as orders: only those that a process sent, not those by which the kernel stops a
/// background job that touches its terminal.
///
/// Blocked and read from a descriptor, on every thread: with a handler, each touch of the terminal would
/// begin anew for ever; by default, the kernel's would stop the master.
#[derive(Debug)]
pub(crate) struct JobControl(SignalFd);

impl JobControl {
    /// Blocks both on this thread, and so on those that it starts.
    pub(crate) fn take_over() -> io::Result<Self> {
        let mut both = SigSet::empty();
        both.add(Signal::SIGTTIN);
        both.add(Signal::SIGTTOU);
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&both), None)?;
        Ok(Self(SignalFd::with_flags(&both, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Those that came from processes since the last call.
    pub(crate) fn take(&mut self) -> Vec<Signal> {
        let mut came = Vec::new();
        while let Ok(Some(info)) = self.0.read_signal() {
            // Above zero the kernel is the sender (sigaction(2), si_code).
            let from_process = info.ssi_code <= 0;
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
            came.extend(signal.filter(|_| from_process));
        }
        came
    }
}

impl AsFd for JobControl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_signal_is_taken_once() {
        let wake = Wake::new().expect("an eventfd");
        ring_on(&wake).expect("a copy");
        watch(Signal::SIGURG);
        assert_eq!(disposition(Signal::SIGURG), Disposition::Ours);
        raise(Signal::SIGURG);
        // Another thread of the test harness may run the handler, a little later.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        assert!(crate::sys::wake::readable(&wake, deadline).expect("polled"));
        let came: Vec<_> = take().collect();
        assert_eq!(came, [Signal::SIGURG]);
        assert_eq!(take().count(), 0);
    }

    #[test]
    fn blocked_comes_back_as_it_was() {
        let before = current_mask();
        drop(Blocked::all());
        assert_eq!(before, current_mask());
    }
}
