//! Where the sandbox differs from the host kernel on purpose, other than by refusing a call: each with
//! what it prints instead and why. The table's texts state the same limits for users.

/// A line that differs on purpose.
struct Departure {
    /// `family::call.tag`.
    key: &'static str,
    /// What the sandbox prints; `None` where that may vary.
    sandbox: Option<&'static str>,
    /// Why, for people.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by people and by the test below")
    )]
    reason: &'static str,
}

const HOST_USER: &str = "made natively, so the kernel names the sandbox's host user";
const OWNER: &str = "the kernel asks whether the sandbox's host user owns the file";
const LOADER: &str =
    "the loader needs descriptors, and only CAP_SYS_RESOURCE of the host raises hard limits";
const LEASE: &str = "a lease would make the host's own opens of the file wait";
const DEATH: &str = "the host keeps the signal, and does not know of a guest's change of ids";
const PRIVILEGES: &str = "written natively, by a process that has neither CAP_FSETID nor the file's group: both bits \
                          are cleared, as for anybody else";
const LOCKED: &str = "what a container starts with is locked, as what a user namespace inherits";
const LOOKED: &str = "the app kernel's own look at the mount takes its mark off";
const NODEV: &str = "every mount but /dev is nodev in the sandbox";
const FUSE: &str = "/proc and /sys are served by the app kernel";

const fn departure(
    key: &'static str,
    sandbox: Option<&'static str>,
    reason: &'static str,
) -> Departure {
    Departure {
        key,
        sandbox,
        reason,
    }
}

const ZEROCOPY: &str = "memory of the network is not mapped into guests";

const RINGS: &str = "memory shared with the kernel, and what else of packet sockets has had holes, is not for guests";
const FILTERS: &str = "a guest's program is not compiled into the host kernel";

const MEMORY: &str = "numa_maps is there whether or not the host has it";

const DEPARTURES: &[Departure] = &[
    departure("procfs::unlink.remove", None, FUSE),
    departure("procfs::open.create", None, FUSE),
    departure("procfs::mkdir.directory", None, FUSE),
    departure("procfs::rename.rename", None, FUSE),
    departure("procfs::link.link", None, FUSE),
    departure("procfs::symlink.symlink", None, FUSE),
    departure("procfs::rmdir.rmdir", None, FUSE),
    departure("procfs::read.numa_maps", None, MEMORY),
    departure("procfs::stat.numa_maps", None, MEMORY),
    departure("procfs::open.numa_maps", None, MEMORY),
    departure("procfs::read.other_user_syscall", None, FUSE),
    departure("procfs::read.other_user_personality", None, FUSE),
    departure("procfs::read.other_user_fdinfo", None, FUSE),
    departure("procfs::open.zombie_fd", None, FUSE),
    departure(
        "aio::io_getevents.proc#2",
        Some("data=42 res=0 same=1"),
        FUSE,
    ),
    departure(
        "inet::getsockopt.tcp_6_35",
        Some("ret=-1 errno=ENOPROTOOPT"),
        ZEROCOPY,
    ),
    departure(
        "inet::setsockopt.packet_ring",
        Some("ret=-1 errno=ENOPROTOOPT"),
        RINGS,
    ),
    departure(
        "inet::setsockopt.packet_fanout",
        Some("ret=-1 errno=ENOPROTOOPT"),
        RINGS,
    ),
    departure(
        "inet::setsockopt.packet_vnet",
        Some("ret=-1 errno=ENOPROTOOPT"),
        RINGS,
    ),
    departure(
        "inet::setsockopt.packet_promiscuous",
        Some("ret=-1 errno=ENOPROTOOPT"),
        RINGS,
    ),
    departure(
        "inet::setsockopt.packet_filter",
        Some("ret=-1 errno=EPERM"),
        FILTERS,
    ),
    departure("inet::getsockopt.tcp_6_35#2", None, ZEROCOPY),
    departure("process::waitid.exited", None, HOST_USER),
    departure("signal::signalfd4.info", None, HOST_USER),
    departure("memory::fstat.memfd", None, HOST_USER),
    departure("socket::recvmsg.credentials", None, HOST_USER),
    departure("locks::fcntl.take", Some("ret=-1 errno=EINVAL"), LEASE),
    departure("locks::fcntl.release#2", Some("ret=-1 errno=EINVAL"), LEASE),
    departure("children::prctl.pdeathsig_setuid", Some("10"), DEATH),
    departure("permission::write.*_suid", None, PRIVILEGES),
    departure("permission::fallocate.*_suid", None, PRIVILEGES),
    departure("permission::ftruncate.*_suid", None, PRIVILEGES),
    departure(
        "mounting::umount2.expire_second",
        Some("ret=-1 errno=EAGAIN"),
        LOOKED,
    ),
    departure("mounting::umount2.expired", None, LOOKED),
    // Linux makes the root of a chroot read-only instead.
    departure(
        "mounting::umount2.inside_dotdot",
        Some("ret=-1 errno=EBUSY"),
        LOCKED,
    ),
    departure(
        "mounting::umount2.locked",
        Some("ret=-1 errno=EINVAL"),
        LOCKED,
    ),
    departure(
        "mounting::umount2.locked_detach",
        Some("ret=-1 errno=EINVAL"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_rw",
        Some("ret=-1 errno=EPERM"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_exec",
        Some("ret=-1 errno=EPERM"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_remount",
        Some("ret=-1 errno=EPERM"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_copy_rw",
        Some("ret=-1 errno=EPERM"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_children",
        Some("ret=-1 errno=EINVAL"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_move",
        Some("ret=-1 errno=EINVAL"),
        LOCKED,
    ),
    departure(
        "mounting::mount.locked_dev",
        Some("ret=-1 errno=EPERM"),
        LOCKED,
    ),
    departure(
        "mounting::pivot_root.chroot_of_containers",
        Some("ret=-1 errno=EINVAL"),
        LOCKED,
    ),
    departure("hostile::execve.full_to_hard_limit", None, LOADER),
    departure("memory::cachestat.file", None, OWNER),
    departure("stat::statfs.proc#2", None, FUSE),
    departure("stat::statfs.sys#2", None, FUSE),
    // Reader and writer are two threads that open the fifo at once: which gets the lower number is chance.
    departure(
        "signal::open.fifo_restart",
        None,
        "a race of the test's own",
    ),
    departure("stat::statfs.work#2", None, NODEV),
    departure("stat::statfs.ro#2", None, NODEV),
    departure("stat::statfs.locked#2", None, NODEV),
    // The host kernel checks the directory's mode before the file system is asked.
    departure("directory::mkdir.proc", None, FUSE),
    departure("directory::unlink.proc", None, FUSE),
    departure("stat::access.proc_2", None, FUSE),
    departure("stat::access.proc_3", None, FUSE),
    departure("stat::access.proc_6", None, FUSE),
    departure("stat::access.proc_7", None, FUSE),
    departure("stat::faccessat.proc_2", None, FUSE),
    departure("stat::faccessat2.proc_2", None, FUSE),
];

/// `None`: no departure. `Some(None)`: anything will do. `Some(Some(text))`: exactly this.
pub(crate) fn of(key: &str) -> Option<Option<&'static str>> {
    DEPARTURES
        .iter()
        .find(|departure| covers(departure.key, key))
        .map(|departure| departure.sandbox)
}

/// A `*` in a departure's key stands for what differs between tags (and numbers of repetitions) of one check.
fn covers(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((before, after)) => key
            .strip_prefix(before)
            .is_some_and(|rest| rest.split('#').next().unwrap_or(rest).ends_with(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_users_and_repetitions_of_one_check() {
        assert!(covers("a::b.*_c", "a::b.root_c#2"));
        assert!(!covers("a::b.*_c", "a::b.root_d"));
        assert!(!covers("a::b.c", "a::b.c#2"));
    }

    #[test]
    fn every_departure_has_a_reason_and_is_stated_once() {
        for (index, departure) in DEPARTURES.iter().enumerate() {
            assert!(!departure.reason.is_empty(), "{}", departure.key);
            assert!(
                DEPARTURES[..index]
                    .iter()
                    .all(|other| other.key != departure.key),
                "{}",
                departure.key
            );
        }
    }
}
