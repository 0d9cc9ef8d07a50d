//! Unix stream listeners at a path: bound only where nobody listens, removed only where they are ours.
//!
//! Never waits for another process: whether somebody listens is asked by a connect that does not block,
//! and a lock that is held by another start is given up soon. Who binds holds `PATH.lock`, so that two
//! starts do not both take a stale file for theirs. Paths longer than a socket address are reached
//! through their directory's descriptor. Whose the file is and what it permits is changed through a
//! descriptor of it, since whoever may write in the directory can put something else at the path. See
//! `unix(7)`, `flock(2)`, `O_PATH` in `open(2)`.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, open, openat,
        statat, unlinkat,
    },
    io::Errno,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::socket::{self, ListenError};
use crate::wire::Owner;

/// A listener's file: which one it is, so that it alone is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Who may connect: with `None` what the umask leaves, and to the file of whoever made it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Access {
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Owner,
}

/// Another start holds its lock for microseconds: so many tries, this far apart.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// `sun_path` less its final zero.
const ADDRESS_MAX: usize = 107;

/// A listening socket at `path`, whose file has owner and mode before anybody can connect, and never
/// permits more than that.
///
/// # Errors
/// EADDRINUSE if somebody listens there, if the path is a file that is no socket, or while another
/// start is at it; otherwise those of the calls.
pub(crate) fn listen(
    path: &Path,
    access: Access,
    backlog: u32,
) -> Result<(OwnedFd, SocketFile), ListenError> {
    let failed = |operation| move |error| ListenError { operation, error };
    let place = Place::of(path).map_err(failed("open"))?;
    let lock = Lock::take(path).map_err(failed("lock"))?;
    place.remove_stale().map_err(failed("bind"))?;
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed("socket"))?;
    let address = place.address().map_err(failed("bind"))?;
    if let Some(mode) = access.mode {
        // The file is made with the permissions of the socket, less the umask. Where a kernel does
        // otherwise nothing is lost: nobody connects before it listens.
        let _ = fchmod(&socket, Mode::from_raw_mode(mode) & Mode::RWXU);
    }
    socket.bind(&address).map_err(failed("bind"))?;
    let (held, file) = place.made().map_err(failed("stat"))?;
    let prepared = grant(&held, access)
        .and_then(|()| socket::listen(&socket, backlog).map_err(failed("listen")));
    if let Err(error) = prepared {
        file.remove();
        return Err(error);
    }
    drop(lock);
    Ok((socket.into(), file))
}

/// Gives the file to its owner and permits what it is to permit: the group first and the owner last, so
/// that this takes no right to change the permissions of another's file.
fn grant(file: &OwnedFd, Access { mode, owner }: Access) -> Result<(), ListenError> {
    let failed = |operation| move |error| ListenError { operation, error };
    let found = fstat(file).map_err(|errno| failed("stat")(errno.into()))?;
    // What it is already needs no right to change.
    let uid = owner.uid.filter(|&uid| uid != found.st_uid);
    let gid = owner.gid.filter(|&gid| gid != found.st_gid);
    // The calls that take a descriptor refuse one that is open for nothing.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if gid.is_some() {
        chown(&path, None, gid).map_err(failed("chown"))?;
    }
    if let Some(mode) = mode {
        let permissions = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, permissions).map_err(failed("chmod"))?;
    }
    if uid.is_some() {
        chown(&path, uid, None).map_err(failed("chown"))?;
    }
    Ok(())
}

impl SocketFile {
    /// Whether it is still there: a file that cannot be looked at is taken to be.
    pub(crate) fn is_there(&self) -> bool {
        match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()) == (self.device, self.inode),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Removes the file, if it is still the one that was made.
    pub(crate) fn remove(&self) {
        let Ok(metadata) = std::fs::symlink_metadata(&self.path) else { return };
        if (metadata.dev(), metadata.ino()) == (self.device, self.inode) {
            // Who cannot remove it leaves a stale file, which the next start takes for one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where the socket is to be: its directory, and its name there.
struct Place {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(parent, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), directory, name })
    }

    /// An address that leads there, whatever the length of the path.
    fn address(&self) -> io::Result<SockAddr> {
        if self.path.as_os_str().len() <= ADDRESS_MAX {
            return SockAddr::unix(&self.path);
        }
        let directory = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        SockAddr::unix(Path::new(&directory).join(&self.name))
    }

    /// The file that was made there just now, held whatever comes to be at the path.
    ///
    /// # Errors
    /// EADDRINUSE if it is something else by now, or goes by another name too, as what somebody has put
    /// there would.
    fn made(&self) -> io::Result<(OwnedFd, SocketFile)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(&self.directory, &self.name, flags, Mode::empty())?;
        let found = fstat(&held)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket || found.st_nlink != 1 {
            return Err(Errno::ADDRINUSE.into());
        }
        let path = self.path.clone();
        Ok((held, SocketFile { path, device: found.st_dev, inode: found.st_ino }))
    }

    /// Removes a socket on which nobody listens any more.
    fn remove_stale(&self) -> io::Result<()> {
        let found = match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let in_use = || Err(Errno::ADDRINUSE.into());
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return in_use();
        }
        let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        match probe.connect(&self.address()?) {
            // A full backlog is EAGAIN: somebody listens. Not for us to connect to is no proof of
            // anything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                match unlinkat(&self.directory, &self.name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => in_use(),
        }
    }
}

/// The lock beside the path; its file is there for as long as it is held.
struct Lock {
    path: PathBuf,
    _held: OwnedFd,
}

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        for _ in 0..LOCK_TRIES {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)?;
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            // Who held it before has removed the file: then this is the lock of nothing.
            if locked && is_at(&file, &path) {
                return Ok(Self { path, _held: file });
            }
            thread::sleep(LOCK_PAUSE);
        }
        Err(Errno::ADDRINUSE.into())
    }
}

fn is_at(file: &OwnedFd, path: &Path) -> bool {
    let held = rustix::fs::fstat(file);
    let there = std::fs::symlink_metadata(path);
    held.is_ok_and(|held| {
        there.is_ok_and(|there| (held.st_dev, held.st_ino) == (there.dev(), there.ino()))
    })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held, so that it is this lock's file that goes.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("cluster-unix-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    fn refused(path: &Path) -> io::ErrorKind {
        listen(path, Access::default(), 16).expect_err("refused").error.kind()
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_not() {
        let directory = directory("stale");
        let path = directory.join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        let access = Access { mode: Some(0o660), owner: Owner::default() };
        let (socket, file) = listen(&path, access, 16).expect("the file was stale");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        assert_eq!(refused(&path), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("somebody listens");
        drop(socket);
        file.remove();
        let left: Vec<_> = std::fs::read_dir(&directory).expect("read").collect();
        assert!(left.is_empty(), "{left:?}");
        std::fs::remove_dir(&directory).expect("removed");
    }

    #[test]
    fn what_is_no_socket_or_not_ours_stays() {
        let directory = directory("foreign");
        let path = directory.join("file");
        std::fs::write(&path, "text").expect("written");
        assert_eq!(refused(&path), io::ErrorKind::AddrInUse);
        let path = directory.join("socket");
        let (_socket, file) = listen(&path, Access::default(), 16).expect("free");
        std::fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("another program's");
        file.remove();
        assert!(path.exists(), "it is another's now");
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn a_path_longer_than_an_address_works() {
        let directory = directory("long").join("d".repeat(120));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("socket");
        let (_socket, file) = listen(&path, Access::default(), 16).expect("bound");
        assert_eq!(refused(&path), io::ErrorKind::AddrInUse);
        file.remove();
        assert!(!path.exists());
        std::fs::remove_dir_all(directory.parent().expect("a parent")).expect("removed");
    }

    #[test]
    fn two_starts_at_once_have_one_winner() {
        let directory = directory("race");
        let path = directory.join("socket");
        for _ in 0..20 {
            drop(UnixListener::bind(&path).expect("stale"));
            let start = || listen(&path, Access::default(), 16).ok();
            let won: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                starts.into_iter().filter_map(|s| s.join().expect("no panic")).collect()
            });
            assert_eq!(won.len(), 1);
            UnixStream::connect(&path).expect("the winner can be reached");
            won[0].1.remove();
        }
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
