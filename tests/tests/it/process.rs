//! Child processes, row by row as Node's own tests have them; each test has the row's name.
//!
//! What a child sees and leaves is in `process_traces`.

use std::{
    fs,
    future::Future,
    io::Write,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use cluster::process::{self, Command, ErrorKind, Event, Stdio, pipeline};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::SignalKind,
};

/// Runs a test's body on a runtime, with a deadline.
fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(cluster_tests::DEADLINE, body).await.expect("within the deadline")
    })
}

fn shell(line: &str) -> Command {
    process::exec(line)
}

const MIB: usize = 1024 * 1024;

#[test]
fn exit_code() {
    let output = run(async { shell("exit 23").await.expect("an output") });
    assert_eq!(output.status.code(), Some(23));
    let error = output.checked().expect_err("23 is none");
    assert_eq!(error.kind(), ErrorKind::Failed);
}

#[test]
fn stdin() {
    let output = run(async { process::exec_file("cat", [""; 0]).input("hello").await });
    assert_eq!(output.expect("an output").stdout, b"hello");
    run(async {
        let mut child = process::spawn("cat", [""; 0]).expect("cat");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"written, then ended").await.expect("cat reads");
        drop(stdin);
        let mut read = String::new();
        child.stdout.as_mut().expect("a pipe").read_to_string(&mut read).await.expect("text");
        assert_eq!(read, "written, then ended");
        assert!(child.wait().await.expect("an end").success());
    });
}

#[test]
fn stdio_big_write_end() {
    let input = vec![b'x'; 3 * MIB];
    let cat = Command::new("cat").input(input.clone()).max_buffer(4 * MIB);
    assert!(run(async { cat.await }).expect("an output").stdout == input);
    // One that reads nothing is no trouble.
    let output = run(async { Command::new("true").input(vec![b'x'; MIB]).await });
    assert!(output.expect("an output").status.success());
}

#[test]
fn flush_stdio() {
    run(async {
        let mut events = process::spawn("echo", ["nobody reads this"]).expect("echo").events();
        let mut last = None;
        while let Some(event) = events.recv().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(Event::Close(status)) if status.success()));
        let mut child = process::spawn("echo", ["nobody reads this"]).expect("echo");
        assert!(child.wait().await.expect("an end").success());
    });
}

#[test]
fn stdout_flush() {
    run(async {
        let line = "head -c 500000 /dev/zero";
        let mut events = shell(line).spawn().expect("a shell").events();
        let (mut bytes, mut closed) = (0, false);
        while let Some(event) = events.recv().await {
            assert!(!closed, "{event:?} after Close");
            match event {
                Event::Stdout(chunk) => bytes += chunk.len(),
                Event::Close(_) => closed = true,
                _ => {}
            }
        }
        assert_eq!((bytes, closed), (500_000, true));
    });
}

#[test]
fn spawn_event() {
    run(async {
        let child = shell("echo out; exec >&-; exit 3").spawn().expect("a shell");
        let pid = child.id();
        let mut events = child.events();
        let mut seen = Vec::new();
        while let Some(event) = events.recv().await {
            seen.push(event);
        }
        assert_eq!(seen.first(), Some(&Event::Spawn { pid }));
        let at = |wanted: fn(&Event) -> bool| seen.iter().position(wanted).expect("an event");
        let (data, exit) =
            (at(|e| matches!(e, Event::Stdout(_))), at(|e| matches!(e, Event::Exit(_))));
        assert!(data < seen.len() - 1 && exit == seen.len() - 2, "{seen:?}");
        assert!(matches!(seen.last(), Some(Event::Close(status)) if status.code() == Some(3)));
    });
}

#[test]
fn spawn_error() {
    let error = run(async { process::spawn("no-such-program", ["x"]).expect_err("none") });
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with("`no-such-program x`: No such file"), "{error}");
    for path in ["/etc/passwd", "/"] {
        let error = run(async { process::spawn(path, [""; 0]).expect_err("no program") });
        assert_eq!(error.kind(), ErrorKind::NotExecutable, "{error}");
    }
}

#[test]
fn cwd() {
    let output = run(async { shell("pwd").current_dir("/tmp").await.expect("an output") });
    assert_eq!(output.stdout_text(), "/tmp\n");
    let error = run(async { shell("pwd").current_dir("/no/such").await.expect_err("none") });
    assert_eq!(error.kind(), ErrorKind::BadDirectory);
    assert!(error.to_string().contains("/no/such"), "{error}");
}

#[test]
fn env() {
    let say = || shell("echo $HOME-$ADDED");
    let home = std::env::var("HOME").unwrap_or_default();
    let text = |command: Command| {
        let output = run(async { command.await.expect("an output") });
        output.stdout_text().trim().to_owned()
    };
    assert_eq!(text(say().env("ADDED", "1")), format!("{home}-1"));
    assert_eq!(text(say().env_remove("HOME")), "-");
    assert_eq!(text(say().env("ADDED", "1").env_clear().env("HOME", "there")), "there-");
}

#[test]
fn spawn_shell() {
    let output = run(async { shell("no-such-program").await.expect("the shell runs") });
    assert_eq!(output.status.code(), Some(127));
    let output = run(async { shell("echo $0").shell("/bin/bash").await.expect("an output") });
    assert_eq!(output.stdout_text(), "/bin/bash\n");
}

#[test]
fn exec_error() {
    let output = run(async { shell("echo half; echo why >&2; exit 4").await.expect("an output") });
    let error = output.checked().expect_err("4 is none");
    assert!(error.to_string().ends_with("code 4: why"), "{error}");
    assert_eq!(error.output().expect("with what it wrote").stdout, b"half\n");
    let error = run(async { shell("kill -9 $$").await.expect_err("a signal") });
    assert_eq!(error.kind(), ErrorKind::Signaled);
    assert_eq!(error.output().expect("an output").status.signal(), Some(9));
}

#[test]
fn spawn_argv0() {
    let output = run(async { Command::new("sh").argv0("another").args(["-c", "echo $0"]).await });
    assert_eq!(output.expect("an output").stdout_text(), "another\n");
}

/// What is collected of so many bytes with such a bound: how many, and whether that was an error.
fn bounded(stream: &str, bytes: usize, most: usize) -> (usize, bool) {
    let line = format!("head -c {bytes} /dev/zero {stream}");
    match run(async { shell(&line).max_buffer(most).await }) {
        Ok(output) => {
            assert!(!output.truncated);
            (output.stdout.len() + output.stderr.len(), false)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::MaxBuffer, "{error}");
            let output = error.into_output().expect("what was read");
            assert!(output.truncated);
            (output.stdout.len() + output.stderr.len(), true)
        }
    }
}

#[test]
fn exec_maxbuf() {
    for stream in ["", ">&2"] {
        assert_eq!(bounded(stream, MIB - 1, MIB), (MIB - 1, false));
        assert_eq!(bounded(stream, MIB, MIB), (MIB, false));
        assert_eq!(bounded(stream, MIB + 1, MIB), (MIB, true));
        assert_eq!(bounded(stream, 1, 0), (0, true));
        assert_eq!(bounded(stream, 0, 0), (0, false));
        assert_eq!(bounded(stream, 3 * MIB, usize::MAX), (3 * MIB, false));
    }
    // Bytes, not characters: a bound may cut one.
    let error = run(async { shell("printf '€€'").max_buffer(4).await.expect_err("6 bytes") });
    assert_eq!(error.into_output().expect("what was read").stdout, "€€".as_bytes()[..4]);
    // One that writes for ever is ended, and what it wrote first is kept.
    let error = run(async { shell("echo first; exec yes").await.expect_err("for ever") });
    assert!(error.output().expect("what was read").stdout.starts_with(b"first\ny\ny\n"));
}

#[test]
fn exec_timeout_kill() {
    let begun = Instant::now();
    let slow = shell("echo begun; sleep 100").timeout(Duration::from_millis(300));
    let error = run(async { slow.await.expect_err("too slow") });
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("not ended after 300ms"), "{error}");
    let output = error.into_output().expect("what was read");
    assert_eq!((output.stdout.as_slice(), output.status.signal()), (&b"begun\n"[..], Some(15)));
    assert!(begun.elapsed() < cluster_tests::DEADLINE);
}

#[test]
fn spawn_timeout_kill_signal() {
    let stubborn = || shell("trap '' TERM; echo ready; while :; do sleep 1; done");
    let command =
        stubborn().timeout(Duration::from_millis(300)).kill_signal(SignalKind::interrupt());
    let error = run(async { command.await.expect_err("too slow") });
    assert_eq!(error.into_output().expect("an output").status.signal(), Some(2));
    // One that takes no notice is killed.
    let command =
        stubborn().timeout(Duration::from_millis(300)).kill_grace(Duration::from_millis(300));
    let error = run(async { command.await.expect_err("too slow") });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.into_output().expect("an output").status.signal(), Some(9));
    let status = run(async {
        let mut child = shell("sleep 100").timeout(Duration::from_millis(100)).spawn().expect("sh");
        child.wait().await.expect("an end")
    });
    assert_eq!(status.signal(), Some(15));
}

#[test]
fn spawn_controller() {
    // Cancelled before it begins, later, and after its end.
    let error = run(async { shell("sleep 100").cancel_on(std::future::ready(())).await });
    assert_eq!(error.expect_err("cancelled").kind(), ErrorKind::Cancelled);
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let error = run(async {
        let command = shell("echo begun; sleep 100").cancel_on(async { drop(cancelled.await) });
        let running = tokio::spawn(command.output());
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(cancel);
        running.await.expect("no panic").expect_err("cancelled")
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    let output = run(async { shell("echo done").cancel_on(std::future::pending()).await });
    assert_eq!(output.expect("an output").stdout, b"done\n");
}

#[test]
fn kill() {
    run(async {
        let mut child = process::spawn("cat", [""; 0]).expect("cat");
        let nothing = SignalKind::from_raw(0);
        assert!(child.kill(nothing).expect("asked"));
        assert!(child.try_wait().expect("asked").is_none(), "0 does not kill");
        assert!(child.kill(SignalKind::terminate()).expect("sent"));
        assert_eq!(child.wait().await.expect("an end").signal(), Some(15));
        // Reaped: whoever has its number now is safe.
        assert!(!child.kill(SignalKind::terminate()).expect("nobody"));
        assert!(!child.kill(nothing).expect("nobody"));
        assert!(child.kill(SignalKind::from_raw(12345)).is_ok_and(|sent| !sent));
    });
}

#[test]
fn pipe_dataflow() {
    let file = std::env::temp_dir().join(format!("cluster-test-pipe-{}", std::process::id()));
    let lines = "grep this line\nnot the other\n".repeat(MIB / 30);
    fs::File::create(&file).and_then(|mut f| f.write_all(lines.as_bytes())).expect("a file");
    let piped = run(async {
        pipeline([
            Command::new("cat").arg(&file),
            Command::new("grep").arg("this"),
            Command::new("wc").arg("-c"),
        ])
        .await
        .expect("an output")
    });
    fs::remove_file(&file).expect("our file");
    let expected = (MIB / 30) * "grep this line\n".len();
    assert_eq!(piped.output.stdout_text().trim(), expected.to_string());
    assert!(piped.statuses.len() == 3 && piped.statuses.iter().all(|status| status.success()));
    // A reader that ends first ends its writer.
    let piped =
        run(async { pipeline([Command::new("yes"), Command::new("head").arg("-1")]).await });
    let piped = piped.expect("an output");
    assert_eq!(
        (piped.output.stdout.as_slice(), piped.statuses[0].signal()),
        (&b"y\n"[..], Some(13))
    );
    let missing =
        run(async { pipeline([Command::new("yes"), Command::new("no-such-program")]).await });
    assert_eq!(missing.expect_err("none").kind(), ErrorKind::NotFound);
}

#[test]
fn stdio_merge_stdouts_into_cat() {
    run(async {
        let mut cat = process::spawn("cat", [""; 0]).expect("cat");
        let stdin = Stdio::try_from(cat.stdin.take().expect("a pipe")).expect("a descriptor");
        let Stdio::Fd(stdin) = stdin else { panic!("no descriptor") };
        for word in ["one", "two"] {
            let end = stdin.try_clone().expect("a copy");
            let mut echo = Command::new("echo").arg(word).stdout(end).spawn().expect("echo");
            assert!(echo.wait().await.expect("an end").success());
        }
        drop(stdin);
        let mut read = String::new();
        cat.stdout.take().expect("a pipe").read_to_string(&mut read).await.expect("text");
        assert_eq!(read, "one\ntwo\n");
    });
}

#[test]
fn reject_null_bytes() {
    let refused = [
        Command::new("a\0b"),
        Command::new("true").arg("a\0b"),
        Command::new("true").argv0("a\0b"),
        Command::new("true").current_dir("/tmp\0x"),
        Command::new("true").env("A\0", "b"),
        Command::new("true").env("A", "b\0"),
        shell("echo a\0b"),
    ];
    for command in refused {
        let error = run(async { command.spawn().expect_err("a NUL byte") });
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let null = fs::File::open("/dev/null").expect("/dev/null");
    let error = run(async { Command::new("true").fd(1, null).spawn().expect_err("stdout") });
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn uid_gid() {
    if !rustix::process::geteuid().is_root() {
        let error = run(async { shell("true").uid(0).gid(0).await.expect_err("not root") });
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        return;
    }
    let say = "id -u; id -g; id -G";
    let output = run(async { shell(say).uid(65534).gid(65534).await.expect("an output") });
    assert_eq!(output.stdout_text(), "65534\n65534\n65534\n");
}

#[test]
fn blocking_twins() {
    assert_eq!(process::exec_sync("echo $((6 * 7))").expect("an output").stdout, b"42\n");
    assert_eq!(process::exec_file_sync("echo", ["a b"]).expect("an output").stdout, b"a b\n");
    let error = shell("sleep 100").timeout(Duration::from_millis(100)).output_sync();
    assert_eq!(error.expect_err("too slow").kind(), ErrorKind::TimedOut);
    // Also on a thread of a runtime, where another could not be started.
    run(async {
        assert!(process::spawn_sync("true", [""; 0]).expect("an output").status.success())
    });
    let error = process::spawn("true", [""; 0]).expect_err("no runtime");
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert!(error.to_string().contains("output_sync"), "{error}");
}
