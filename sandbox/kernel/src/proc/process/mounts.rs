//! mounts, mountinfo and mountstats: the container's mount tree without what it is made of on the host.

use std::fmt::Write;

use nix::errno::Errno;

use super::node::Subject;
use crate::proc::context::Context;
use crate::proc::host;

/// Types whose source is a name and no path; others that are not below /dev show `none`.
const NAMED: [&str; 4] = ["overlay", "tmpfs", "shm", "devpts"];
/// Options that describe the host's storage or our own way of serving.
const HIDDEN: [&str; 12] = [
    "lowerdir",
    "upperdir",
    "workdir",
    "lowerdir+",
    "datadir+",
    "user_id",
    "group_id",
    "default_permissions",
    "allow_other",
    "max_read",
    "fd",
    "rootmode",
];

/// One line of mountinfo, see proc(5).
struct Mount<'a> {
    id: &'a str,
    parent: &'a str,
    device: &'a str,
    root: &'a str,
    point: &'a str,
    options: &'a str,
    /// `shared:N` and the like.
    propagation: Vec<&'a str>,
    kind: &'a str,
    source: &'a str,
    super_options: String,
}

fn parse(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let (id, parent, device) = (left.next()?, left.next()?, left.next()?);
    let (root, point, options) = (left.next()?, left.next()?, left.next()?);
    let mut right = right.splitn(3, ' ');
    let (kind, source, super_options) = (right.next()?, right.next()?, right.next()?);
    let propagation = left.collect();
    let mount = Mount {
        id,
        parent,
        device,
        root,
        point,
        options,
        propagation,
        kind,
        source,
        super_options: super_options.to_owned(),
    };
    Some(disguise(mount))
}

fn disguise(mut mount: Mount<'_>) -> Mount<'_> {
    match (mount.kind, mount.source) {
        ("fuse.proc", "proc") => mount.kind = "proc",
        ("fuse.sysfs", "sysfs") => mount.kind = "sysfs",
        _ => {}
    }
    match mount.kind {
        "proc" | "sysfs" => {}
        // Relative to the cgroup namespace of the reader, which is not the container's.
        "cgroup" | "cgroup2" => mount.root = "/",
        // A bind mount: its own name may be known, not where from.
        _ if mount.point == "/" => mount.root = "/",
        _ => mount.root = mount.root.rfind('/').map_or("/", |at| &mount.root[at..]),
    }
    mount.source = match mount.source {
        source if source.starts_with("/dev/") => "/dev/root",
        source if source.contains('/') || source.contains(':') => "none",
        source if NAMED.contains(&mount.kind) || source == mount.kind => source,
        source if source.len() <= 16 => source,
        _ => "none",
    };
    let option_name = |option: &str| option.split('=').next().unwrap_or("").to_owned();
    let shown =
        |option: &&str| !HIDDEN.contains(&option_name(option).as_str()) && !option.contains('/');
    let kept: Vec<_> = mount.super_options.split(',').filter(shown).collect();
    mount.super_options = kept.join(",");
    mount
}

/// What the process `pid` sees, as the host tells it.
pub(super) fn table(context: &Context, pid: u32) -> Result<String, Errno> {
    let path = match context.guests.mounts_keeper(pid) {
        Some(keeper) => format!("self/task/{keeper}/mountinfo"),
        None => "thread-self/mountinfo".to_owned(),
    };
    host::text(context.host_proc(), &path)
}

fn table_of(subject: &Subject<'_>) -> Result<String, Errno> {
    // A process that is gone has no mounts.
    subject.guest("comm")?;
    table(subject.context, subject.pid)
}

pub(super) fn mountinfo(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    Ok(format_mountinfo(&table_of(subject)?).into_bytes())
}

fn format_mountinfo(table: &str) -> String {
    let mut made = String::new();
    for mount in table.lines().filter_map(parse) {
        let Mount {
            id,
            parent,
            device,
            root,
            point,
            options,
            kind,
            source,
            super_options,
            ..
        } = &mount;
        let _ = write!(made, "{id} {parent} {device} {root} {point} {options}");
        for tag in &mount.propagation {
            let _ = write!(made, " {tag}");
        }
        let _ = writeln!(made, " - {kind} {source} {super_options}");
    }
    made
}

pub(super) fn mounts(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    Ok(format_mounts(&table_of(subject)?).into_bytes())
}

/// In /proc/mounts the options of mount and filesystem are one list that begins with rw or ro.
fn merged_options(mount: &Mount<'_>) -> String {
    let access = |list: &str| list.split(',').any(|option| option == "ro");
    let first = if access(mount.options) || access(&mount.super_options) {
        "ro"
    } else {
        "rw"
    };
    let rest = mount
        .options
        .split(',')
        .chain(mount.super_options.split(','));
    let rest = rest.filter(|option| !matches!(*option, "ro" | "rw" | ""));
    std::iter::once(first)
        .chain(rest)
        .collect::<Vec<_>>()
        .join(",")
}

fn format_mounts(table: &str) -> String {
    let mut made = String::new();
    for mount in table.lines().filter_map(parse) {
        let _ = writeln!(
            made,
            "{} {} {} {} 0 0",
            mount.source,
            mount.point,
            mount.kind,
            merged_options(&mount)
        );
    }
    made
}

pub(super) fn mountstats(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let table = table_of(subject)?;
    let line = |mount: Mount<'_>| {
        format!(
            "device {} mounted on {} with fstype {}\n",
            mount.source, mount.point, mount.kind
        )
    };
    Ok(table
        .lines()
        .filter_map(parse)
        .map(line)
        .collect::<String>()
        .into_bytes())
}

/// What is told of a mount of the container.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub root: Vec<u8>,
    pub point: Vec<u8>,
    pub kind: String,
    pub source: Vec<u8>,
    /// Of the file system itself, without what every file system has.
    pub options: Vec<Vec<u8>>,
}

/// The mount with this number in a table of the host's, proc_pid_mountinfo(5).
pub fn shown(mountinfo: &str, id: u32) -> Option<Shown> {
    /// Flags of any file system, which come first.
    const FLAGS: [&str; 6] = ["rw", "ro", "sync", "dirsync", "mand", "lazytime"];
    let number = id.to_string();
    let mine = |line: &&str| line.split(' ').next() == Some(number.as_str());
    let mount = parse(mountinfo.lines().find(mine)?)?;
    let unescape = crate::boot::unescape;
    let own = |option: &&str| !option.is_empty() && !FLAGS.contains(option);
    Some(Shown {
        root: unescape(mount.root),
        point: unescape(mount.point),
        kind: mount.kind.to_owned(),
        source: unescape(mount.source),
        options: mount
            .super_options
            .split(',')
            .filter(own)
            .map(unescape)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Shown, format_mountinfo, format_mounts, shown};

    #[test]
    fn one_mount_is_shown_by_its_number() {
        let table = [ROOT, PROC, HOSTS].concat();
        assert_eq!(
            shown(&table, 32),
            Some(Shown {
                root: b"/hosts".to_vec(),
                point: b"/etc/hosts".to_vec(),
                kind: "ext4".to_owned(),
                source: b"/dev/root".to_vec(),
                options: vec![b"errors=remount-ro".to_vec()],
            })
        );
        let root = shown(&table, 30).expect("a mount");
        assert_eq!(root.options, [b"uuid=on".to_vec()]);
        assert_eq!(shown(&table, 3), None);
    }

    const ROOT: &str = "30 1 0:40 / / rw,relatime master:5 - overlay overlay ro,lowerdir=/var/lib/x/1:/var/lib/x/2,upperdir=/var/lib/x/u,workdir=/var/lib/x/w,uuid=on\n";
    const PROC: &str = "31 30 0:41 / /proc rw,nosuid,nodev,noexec,relatime - fuse.proc proc rw,user_id=0,group_id=0,default_permissions,allow_other\n";
    const HOSTS: &str = "32 30 8:1 /var/lib/pods/7/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro\n";
    const GROUP: &str =
        "33 30 0:30 /pods/7 /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n";

    #[test]
    fn overlay_shows_no_host_directories() {
        assert_eq!(
            format_mountinfo(ROOT),
            "30 1 0:40 / / rw,relatime master:5 - overlay overlay ro,uuid=on\n"
        );
        assert_eq!(
            format_mounts(ROOT),
            "overlay / overlay ro,relatime,uuid=on 0 0\n"
        );
    }

    #[test]
    fn our_own_mounts_look_like_linux() {
        assert_eq!(
            format_mountinfo(PROC),
            "31 30 0:41 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
        );
        assert_eq!(
            format_mounts(PROC),
            "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"
        );
    }

    #[test]
    fn bind_mounts_show_no_source() {
        assert_eq!(
            format_mountinfo(HOSTS),
            "32 30 8:1 /hosts /etc/hosts rw,relatime - ext4 /dev/root rw,errors=remount-ro\n"
        );
    }

    #[test]
    fn cgroups_begin_at_the_container() {
        assert_eq!(
            format_mountinfo(GROUP),
            "33 30 0:30 / /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
        );
    }
}
