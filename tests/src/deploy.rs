//! A program that is deployed: a file that other versions of it replace while it runs.
//!
//! Fixture programs have marks in their code, a version and a way to behave, that are overwritten in the
//! copy. So two deployed files are really two programs.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::Running;

/// What comes before the mark in a program's code.
const VERSION_MARK: &[u8] = b"cluster-test-version:";
const BEHAVIOUR_MARK: &[u8] = b"cluster-test-behaviour:";

/// The marks of a fixture program; behind each prefix there is room for 16 bytes.
#[derive(Debug)]
pub struct Marks {
    /// `cluster-test-version:` and the version, filled up with blanks.
    pub version: &'static [u8; 37],
    /// `cluster-test-behaviour:` and the way to behave, filled up with blanks.
    pub behaviour: &'static [u8; 39],
}

impl Marks {
    /// The version that this copy of the program is.
    pub fn version(&self) -> String {
        text(&std::hint::black_box(self.version)[VERSION_MARK.len()..])
    }

    /// How this copy of the program is to behave.
    pub fn behaviour(&self) -> String {
        text(&std::hint::black_box(self.behaviour)[BEHAVIOUR_MARK.len()..])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
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
        let mut code = fs::read(from).expect("the fixture program");
        overwrite(&mut code, VERSION_MARK, version);
        overwrite(&mut code, BEHAVIOUR_MARK, behaviour);
        self.install(&code, 0o755);
    }

    /// Puts a file of these bytes in its place.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn install(&self, code: &[u8], mode: u32) {
        let beside = self.directory.join("app.new");
        // By another process: a child that some other test forks at this moment would hold a
        // descriptor of ours until its exec, and a file that is open for writing cannot be executed.
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat > \"$0\""]).arg(&beside).stdin(Stdio::piped());
        let mut shell = shell.spawn().expect("a shell");
        shell.stdin.take().expect("a pipe").write_all(code).expect("the shell reads");
        assert!(shell.wait().expect("our child").success(), "{}", beside.display());
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

/// Overwrites what stands behind every occurrence of the mark.
fn overwrite(code: &mut [u8], mark: &[u8], text: &str) {
    let room = 16;
    assert!(text.len() <= room, "{text} does not fit");
    let filled = format!("{text:room$}");
    let mut at = 0;
    while let Some(found) = code[at..].windows(mark.len()).position(|bytes| bytes == mark) {
        let start = at + found + mark.len();
        // The mark also stands in this file's own code, with something else behind it.
        if code.get(start..start + room).is_some_and(|old| old.is_ascii() && old[room - 1] == b' ') {
            code[start..start + room].copy_from_slice(filled.as_bytes());
        }
        at = start;
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
