//! The programs that are compared: builds ours, finds the others, writes what they are configured by.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// What Cargo does not build along with this program: two servers, and from the benchmarks what broadcasts.
const OURS: [&str; 3] = ["hello_cluster", "hello_plain", "bench_cluster"];
const PACKAGES: [&str; 2] = ["cluster-tests", "cluster-benches"];

/// Builds our programs as this one was built.
///
/// # Panics
/// If they do not compile.
pub(crate) fn build() {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet"]);
    if cfg!(debug_assertions) {
        eprintln!("THIS IS A DEBUG BUILD: its figures mean nothing");
    } else {
        command.arg("--release");
    }
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    for name in OURS {
        command.args(["--bin", name]);
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "cargo does not build {OURS:?}: {status}");
}

/// One of our programs.
pub(crate) fn own(name: &str) -> PathBuf {
    let this = env::current_exe().expect("/proc is mounted");
    this.with_file_name(name)
}

/// A file beside the sources of this program.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("versus").join(name)
}

/// What plays Node's part in the benchmarks.
pub(crate) fn bench_node() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/src/bench_node.js")
}

/// The first line in which a program says its version; `None` if it is not installed.
pub(crate) fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    // nginx says it on stderr, wrk with code 1.
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().map(|line| line.trim().to_owned())
}

/// A directory of a server's own, gone when dropped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn with(file: &str, text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("cluster-versus-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a temporary directory");
        let text = text.replace("FOLDER", &path.to_string_lossy());
        fs::write(path.join(file), text).expect("a file in it");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is small, and not in anybody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// nginx as it comes, but for what would end connections or write lines in the middle of a measurement.
pub(crate) const NGINX: &str = "
daemon off;
worker_processes WORKERS;
pid FOLDER/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    default_type text/plain;
    keepalive_requests 100000000;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server {
        listen 127.0.0.1:PORT backlog=1024;
        location / { return 200 hello; }
    }
}
";

/// The program that gunicorn runs.
pub(crate) const WSGI: &str = "
def hello(environ, start):
    start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])
    return [b'hello']
";

/// The program that puma runs.
pub(crate) const RACK: &str = "
HEADERS = { 'content-type' => 'text/plain', 'content-length' => '5' }
run ->(_) { [200, HEADERS.dup, ['hello']] }
";
