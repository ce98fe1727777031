//! `linux.seccomp`: which profiles the sandbox's own, stricter filter may stand in for.
//!
//! No guest call reaches the host kernel by a profile's leave: the guest's filter is made from the syscall
//! table alone. The default profiles of containerd, Docker and Podman only forbid what the sandbox forbids
//! anyhow, so they are accepted and add nothing. A profile that forbids more (say, `mkdir`) would have to be
//! enforced and is refused by naming the call, as is one that asks for a listener, a log or a tracer.

use std::collections::BTreeSet;

use super::SpecError;
use super::types::{Seccomp, Spec};

/// Calls that default profiles forbid and that the sandbox refuses, or answers from its own state
/// where they can do no harm to the host.
const HARMLESS_TO_FORBID: &[&str] = &[
    "_sysctl",
    "acct",
    "add_key",
    "adjtimex",
    "afs_syscall",
    "bpf",
    "cachestat",
    "clock_adjtime",
    "clock_settime",
    "clone",
    "clone3",
    "create_module",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "get_mempolicy",
    "getpmsg",
    "init_module",
    "io_pgetevents",
    "io_setup",
    "io_submit",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listmount",
    "lookup_dcookie",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "map_shadow_stack",
    "mbind",
    "memfd_secret",
    "migrate_pages",
    "mincore",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "mseal",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pidfd_open",
    "pivot_root",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "putpmsg",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "security",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "socketcall",
    "statmount",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "sysfs",
    "tuxcall",
    "umount",
    "umount2",
    "unshare",
    "uprobe",
    "uretprobe",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
    "vmsplice",
    "vserver",
];

/// Calls that every allow-list for real programs names: a list without one of them confines on purpose.
const EVERYDAY: &[&str] = &[
    "accept4",
    "bind",
    "brk",
    "chdir",
    "chmod",
    "chown",
    "close",
    "connect",
    "dup2",
    "epoll_wait",
    "execve",
    "exit_group",
    "fchmodat",
    "fchownat",
    "fork",
    "fstat",
    "fsync",
    "ftruncate",
    "futex",
    "getdents64",
    "getpid",
    "getuid",
    "ioctl",
    "kill",
    "link",
    "linkat",
    "listen",
    "lseek",
    "mkdir",
    "mkdirat",
    "mmap",
    "mprotect",
    "munmap",
    "openat",
    "pipe2",
    "poll",
    "prctl",
    "pread64",
    "pwrite64",
    "read",
    "readlink",
    "recvmsg",
    "rename",
    "renameat2",
    "rmdir",
    "rt_sigaction",
    "sendmsg",
    "setgid",
    "setuid",
    "socket",
    "stat",
    "statx",
    "symlink",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
    "utimensat",
    "vfork",
    "wait4",
    "write",
    "writev",
];

pub fn check(spec: &Spec) -> Result<(), SpecError> {
    let Some(profile) = &spec.linux.seccomp else {
        return Ok(());
    };
    if !profile.listener_path.is_empty() {
        let reason = "the sandbox itself is the only listener";
        return Err(SpecError::unsupported(
            "linux.seccomp.listenerPath",
            &profile.listener_path,
            reason,
        ));
    }
    if let Some(flag) = profile
        .flags
        .iter()
        .find(|flag| flag.as_str() == "SECCOMP_FILTER_FLAG_LOG")
    {
        return Err(SpecError::unsupported(
            "linux.seccomp.flags",
            flag,
            "denied calls are not logged",
        ));
    }
    match profile.default_action.as_str() {
        "SCMP_ACT_ALLOW" => deny_list(profile),
        "SCMP_ACT_ERRNO" | "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" | "SCMP_ACT_KILL_PROCESS" => {
            allow_list(profile)
        }
        "" => Err(SpecError::missing("linux.seccomp.defaultAction")),
        other => Err(SpecError::unsupported(
            "linux.seccomp.defaultAction",
            other,
            "only allow, errno and kill are",
        )),
    }
}

/// Index, action and names of every rule.
fn rules(profile: &Seccomp) -> impl Iterator<Item = (usize, &str, Vec<&str>)> {
    profile.syscalls.iter().enumerate().map(|(index, rule)| {
        let names = rule["names"]
            .as_array()
            .map(|names| names.iter().filter_map(|name| name.as_str()).collect());
        (
            index,
            rule["action"].as_str().unwrap_or(""),
            names.unwrap_or_default(),
        )
    })
}

fn deny_list(profile: &Seccomp) -> Result<(), SpecError> {
    rules(profile).try_for_each(|(index, action, names)| refuse_denial(index, action, &names))
}

fn refuse_denial(index: usize, action: &str, names: &[&str]) -> Result<(), SpecError> {
    if action == "SCMP_ACT_ALLOW" {
        return Ok(());
    }
    if ![
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
    ]
    .contains(&action)
    {
        let field = format!("linux.seccomp.syscalls[{index}].action");
        return Err(SpecError::unsupported(
            field,
            action,
            "only allow, errno and kill are",
        ));
    }
    match names.iter().find(|name| !HARMLESS_TO_FORBID.contains(name)) {
        Some(name) => {
            let reason = "profiles stricter than the sandbox's own filter are not enforced yet";
            Err(SpecError::unsupported(
                format!("linux.seccomp.syscalls[{index}].names"),
                name,
                reason,
            ))
        }
        None => Ok(()),
    }
}

fn allow_list(profile: &Seccomp) -> Result<(), SpecError> {
    let mut allowed = BTreeSet::new();
    for (index, action, names) in rules(profile) {
        if action == "SCMP_ACT_ALLOW" {
            allowed.extend(names);
        } else {
            refuse_denial(index, action, &names)?;
        }
    }
    match EVERYDAY.iter().find(|name| !allowed.contains(*name)) {
        Some(name) => {
            let reason = format!(
                "forbids {name}: profiles stricter than the sandbox's own filter are not enforced yet"
            );
            Err(SpecError::unsupported(
                "linux.seccomp.defaultAction",
                &profile.default_action,
                reason,
            ))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(profile: serde_json::Value) -> Result<(), String> {
        let mut spec = Spec::default();
        spec.linux.seccomp = Some(serde_json::from_value(profile).expect("well-typed"));
        check(&spec).map_err(|error| error.to_string())
    }

    #[test]
    fn a_default_allow_list_is_accepted_and_a_tight_one_refused() {
        let rule = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
        outcome(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(EVERYDAY)]}))
            .expect("default profile");
        let without: Vec<&str> = EVERYDAY
            .iter()
            .copied()
            .filter(|name| *name != "mkdir")
            .collect();
        let message =
            outcome(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(&without)]}))
                .expect_err("tight");
        assert!(
            message.contains("linux.seccomp.defaultAction") && message.contains("mkdir"),
            "{message}"
        );
    }

    #[test]
    fn a_deny_list_may_only_forbid_what_the_sandbox_forbids() {
        let deny = |name: &str, action: &str| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [name], "action": action}]});
        outcome(deny("bpf", "SCMP_ACT_ERRNO")).expect("bpf is refused anyhow");
        assert!(
            outcome(deny("getcwd", "SCMP_ACT_ERRNO"))
                .expect_err("getcwd")
                .contains("\"getcwd\"")
        );
        assert!(
            outcome(deny("bpf", "SCMP_ACT_NOTIFY"))
                .expect_err("notify")
                .contains("SCMP_ACT_NOTIFY")
        );
    }
}
