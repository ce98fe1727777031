//! What the mappings of the user namespace that the app kernel is in let its guests be.
//!
//! The host kernel translates ids everywhere once the app kernel is in the container's user namespace. What remains is
//! to say which ids a guest may take on, and which two ranges, where they are mapped, are the app kernel's own.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Mapping, parse_map};

/// Host uid and gid of every guest process: far outside the ranges that distributions and subordinate id
/// allocations use, so that no file and no host process belongs to it. In user namespaces that do not map it the
/// highest mapped id takes its place.
pub const GUEST_HOST_ID: u32 = 0x7ca1_550d;

/// Group ids that carry a guest's pid into a unix socket. Linux has pids of 22 bits at most (`PID_MAX_LIMIT`), and no
/// use for such groups: distributions and user id allocations end far below.
pub const GROUP_MARKS: Mapping = Mapping {
    inside: 0xf000_0000,
    outside: 0xf000_0000,
    count: 1 << 22,
};

/// The map of the initial user namespace.
const EVERYTHING: Mapping = Mapping {
    inside: 0,
    outside: 0,
    count: u32::MAX,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    uids: Vec<Mapping>,
    gids: Vec<Mapping>,
    setgroups: bool,
}

impl Default for Ids {
    /// Those of the initial user namespace.
    fn default() -> Ids {
        Ids {
            uids: vec![EVERYTHING],
            gids: vec![EVERYTHING],
            setgroups: true,
        }
    }
}

impl Ids {
    /// Of process `pid` (or `self`) of a procfs.
    pub fn of(host_proc: BorrowedFd<'_>, pid: &str) -> Result<Ids, Errno> {
        let read = |name: &str| -> Result<String, Errno> {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let file = openat(host_proc, format!("{pid}/{name}"), flags, Mode::empty())?;
            let mut bytes = Vec::new();
            loop {
                let mut part = [0u8; 4096];
                match rustix::io::read(&file, &mut part)? {
                    0 => break,
                    count => bytes.extend_from_slice(&part[..count]),
                }
            }
            String::from_utf8(bytes).map_err(|_| Errno::INVAL)
        };
        Ok(Ids {
            uids: parse_map(&read("uid_map")?),
            gids: parse_map(&read("gid_map")?),
            setgroups: read("setgroups")?.trim() != "deny",
        })
    }

    /// Whether these are the ids of the initial user namespace.
    #[must_use]
    pub fn are_the_hosts(&self) -> bool {
        self.uids == [EVERYTHING] && self.gids == [EVERYTHING]
    }

    /// Whether a guest may be, or give a file to, this user.
    #[must_use]
    pub fn has_uid(&self, uid: u32) -> bool {
        self.of_guests(&self.uids).any(|line| line.contains(uid))
    }

    /// As [`Ids::has_uid`], for groups.
    #[must_use]
    pub fn has_gid(&self, gid: u32) -> bool {
        self.of_guests(&self.gids).any(|line| line.contains(gid))
    }

    /// Whether the container has the owners that stat(2) tells. Owners that are not mapped all look like
    /// `/proc/sys/kernel/overflowuid`, so that in a mapped namespace a file of that id counts as none of its own.
    #[must_use]
    pub fn owns(&self, uid: u32, gid: u32) -> bool {
        const OVERFLOW: u32 = 65534;
        let known = self.has_uid(uid) && self.has_gid(gid);
        known && (self.are_the_hosts() || uid != OVERFLOW && gid != OVERFLOW)
    }

    /// Whether setgroups(2) works: not where an unprivileged user has made the namespace, user_namespaces(7).
    #[must_use]
    pub fn setgroups(&self) -> bool {
        self.setgroups
    }

    /// Whether [`GROUP_MARKS`] can be carried.
    #[must_use]
    pub fn can_mark_groups(&self) -> bool {
        let last = GROUP_MARKS.inside + (GROUP_MARKS.count - 1);
        let mapped = |gid: u32| self.gids.iter().any(|line| line.contains(gid));
        self.setgroups && mapped(GROUP_MARKS.inside) && mapped(last)
    }

    /// The uid of guest processes, as this namespace numbers it.
    #[must_use]
    pub fn host_uid(&self) -> u32 {
        of_processes(&self.uids)
    }

    /// Their gid.
    #[must_use]
    pub fn host_gid(&self) -> u32 {
        of_processes(&self.gids)
    }

    /// uid_map as guests see it.
    #[must_use]
    pub fn uid_map(&self) -> String {
        self.shown(&self.uids)
    }

    /// gid_map as guests see it.
    #[must_use]
    pub fn gid_map(&self) -> String {
        self.shown(&self.gids)
    }

    /// uid_map of the guests' own namespace, a child of this one: every id that is mapped here means itself, so that
    /// what the host kernel reports natively (fstat) is right.
    #[must_use]
    pub fn identity_uids(&self) -> String {
        identity(&self.uids)
    }

    /// Its gid_map.
    #[must_use]
    pub fn identity_gids(&self) -> String {
        identity(&self.gids)
    }

    fn of_guests<'a>(&self, map: &'a [Mapping]) -> impl Iterator<Item = &'a Mapping> {
        let all = self.are_the_hosts();
        map.iter().filter(move |line| all || !is_reserved(line))
    }

    fn shown(&self, map: &[Mapping]) -> String {
        self.of_guests(map)
            .map(|line| {
                format!(
                    "{:>10} {:>10} {:>10}\n",
                    line.inside, line.outside, line.count
                )
            })
            .collect()
    }
}

/// Lines that the runtime adds to a map of its own making.
fn is_reserved(line: &Mapping) -> bool {
    line.inside == GUEST_HOST_ID && line.count == 1 || *line == GROUP_MARKS
}

fn of_processes(map: &[Mapping]) -> u32 {
    if map.iter().any(|line| line.contains(GUEST_HOST_ID)) {
        return GUEST_HOST_ID;
    }
    map.iter()
        .filter(|line| line.count > 0 && !is_reserved(line))
        .map(|line| line.inside.saturating_add(line.count - 1))
        .max()
        .unwrap_or(0)
}

fn identity(map: &[Mapping]) -> String {
    let lines: Vec<Mapping> = map
        .iter()
        .map(|line| Mapping {
            outside: line.inside,
            ..*line
        })
        .collect();
    super::map_text(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(uids: &str, gids: &str, setgroups: bool) -> Ids {
        Ids {
            uids: parse_map(uids),
            gids: parse_map(gids),
            setgroups,
        }
    }

    #[test]
    fn the_hosts_own_map_lets_guests_be_anyone() {
        let host = ids("0 0 4294967295", "0 0 4294967295", true);
        assert_eq!(host, Ids::default());
        assert!(host.are_the_hosts() && host.has_uid(GUEST_HOST_ID) && host.can_mark_groups());
        assert_eq!(host.host_uid(), GUEST_HOST_ID);
        assert_eq!(host.uid_map(), "         0          0 4294967295\n");
    }

    #[test]
    fn reserved_lines_are_not_the_guests() {
        let uids = format!("0 100000 65536\n{GUEST_HOST_ID} {GUEST_HOST_ID} 1\n");
        let marks = super::super::map_text(&[GROUP_MARKS]);
        let own = ids(&uids, &format!("{uids}{marks}"), true);
        assert!(own.has_uid(65535) && !own.has_uid(65536) && !own.has_uid(GUEST_HOST_ID));
        assert!(!own.has_gid(GROUP_MARKS.inside) && own.can_mark_groups());
        assert_eq!(
            (own.host_uid(), own.host_gid()),
            (GUEST_HOST_ID, GUEST_HOST_ID)
        );
        assert_eq!(own.uid_map(), "         0     100000      65536\n");
        assert!(own.identity_gids().starts_with("0 0 65536\n"));
    }

    #[test]
    fn in_a_foreign_namespace_guests_are_the_last_user() {
        let alone = ids("0 1000 1", "0 1000 1", false);
        assert_eq!((alone.host_uid(), alone.host_gid()), (0, 0));
        assert!(!alone.can_mark_groups() && !alone.setgroups());
        let many = ids("0 1000 1\n1 100000 65536", "0 1000 1", true);
        assert_eq!(many.host_uid(), 65536);
        assert!(!many.can_mark_groups());
    }
}
