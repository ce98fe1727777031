//! The names below /proc/PID with their modes and where their content comes from.

use nix::errno::Errno;

use super::node::Subject;
use super::{cgroup, comm, ids, limits, maps, mounts, stat, status, syscall};

#[derive(Clone, Copy)]
pub(super) enum Source {
    Directory,
    /// The file of the same name in the guest's procfs, as it is.
    Guest,
    Made(fn(&Subject<'_>) -> Result<Vec<u8>, Errno>),
    Constant(&'static str),
    /// Exists, but reading it fails.
    Fails(Errno),
    Exe,
    Cwd,
    Root,
    Namespace(&'static str),
    /// Network files, the same for all processes of a pod.
    Network,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Both,
    Process,
    Thread,
}

pub(super) struct Entry {
    /// Below /proc/PID; the empty name is that directory itself.
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) scope: Scope,
    /// Needs the right to ptrace.
    pub(super) guarded: bool,
    pub(super) source: Source,
}

const fn both(name: &'static str, mode: u32, source: Source) -> Entry {
    Entry {
        name,
        mode,
        scope: Scope::Both,
        guarded: false,
        source,
    }
}

const fn process(name: &'static str, mode: u32, source: Source) -> Entry {
    Entry {
        name,
        mode,
        scope: Scope::Process,
        guarded: false,
        source,
    }
}

const fn guarded(name: &'static str, mode: u32, source: Source) -> Entry {
    Entry {
        name,
        mode,
        scope: Scope::Both,
        guarded: true,
        source,
    }
}

const fn namespace(name: &'static str, short: &'static str) -> Entry {
    Entry {
        name,
        mode: 0o777,
        scope: Scope::Both,
        guarded: true,
        source: Source::Namespace(short),
    }
}

use Source::{Constant, Directory, Fails, Guest, Made};

const IDENTITY_MAP: &str = "         0          0 4294967295\n";

/// Position in this table is part of the node number; the first row is /proc/PID.
pub(super) const ENTRIES: &[Entry] = &[
    both("", 0o555, Directory),
    process("task", 0o555, Directory),
    both("fd", 0o500, Directory),
    // Linux shows 0555 and refuses by who asks.
    both("fdinfo", 0o500, Directory),
    both("ns", 0o511, Directory),
    namespace("ns/cgroup", "cgroup"),
    namespace("ns/ipc", "ipc"),
    namespace("ns/mnt", "mnt"),
    namespace("ns/net", "net"),
    namespace("ns/pid", "pid"),
    namespace("ns/pid_for_children", "pid_for_children"),
    namespace("ns/time", "time"),
    namespace("ns/time_for_children", "time_for_children"),
    namespace("ns/user", "user"),
    namespace("ns/uts", "uts"),
    both("net", 0o555, Source::Network),
    both("attr", 0o555, Directory),
    both("attr/current", 0o666, Fails(Errno::EINVAL)),
    both("attr/exec", 0o666, Fails(Errno::EINVAL)),
    both("attr/fscreate", 0o666, Fails(Errno::EINVAL)),
    both("attr/keycreate", 0o666, Fails(Errno::EINVAL)),
    both("attr/prev", 0o444, Fails(Errno::EINVAL)),
    both("attr/sockcreate", 0o666, Fails(Errno::EINVAL)),
    guarded("auxv", 0o400, Guest),
    both("cgroup", 0o444, Made(cgroup::cgroup)),
    Entry {
        name: "children",
        mode: 0o444,
        scope: Scope::Thread,
        guarded: false,
        source: Guest,
    },
    both("cmdline", 0o444, Guest),
    both("comm", 0o644, Made(comm::comm)),
    process("coredump_filter", 0o644, Guest),
    both("cpuset", 0o444, Constant("/\n")),
    guarded("cwd", 0o777, Source::Cwd),
    guarded("environ", 0o400, Guest),
    guarded("exe", 0o777, Source::Exe),
    both("gid_map", 0o644, Made(ids::gid_map)),
    guarded("io", 0o400, Guest),
    both("limits", 0o444, Made(limits::limits)),
    both("loginuid", 0o644, Constant("4294967295")),
    guarded("maps", 0o444, Made(maps::maps)),
    // Opened natively: see syscall/open/memory.rs. This is what is left for whoever cannot be shown that.
    guarded("mem", 0o600, Fails(Errno::EIO)),
    both("mountinfo", 0o444, Made(mounts::mountinfo)),
    both("mounts", 0o444, Made(mounts::mounts)),
    process("mountstats", 0o400, Made(mounts::mountstats)),
    guarded("numa_maps", 0o444, Made(maps::numa_maps)),
    both("oom_adj", 0o644, Guest),
    both("oom_score", 0o444, Guest),
    both("oom_score_adj", 0o644, Guest),
    // As mem.
    guarded("pagemap", 0o400, Fails(Errno::EIO)),
    guarded("personality", 0o400, Guest),
    both("projid_map", 0o644, Constant(IDENTITY_MAP)),
    guarded("root", 0o777, Source::Root),
    both("sched", 0o644, Guest),
    both("schedstat", 0o444, Guest),
    both("sessionid", 0o444, Constant("4294967295")),
    process("setgroups", 0o644, Made(ids::setgroups)),
    guarded("smaps", 0o444, Made(maps::smaps)),
    guarded("smaps_rollup", 0o444, Guest),
    both("stat", 0o444, Made(stat::stat)),
    both("statm", 0o444, Guest),
    both("status", 0o444, Made(status::status)),
    process("timens_offsets", 0o644, Guest),
    process("timers", 0o444, Guest),
    Entry {
        name: "timerslack_ns",
        mode: 0o666,
        scope: Scope::Process,
        guarded: true,
        source: Guest,
    },
    both("uid_map", 0o644, Made(ids::uid_map)),
    both("wchan", 0o444, Constant("0")),
    guarded("stack", 0o400, Fails(Errno::EACCES)),
    guarded("syscall", 0o400, Made(syscall::syscall)),
];

/// The rows that are listed in the directory `parent` of a process or a thread.
pub(super) fn children(
    parent: u8,
    thread: bool,
) -> impl Iterator<Item = (u8, &'static Entry, &'static str)> {
    let prefix = ENTRIES
        .get(usize::from(parent))
        .map_or("", |entry| entry.name);
    let unwanted = if thread {
        Scope::Process
    } else {
        Scope::Thread
    };
    (0..=u8::MAX)
        .zip(ENTRIES)
        .skip(1)
        .filter_map(move |(index, entry)| {
            let name = match prefix {
                "" => entry.name,
                _ => entry.name.strip_prefix(prefix)?.strip_prefix('/')?,
            };
            (entry.scope != unwanted && !name.contains('/')).then_some((index, entry, name))
        })
}
