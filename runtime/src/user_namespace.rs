//! The container's user namespace: made with the mappings of config.json, or joined.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use caisson_sys::user_namespace::{self, GROUP_MARKS, GUEST_HOST_ID, Ids, Mapping, map_text};

use crate::RuntimeError;
use crate::namespace::Origin;
use crate::rootfs::idmap::translate;
use crate::rootless::may_map_ids;
use crate::spec::SpecError;
use crate::spec::types::Linux;

/// A descriptor of the user namespace that the sandbox is to enter; `None` if it stays in ours.
pub fn open(linux: &Linux, origin: &Origin) -> Result<Option<OwnedFd>, RuntimeError> {
    match origin {
        Origin::Host => Ok(None),
        Origin::Join(path) => {
            let file = std::fs::File::open(path).map_err(RuntimeError::file(path, "open"))?;
            Ok(Some(file.into()))
        }
        Origin::New => make(linux).map(Some),
    }
}

fn make(linux: &Linux) -> Result<OwnedFd, RuntimeError> {
    let (mut uids, mut gids) = (
        translate(&linux.uid_mappings),
        translate(&linux.gid_mappings),
    );
    if !may_map_ids() {
        return make_unprivileged(&uids, &gids);
    }
    let own = own_ids()?;
    let guest = Mapping {
        inside: GUEST_HOST_ID,
        outside: GUEST_HOST_ID,
        count: 1,
    };
    if own.host_uid() == GUEST_HOST_ID {
        reserve(&mut uids, guest);
    }
    if own.host_gid() == GUEST_HOST_ID {
        reserve(&mut gids, guest);
    }
    if own.can_mark_groups() {
        reserve(&mut gids, GROUP_MARKS);
    }
    user_namespace::with_mappings(&uids, &gids).map_err(RuntimeError::step(
        "make a user namespace with linux.uidMappings and linux.gidMappings",
    ))
}

/// An ordinary user maps its own id by itself, and its subordinate ids through helpers, subuid(5).
fn make_unprivileged(uids: &[Mapping], gids: &[Mapping]) -> Result<OwnedFd, RuntimeError> {
    let me = rustix::process::geteuid().as_raw();
    let my_group = rustix::process::getegid().as_raw();
    let map = |pid: i32| -> Result<(), RuntimeError> {
        if is_own(uids, me) {
            write(pid, "uid_map", &map_text(uids))?;
        } else {
            help("newuidmap", "linux.uidMappings", pid, uids)?;
        }
        if is_own(gids, my_group) {
            // Linux demands it of those who could drop a group that denies them something.
            write(pid, "setgroups", "deny")?;
            write(pid, "gid_map", &map_text(gids))
        } else {
            help("newgidmap", "linux.gidMappings", pid, gids)
        }
    };
    user_namespace::mapped_by(map).map_err(RuntimeError::step("make a user namespace"))?
}

/// Whether an ordinary user can have a user namespace at all.
pub fn try_own_id() -> Result<(), RuntimeError> {
    let own = |outside| {
        [Mapping {
            inside: 0,
            outside,
            count: 1,
        }]
    };
    let uids = own(rustix::process::geteuid().as_raw());
    let gids = own(rustix::process::getegid().as_raw());
    make_unprivileged(&uids, &gids).map(drop)
}

fn is_own(map: &[Mapping], id: u32) -> bool {
    matches!(map, [only] if only.outside == id && only.count == 1)
}

fn write(pid: i32, file: &str, text: &str) -> Result<(), RuntimeError> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(RuntimeError::file(path.as_ref(), "write"))
}

/// Let a set-user-ID helper of package uidmap write a map.
fn help(
    program: &'static str,
    field: &'static str,
    pid: i32,
    map: &[Mapping],
) -> Result<(), RuntimeError> {
    let shown = map_text(map).trim_end().replace('\n', ", ");
    let refuse = |reason: String| SpecError::invalid(field, shown.clone(), reason).into();
    let numbers = map
        .iter()
        .flat_map(|line| [line.inside, line.outside, line.count]);
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(refuse(format!(
            "an ordinary user can map its own id only; for more, {program} (package uidmap) is not installed"
        ))),
        Err(error) => Err(refuse(format!("{program}: {error}"))),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(refuse(format!("refused by {program}: {words}")))
        }
    }
}

/// Ids of this process' user namespace.
pub fn own_ids() -> Result<Ids, RuntimeError> {
    ids_of("self")
}

/// Ids of the user namespace of a process, as that numbers them.
pub fn ids_of(pid: &str) -> Result<Ids, RuntimeError> {
    let proc =
        std::fs::File::open("/proc").map_err(RuntimeError::file("/proc".as_ref(), "open"))?;
    Ids::of(proc.as_fd(), pid).map_err(RuntimeError::step("read /proc/PID/uid_map"))
}

/// Map what the app kernel needs for itself, unless config.json gives it to the container.
fn reserve(map: &mut Vec<Mapping>, wanted: Mapping) {
    let meets = |line: &Mapping, first: fn(&Mapping) -> u32| {
        let (one, two) = (u64::from(first(line)), u64::from(first(&wanted)));
        one < two + u64::from(wanted.count) && two < one + u64::from(line.count)
    };
    let taken =
        |line: &Mapping| meets(line, |line| line.inside) || meets(line, |line| line.outside);
    if !map.iter().any(taken) {
        map.push(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_container_has_is_not_reserved() {
        let line = |inside, outside, count| Mapping {
            inside,
            outside,
            count,
        };
        let mut map = vec![line(0, 100_000, 65536)];
        reserve(&mut map, line(GUEST_HOST_ID, GUEST_HOST_ID, 1));
        assert_eq!(map.len(), 2);
        let mut everything = vec![line(0, 1, u32::MAX - 1)];
        reserve(&mut everything, GROUP_MARKS);
        assert_eq!(everything.len(), 1);
    }
}
