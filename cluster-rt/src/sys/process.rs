//! Facts and settings of this process: handover variable, title, limits, threads, parent, exit.
//!
//! Starts nothing and sends nothing.
#![allow(unsafe_code)]

use std::{
    ffi::CString,
    fs, io,
    os::fd::{OwnedFd, RawFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::libc;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_child_subreaper,
    set_parent_process_death_signal, setrlimit,
};

use crate::sys::{child::remember_nofile, fork::take_handed};

/// The variable by which a zygote learns that it is one. Read and removed first of all.
pub(crate) const HANDOVER_VARIABLE: &str = "CLUSTER_HANDOVER";

/// Reads the handover variable and removes it, so that programs started from here do not see it.
pub(crate) fn take_handover_variable() -> Option<String> {
    let value = std::env::var_os(HANDOVER_VARIABLE)?;
    // SAFETY: called at the start of `Builder::run`. Under the attribute no other thread exists yet;
    // with `Builder`, a thread that user code started before may read the environment at this moment
    // only in a process that has the variable set, which is a zygote, and which is refused for having
    // that thread before anything else happens.
    unsafe { std::env::remove_var(HANDOVER_VARIABLE) };
    Some(value.to_string_lossy().into_owned())
}

/// The variable by which a forked child learns which function it is to run, and where its channel is.
pub(crate) const CHILD_VARIABLE: &str = "CLUSTER_CHILD";

/// Reads the child's variable and removes it, so that programs started from here do not see it.
pub(crate) fn take_child_variable() -> Option<String> {
    let value = std::env::var_os(CHILD_VARIABLE)?;
    // SAFETY: as for `take_handover_variable`: under the attribute no other thread exists yet; with
    // `Builder`, a thread that user code started before may read the environment at this moment only in
    // a process that a parent has started as a child.
    unsafe { std::env::remove_var(CHILD_VARIABLE) };
    Some(value.to_string_lossy().into_owned())
}

/// Owns the descriptor that the handover names; `None` if nothing is open there.
pub(crate) fn handed_descriptor(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the variable is removed when it is read, so this runs once a process, before anything
    // but the standard library has opened a descriptor above 2.
    unsafe { take_handed(number) }
}

/// The names of this process's threads; one for a process that may fork.
pub(crate) fn threads() -> io::Result<Vec<String>> {
    fs::read_dir("/proc/self/task")?
        .map(|task| {
            let name = fs::read_to_string(task?.path().join("comm"))?;
            Ok(name.trim_end().to_owned())
        })
        .collect()
}

/// Whether the caller is the thread that the process began with.
pub(crate) fn is_first_thread() -> bool {
    rustix::thread::gettid() == getpid()
}

/// How the program was called: the last part of `argv[0]`.
pub(crate) fn name() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_string_lossy();
    if name.is_empty() { "cluster".to_owned() } else { name.into_owned() }
}

/// Makes orphaned descendants this process's children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Dies by SIGKILL when the parent's thread that started or adopted this process ends, and makes sure
/// that the parent still is `parent`. Waits for an adoption for at most `patience`.
pub(crate) fn die_with(parent: i32, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while parent_pid() != parent {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("process {parent} is not the parent")));
        }
        // The intermediate process ends within microseconds of the fork.
        std::thread::sleep(Duration::from_micros(20));
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the signal was armed (prctl(2), PR_SET_PDEATHSIG).
    if parent_pid() != parent {
        return Err(io::Error::other(format!("process {parent} has ended")));
    }
    Ok(())
}

/// The pid of the parent; 0 if it is outside this pid namespace.
pub(crate) fn parent_pid() -> i32 {
    Pid::as_raw(getppid())
}

/// Raises the soft limit of open files to the hard one, at most 1 048 576. Children that are started here
/// get the one before.
pub(crate) fn raise_nofile() {
    /// The kernel's default ceiling, `fs.nr_open`; more would be refused.
    const NOFILE_MAX: u64 = 1_048_576;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(NOFILE_MAX, |hard| hard.min(NOFILE_MAX));
    if limit.current.is_some_and(|soft| soft < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        // Serving under the old limit is better than not serving.
        let _ = setrlimit(Resource::Nofile, raised);
        limit.current.inspect(|&before| remember_nofile(before));
    }
}

/// How many files this process may have open.
pub(crate) fn nofile() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Ends this process now: no exit handlers, no destructors, no buffers. For processes whose master is
/// gone, and for those that have not begun to run user code.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Lets `f` run when this process ends by `exit(3)`, which is what `std::process::exit` calls, on the
/// thread that does. A process that is forked from here without exec runs it too.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn at_exit(f: extern "C" fn()) -> io::Result<()> {
    // SAFETY: a function of the program, which is never unloaded; of a panic in it an `extern "C"`
    // function makes an abort.
    match unsafe { libc::atexit(f) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Whether the process was started from a terminal that has gone away since.
pub(crate) fn terminal_is_gone() -> bool {
    // ENXIO: there is no controlling terminal (tty(4)).
    let error = fs::File::open("/dev/tty").err();
    error.and_then(|error| error.raw_os_error()) == Some(libc::ENXIO)
}

/// Shows `NAME: ROLE` as this process's command line, and as much as fits of it as its name.
///
/// The memory of the real arguments is left as it is, since `std::env::args` reads it at every call;
/// the kernel is pointed to another place instead (PR_SET_MM_MAP in prctl(2)). Where that is not
/// allowed, only the 15 bytes of the name change. May be called any number of times; each leaks a few
/// bytes, since the kernel goes on reading them.
pub(crate) fn set_title(name: &str, role: &str) {
    // The name is cut rather than the role: which of the processes it is matters most.
    let room = 15_usize.saturating_sub(role.len() + 2);
    let short: String = name.chars().take(room).collect();
    if let Ok(comm) = CString::new(format!("{short}: {role}")) {
        let _ = rustix::thread::set_name(&comm);
    }
    if let Ok(title) = CString::new(format!("{name}: {role}")) {
        let _ = point_command_line_to(title);
    }
}

/// `struct prctl_mm_map` of `linux/prctl.h`, which no crate here has.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

fn point_command_line_to(title: CString) -> Option<()> {
    // The numbers of the fields are those of proc(5), from 3 on after the command's name.
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<u64> = stat
        .rsplit_once(") ")?
        .1
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let length = title.as_bytes_with_nul().len() as u64;
    let start = title.into_raw() as u64;
    // SAFETY: sbrk(0) changes nothing and returns the present break.
    let brk = unsafe { libc::sbrk(0) } as u64;
    let map = MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk,
        start_stack: field(28)?,
        arg_start: start,
        arg_end: start + length,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: the kernel copies the structure and checks every address in it; it only reads the title,
    // which is never freed.
    let result = unsafe {
        libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, &raw const map, size_of::<MemoryMap>(), 0)
    };
    (result == 0).then_some(())
}

/// The resident memory of a process and its share of that, in bytes (`smaps_rollup` in proc(5)).
pub(crate) fn memory(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        Some(kilobytes * 1024)
    };
    Some((bytes("Rss:")?, bytes("Pss:")?))
}

/// The resident memory of a process in bytes, by a faster way.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// How long the main thread of a process has been ready to run and got no processor, in all; `None` if
/// this kernel does not tell (`/proc/PID/schedstat`, Documentation/scheduler/sched-stats).
pub(crate) fn starved(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}
