//! A program that is deployed: a file that other versions of it replace while it runs.
//!
//! Behind the code of a deployed fixture program stand its version and its way to behave, which the
//! loader ignores and the program reads. So two deployed files are really two programs.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::Running;

/// The length of what stands behind the code.
const MARK_BYTES: usize = 64;
const MARK: &str = "\ncluster-test ";

/// The version of this program, and how it is to behave; `one` and `serve` if it was not deployed.
pub fn marks() -> (String, String) {
    let marked = read_marks().unwrap_or_default();
    let mut words = marked.split_ascii_whitespace().map(str::to_owned);
    let mut next = |otherwise: &str| words.next().unwrap_or_else(|| otherwise.to_owned());
    (next("one"), next("serve"))
}

fn read_marks() -> Option<String> {
    let mut program = File::open("/proc/self/exe").ok()?;
    program.seek(SeekFrom::End(-i64::try_from(MARK_BYTES).ok()?)).ok()?;
    let mut end = String::new();
    program.read_to_string(&mut end).ok()?;
    end.strip_prefix(MARK).map(str::to_owned)
}

/// A directory with one program in it, gone when dropped.
#[derive(Debug)]
pub struct Deployed {
    directory: PathBuf,
}

impl Deployed {
    /// Deploys a copy of the program at `from`.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn new(from: &str, version: &str, behaviour: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cluster-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a temporary directory");
        let deployed = Self { directory };
        deployed.replace(from, version, behaviour);
        deployed
    }

    /// Where the program is.
    pub fn path(&self) -> PathBuf {
        self.directory.join("app")
    }

    /// Starts the program that is there.
    pub fn start(&self, variables: &[(&str, &str)]) -> Running {
        Running::start(self.path().to_str().expect("an ASCII path"), &[], variables)
    }

    /// Puts another program in its place, as a deployment does: beside it first, then by renaming.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn replace(&self, from: &str, version: &str, behaviour: &str) {
        let mark = format!("{MARK}{version} {behaviour}");
        self.install(from, &format!("{mark:MARK_BYTES$}"), 0o755);
    }

    /// Puts a file with the bytes of `from`, and `more` behind them, in its place.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn install(&self, from: &str, more: &str, mode: u32) {
        let beside = self.directory.join("app.new");
        // By another process: a child that some other test forks at this moment would hold a
        // descriptor of ours until its exec, and a file that is open for writing cannot be executed.
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat \"$1\" > \"$0\" && printf %s \"$2\" >> \"$0\""]).arg(&beside);
        let copied = shell.args([from, more]).status().expect("a shell");
        assert!(copied.success(), "{}", beside.display());
        fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).expect("our file");
        fs::rename(&beside, self.path()).expect("one directory");
    }

    /// Takes it away.
    ///
    /// # Panics
    /// If it is not there.
    pub fn remove(&self) {
        fs::remove_file(self.path()).expect("the program");
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
