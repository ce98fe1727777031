//! /proc/sys: which sysctls exist and where their value comes from.
//!
//! Values that are per namespace of the pod, or the same on every machine of a kind, are the host's; what would
//! describe the host's state is a constant. The container's configuration overrides both. Only the host name
//! can be written.

use super::context::Context;
use super::host;
use super::procfs::Fixed;

use Fixed::{Constant, HostDirectory, HostValue, Text};

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

fn domainname(context: &Context) -> Vec<u8> {
    let name = context.guests.domainname();
    line(if name.is_empty() { "(none)" } else { &name })
}

fn uuid(context: &Context) -> Vec<u8> {
    host::read(context.host_proc(), "sys/kernel/random/uuid").unwrap_or_default()
}

/// In the order in which they are listed.
pub(super) const SYSCTLS: &[(&str, Fixed)] = &[
    ("sys/fs/aio-max-nr", HostValue),
    ("sys/fs/aio-nr", Constant("0\n")),
    ("sys/fs/dentry-state", Constant("0\t0\t45\t0\t0\t0\n")),
    ("sys/fs/dir-notify-enable", Constant("1\n")),
    ("sys/fs/epoll/max_user_watches", HostValue),
    ("sys/fs/file-max", HostValue),
    ("sys/fs/file-nr", Constant("0\t0\t9223372036854775807\n")),
    ("sys/fs/inode-nr", Constant("0\t0\n")),
    ("sys/fs/inode-state", Constant("0\t0\t0\t0\t0\t0\t0\n")),
    ("sys/fs/inotify/max_queued_events", HostValue),
    ("sys/fs/inotify/max_user_instances", HostValue),
    ("sys/fs/inotify/max_user_watches", HostValue),
    ("sys/fs/lease-break-time", Constant("45\n")),
    ("sys/fs/leases-enable", Constant("1\n")),
    ("sys/fs/mount-max", HostValue),
    ("sys/fs/mqueue/msg_default", HostValue),
    ("sys/fs/mqueue/msg_max", HostValue),
    ("sys/fs/mqueue/msgsize_default", HostValue),
    ("sys/fs/mqueue/msgsize_max", HostValue),
    ("sys/fs/mqueue/queues_max", HostValue),
    ("sys/fs/nr_open", HostValue),
    ("sys/fs/overflowgid", Constant("65534\n")),
    ("sys/fs/overflowuid", Constant("65534\n")),
    ("sys/fs/pipe-max-size", HostValue),
    ("sys/fs/pipe-user-pages-hard", HostValue),
    ("sys/fs/pipe-user-pages-soft", HostValue),
    ("sys/fs/protected_fifos", HostValue),
    ("sys/fs/protected_hardlinks", HostValue),
    ("sys/fs/protected_regular", HostValue),
    ("sys/fs/protected_symlinks", HostValue),
    ("sys/fs/suid_dumpable", Constant("0\n")),
    ("sys/kernel/arch", Constant("x86_64\n")),
    ("sys/kernel/auto_msgmni", Constant("0\n")),
    ("sys/kernel/cap_last_cap", HostValue),
    ("sys/kernel/core_pattern", Constant("core\n")),
    ("sys/kernel/core_pipe_limit", Constant("0\n")),
    ("sys/kernel/core_uses_pid", Constant("0\n")),
    ("sys/kernel/dmesg_restrict", Constant("1\n")),
    ("sys/kernel/domainname", Text(domainname)),
    ("sys/kernel/hostname", Fixed::Hostname),
    ("sys/kernel/io_uring_disabled", Constant("2\n")),
    ("sys/kernel/keys/maxkeys", Constant("200\n")),
    ("sys/kernel/keys/maxbytes", Constant("20000\n")),
    ("sys/kernel/kptr_restrict", Constant("2\n")),
    ("sys/kernel/modules_disabled", Constant("1\n")),
    ("sys/kernel/msg_next_id", Constant("-1\n")),
    ("sys/kernel/msgmax", HostValue),
    ("sys/kernel/msgmnb", HostValue),
    ("sys/kernel/msgmni", HostValue),
    ("sys/kernel/ngroups_max", Constant("65536\n")),
    ("sys/kernel/numa_balancing", Constant("0\n")),
    (
        "sys/kernel/osrelease",
        Text(|context| line(&context.system().release)),
    ),
    ("sys/kernel/ostype", Constant("Linux\n")),
    ("sys/kernel/overflowgid", Constant("65534\n")),
    ("sys/kernel/overflowuid", Constant("65534\n")),
    ("sys/kernel/panic", Constant("0\n")),
    ("sys/kernel/perf_event_paranoid", Constant("3\n")),
    ("sys/kernel/pid_max", Constant("4194304\n")),
    ("sys/kernel/printk", Constant("4\t4\t1\t7\n")),
    (
        "sys/kernel/random/boot_id",
        Text(|context| line(&context.system().boot_id)),
    ),
    ("sys/kernel/random/entropy_avail", Constant("256\n")),
    ("sys/kernel/random/poolsize", Constant("256\n")),
    (
        "sys/kernel/random/urandom_min_reseed_secs",
        Constant("60\n"),
    ),
    ("sys/kernel/random/uuid", Text(uuid)),
    (
        "sys/kernel/random/write_wakeup_threshold",
        Constant("256\n"),
    ),
    ("sys/kernel/randomize_va_space", HostValue),
    ("sys/kernel/sched_rr_timeslice_ms", HostValue),
    ("sys/kernel/sched_rt_period_us", HostValue),
    ("sys/kernel/sched_rt_runtime_us", HostValue),
    (
        "sys/kernel/seccomp/actions_avail",
        Constant("kill_process kill_thread trap errno trace log allow\n"),
    ),
    ("sys/kernel/sem", HostValue),
    ("sys/kernel/sem_next_id", Constant("-1\n")),
    ("sys/kernel/shm_next_id", Constant("-1\n")),
    ("sys/kernel/shm_rmid_forced", HostValue),
    ("sys/kernel/shmall", HostValue),
    ("sys/kernel/shmmax", HostValue),
    ("sys/kernel/shmmni", HostValue),
    ("sys/kernel/sysrq", Constant("0\n")),
    ("sys/kernel/tainted", Constant("0\n")),
    ("sys/kernel/threads-max", HostValue),
    ("sys/kernel/unprivileged_bpf_disabled", Constant("2\n")),
    (
        "sys/kernel/version",
        Text(|context| line(&context.system().version)),
    ),
    ("sys/kernel/yama/ptrace_scope", Constant("1\n")),
    ("sys/net", HostDirectory("sys/net")),
    ("sys/user/max_user_namespaces", Constant("0\n")),
    ("sys/vm/admin_reserve_kbytes", HostValue),
    ("sys/vm/dirty_background_ratio", HostValue),
    ("sys/vm/dirty_expire_centisecs", HostValue),
    ("sys/vm/dirty_ratio", HostValue),
    ("sys/vm/dirty_writeback_centisecs", HostValue),
    ("sys/vm/drop_caches", Constant("0\n")),
    ("sys/vm/hugetlb_shm_group", Constant("0\n")),
    ("sys/vm/legacy_va_layout", Constant("0\n")),
    ("sys/vm/max_map_count", HostValue),
    ("sys/vm/min_free_kbytes", HostValue),
    ("sys/vm/mmap_min_addr", HostValue),
    ("sys/vm/mmap_rnd_bits", HostValue),
    ("sys/vm/nr_hugepages", Constant("0\n")),
    ("sys/vm/nr_overcommit_hugepages", Constant("0\n")),
    ("sys/vm/oom_kill_allocating_task", Constant("0\n")),
    ("sys/vm/overcommit_kbytes", HostValue),
    ("sys/vm/overcommit_memory", HostValue),
    ("sys/vm/overcommit_ratio", HostValue),
    ("sys/vm/page-cluster", HostValue),
    ("sys/vm/panic_on_oom", Constant("0\n")),
    ("sys/vm/swappiness", HostValue),
    ("sys/vm/user_reserve_kbytes", HostValue),
    ("sys/vm/vfs_cache_pressure", HostValue),
    ("sys/vm/zone_reclaim_mode", Constant("0\n")),
];
