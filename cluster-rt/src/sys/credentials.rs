//! Whom workers run as: the master looks names up, the zygote takes the numbers on. And whose a file is.
//!
//! Two halves with a process boundary between them. Looking up may read files and ask services
//! (nsswitch.conf(5)), so it is done in the master before it has a thread; taking on is a handful of
//! system calls, in a process that has one thread and has run nothing of the user's.

use std::{ffi::CString, io};

use nix::{
    errno::Errno,
    unistd::{
        Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getgroups, getresgid, getresuid,
        setgroups, setresgid, setresuid, setuid,
    },
};
use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};

use crate::config::Credentials;

/// More supplementary groups than this are refused. The kernel would take 65 536 (NGROUPS_MAX), but they
/// travel in one frame.
const GROUPS_MAX: usize = 1024;

/// A master that may not signal its workers could not stop them, and they would outlive it: the kernel
/// asks for the permission to send a parent-death signal, too.
const FOR_ANOTHER_USER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::KILL);

impl Credentials {
    /// Finds the numbers of a user and a group, each a name or a number, of which one is given. A name
    /// of digits is taken for a name if there is such a name, as chown(1) does.
    ///
    /// # Errors
    /// A whole message: option, value, cause and remedy. What this process may not take on is an error
    /// here already, unless it is what it has.
    pub(crate) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Self, String> {
        let found = Self::find(user, group)?;
        let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let present = Self::present().ok().flatten();
        let same_user = present.as_ref().is_some_and(|present| present.uid == found.uid);
        let same_group = present.as_ref().is_some_and(|present| present.gid == found.gid);
        let may =
            held.contains(CapabilitySet::SETGID) && (same_user || held.contains(FOR_ANOTHER_USER));
        let refused_is = |option, value, how| Err(refused(option, value, how));
        let credentials = match (present, user, group) {
            _ if may => found,
            // Its supplementary groups cannot be changed, and those it has will do.
            (Some(present), ..) if same_user && same_group => present,
            (_, Some(user), _) if !same_user => {
                return refused_is("user", user, "as somebody else");
            }
            (_, _, Some(group)) => return refused_is("group", group, "in another group"),
            (_, user, None) => {
                return refused_is("user", user.unwrap_or_default(), "in that user's group");
            }
        };
        if credentials.groups.len() > GROUPS_MAX {
            let (option, value) = user.map_or(("group", group), |user| ("user", Some(user)));
            let (value, count) = (value.unwrap_or_default(), credentials.groups.len());
            return Err(format!(
                "{option} = {value:?}: workers would be in {count} groups, at most {GROUPS_MAX} are \
                 possible (choose a user of fewer groups)"
            ));
        }
        Ok(credentials)
    }

    /// The numbers alone, whether they can be taken on or not.
    fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, String> {
        let gid = group.map(group_id).transpose()?;
        if let Some(user) = user {
            return of_user(user, gid);
        }
        let groups = getgroups().map_err(|error| format!("group: getgroups: {error}"))?;
        Ok(Self {
            uid: geteuid().as_raw(),
            gid: gid.unwrap_or_else(|| getegid().as_raw()),
            groups: raw(&groups),
        })
    }

    /// Turns this process into what the numbers say, for good. It must have one thread.
    ///
    /// What it is already costs nothing and changes nothing. Otherwise, unless the user is root, every
    /// capability is gone afterwards.
    ///
    /// The change clears the parent-death signal (PR_SET_PDEATHSIG in prctl(2)): the caller arms it
    /// **after** this. It also makes the process undumpable, which is undone here, since workers could
    /// neither leave core dumps nor open their own `/proc/self` files.
    ///
    /// # Errors
    /// With the `errno` of the call that was refused. The process may then be half changed, and has to
    /// end without running anything of the user's.
    pub(crate) fn assume(&self) -> io::Result<()> {
        if Self::present()?.is_some_and(|present| present.is(self)) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        // The user last: without root, the groups could no longer be changed.
        setgroups(&groups)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        if !uid.is_root() {
            drop_capabilities()?;
            if setuid(Uid::from_raw(0)).is_ok() {
                return Err(io::Error::other("root could be regained"));
            }
        }
        if !Self::present()?.is_some_and(|present| present.is(self)) {
            return Err(io::Error::other("user and groups are not those that were set"));
        }
        Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
    }

    /// What this process is; `None` if its real, effective and saved ids differ, as in a set-user-id
    /// program.
    fn present() -> Result<Option<Self>, Errno> {
        let (user, group) = (getresuid()?, getresgid()?);
        let uniform = user.real == user.effective
            && user.real == user.saved
            && group.real == group.effective
            && group.real == group.saved;
        let groups = raw(&getgroups()?);
        let (uid, gid) = (user.real.as_raw(), group.real.as_raw());
        Ok(uniform.then_some(Self { uid, gid, groups }))
    }

    /// The same, in whatever order the groups are; the kernel keeps them sorted.
    fn is(&self, other: &Self) -> bool {
        let sorted = |groups: &[u32]| {
            let mut groups = groups.to_vec();
            groups.sort_unstable();
            groups
        };
        (self.uid, self.gid) == (other.uid, other.gid)
            && sorted(&self.groups) == sorted(&other.groups)
    }
}

/// The kernel does the same when root becomes somebody else, unless it was told not to (SECBIT_* in
/// capabilities(7)); it does not when a process changes its user without being root.
fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(set_capabilities(None, none)?)
}

/// The credentials of a user, in `gid` if that is given.
fn of_user(user: &str, gid: Option<u32>) -> Result<Credentials, String> {
    let mut entry = looked_up("user", user, User::from_name(user))?;
    let number = id(user);
    if let (None, Some(uid)) = (&entry, number) {
        entry = looked_up("user", user, User::from_uid(Uid::from_raw(uid)))?;
    }
    let Some(entry) = entry else {
        let uid = number.ok_or_else(|| unknown("user", user, "user", "/etc/passwd"))?;
        let gid = gid.ok_or_else(|| {
            format!(
                "user = {user:?}: has no entry in /etc/passwd that names its group (say `group` too)"
            )
        })?;
        return Ok(Credentials { uid, gid, groups: vec![gid] });
    };
    let gid = gid.unwrap_or(entry.gid.as_raw());
    let name = CString::new(entry.name).unwrap_or_default();
    let groups = getgrouplist(&name, Gid::from_raw(gid))
        .map_err(|error| format!("user = {user:?}: its groups cannot be looked up: {error}"))?;
    Ok(Credentials { uid: entry.uid.as_raw(), gid, groups: raw(&groups) })
}

/// The number of a file's owner, a name or a number. Blocks, perhaps for a service.
///
/// # Errors
/// A whole message: option, value, cause and remedy.
pub(crate) fn owner_id(owner: &str) -> Result<u32, String> {
    let entry = looked_up("owner", owner, User::from_name(owner))?;
    let uid = entry.map(|entry| entry.uid.as_raw()).or_else(|| id(owner));
    uid.ok_or_else(|| unknown("owner", owner, "user", "/etc/passwd"))
}

/// The number of a group, as [`owner_id`].
///
/// # Errors
/// As there.
pub(crate) fn group_id(group: &str) -> Result<u32, String> {
    let entry = looked_up("group", group, Group::from_name(group))?;
    let gid = entry.map(|entry| entry.gid.as_raw()).or_else(|| id(group));
    gid.ok_or_else(|| unknown("group", group, "group", "/etc/group"))
}

/// A number for a user or group. The largest means "leave it as it is" to setresuid(2).
fn id(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id != u32::MAX)
}

/// Some systems say "no such entry" by an error, and so does a missing file (getpwnam(3)).
fn looked_up<T>(
    option: &str,
    value: &str,
    found: Result<Option<T>, Errno>,
) -> Result<Option<T>, String> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        found => {
            found.map_err(|error| format!("{option} = {value:?}: cannot be looked up: {error}"))
        }
    }
}

fn unknown(option: &str, value: &str, what: &str, file: &str) -> String {
    format!("{option} = {value:?}: no such {what} (see {file})")
}

fn refused(option: &str, value: &str, how: &str) -> String {
    if geteuid().is_root() {
        return format!(
            "{option} = {value:?}: this root lacks CAP_SETUID, CAP_SETGID or CAP_KILL, without which \
             workers cannot run {how} (grant all three, or remove the option)"
        );
    }
    format!(
        "{option} = {value:?}: only root can run workers {how} (start as root, or remove the option)"
    )
}

fn raw(groups: &[Gid]) -> Vec<u32> {
    groups.iter().map(|group| group.as_raw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_has_is_told_with_the_remedy() {
        let nobody = "no such user or group";
        assert_eq!(
            Credentials::resolve(Some(nobody), None),
            Err(format!("user = {nobody:?}: no such user (see /etc/passwd)"))
        );
        assert_eq!(
            Credentials::resolve(None, Some(nobody)),
            Err(format!("group = {nobody:?}: no such group (see /etc/group)"))
        );
        assert_eq!(
            owner_id(nobody),
            Err(format!("owner = {nobody:?}: no such user (see /etc/passwd)"))
        );
        // It would say "leave it as it is" to the kernel.
        assert!(owner_id("4294967295").is_err());
        assert!(Credentials::resolve(None, Some("4294967295")).is_err());
        assert!(Credentials::resolve(Some("-1"), None).is_err());
    }

    #[test]
    fn a_number_without_an_entry_needs_a_group() {
        let error = Credentials::resolve(Some("4000000000"), None).unwrap_err();
        assert!(error.contains("say `group` too"), "{error}");
        assert_eq!(
            of_user("4000000000", Some(4_000_000_001)),
            Ok(Credentials { uid: 4_000_000_000, gid: 4_000_000_001, groups: vec![4_000_000_001] })
        );
    }

    #[test]
    fn names_and_numbers_find_the_same() {
        let by_name = of_user("root", None).expect("every system has root");
        assert_eq!((by_name.uid, by_name.gid), (0, 0));
        assert!(by_name.groups.contains(&0), "{by_name:?}");
        assert_eq!(of_user("0", None), Ok(by_name));
        assert_eq!(of_user("root", Some(7)).map(|found| found.gid), Ok(7));
        assert_eq!((owner_id("root"), owner_id("0")), (Ok(0), Ok(0)));
        // A file may be nobody's that has an entry.
        assert_eq!(owner_id("4000000000"), Ok(4_000_000_000));
    }

    #[test]
    fn only_root_becomes_somebody_else() {
        let somebody = Credentials::resolve(Some("4000000000"), Some("4000000000"));
        let may = capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(FOR_ANOTHER_USER | CapabilitySet::SETGID));
        match somebody {
            Ok(found) => assert!(may, "{found:?}"),
            Err(error) => {
                assert!(!may && error.contains("remove the option"), "{error}");
            }
        }
    }

    #[test]
    fn what_it_is_already_is_always_possible() {
        let (uid, gid) = (geteuid().to_string(), getegid().to_string());
        assert!(Credentials::resolve(Some(&uid), Some(&gid)).is_ok());
        assert!(Credentials::resolve(None, Some(&gid)).is_ok());
        let mut present = Credentials::present().expect("ids can be read").expect("one identity");
        present.groups.reverse();
        present.assume().expect("nothing is to be done");
    }

    #[test]
    fn the_most_groups_fit_a_frame() {
        let all = Credentials { uid: u32::MAX, gid: u32::MAX, groups: vec![u32::MAX; GROUPS_MAX] };
        let bytes = postcard::to_stdvec(&all).expect("numbers can be encoded");
        assert!(bytes.len() < 16 * 1024, "{}", bytes.len());
    }
}
