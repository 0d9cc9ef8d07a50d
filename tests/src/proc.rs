//! What `/proc` says of processes: who lives, whose child, under which title, with which descriptors.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// A script by which a shell says what it was born with: descriptors, signal sets, environment.
pub const SAY_INHERITANCE: &str =
    "ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; env; true";

/// A process as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its parent's pid.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// R, S, D, T, Z, ...
    pub state: char,
    /// Its command line, as `ps` shows it.
    pub title: String,
}

impl Process {
    /// The process with this pid.
    pub fn look(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything, so the fields are those after the last one.
        let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let title = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
        Some(Self { pid, parent, group, state, title })
    }

    /// This process.
    ///
    /// # Panics
    /// If `/proc` is not mounted.
    pub fn this() -> Self {
        let pid = std::process::id().try_into().expect("a pid");
        Self::look(pid).expect("/proc is mounted")
    }

    /// Its open descriptors and what each is, such as `socket:[123]`.
    pub fn descriptors(&self) -> BTreeMap<i32, PathBuf> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else {
            return BTreeMap::new();
        };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, fs::read_link(entry.path()).ok()?))
            })
            .collect()
    }

    /// Whether exec closes its descriptor `number`; `None` if nothing is open there.
    pub fn is_cloexec(&self, number: i32) -> Option<bool> {
        const O_CLOEXEC: u32 = 0o2_000_000;
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", self.pid)).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        Some(u32::from_str_radix(flags.trim(), 8).ok()? & O_CLOEXEC != 0)
    }

    /// The names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid)) else { return Vec::new() };
        let name = |path: PathBuf| Some(fs::read_to_string(path.join("comm")).ok()?.trim().into());
        tasks.filter_map(|task| name(task.ok()?.path())).collect()
    }

    /// The processor time that it has used, in ticks, of which a second has 100.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        // utime and stime are fields 14 and 15; the state, which comes first here, is field 3.
        let times = fields.split_ascii_whitespace().skip(11).take(2);
        times.filter_map(|time| time.parse::<u64>().ok()).sum()
    }

    /// A field of `/proc/PID/status`, such as `SigBlk`.
    pub fn status(&self, field: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }
}

/// The processes of a group that live; zombies do not.
pub fn of_group(group: i32) -> Vec<Process> {
    all().filter(|p| p.group == group && p.state != 'Z').collect()
}

/// The children of a process, zombies too.
pub fn children_of(parent: i32) -> Vec<Process> {
    all().filter(|p| p.parent == parent).collect()
}

/// How many connections wait at a listening socket of 127.0.0.1 for somebody to accept them.
pub fn backlog(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc is mounted");
    let address = format!("0100007F:{port:04X}");
    let waiting = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // 0A is TCP_LISTEN, for which the receive queue counts connections.
        let listens = fields.get(1) == Some(&address.as_str()) && fields.get(3) == Some(&"0A");
        let (_, queue) = fields.get(4).filter(|_| listens)?.split_once(':')?;
        u64::from_str_radix(queue, 16).ok()
    });
    waiting.expect("somebody listens on the port")
}

fn all() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::look)
}
