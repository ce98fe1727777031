//! Checks of `process`, and of the documents that `exec --process` takes.

use super::super::types::Process;
use super::super::{SpecError, process, rlimit, schedule};
use super::no_nul;

/// The default profiles of engines forbid mounting, tracing and writing below /proc and /sys: what the sandbox forbids
/// or keeps to itself anyhow. They add nothing to it, as do the default seccomp profiles.
const DEFAULT_PROFILES: [&str; 4] = [
    "docker-default",
    "cri-containerd.apparmor.d",
    "crio-default",
    "containers-default",
];

/// Check a process; `prefix` stands before every field name.
pub fn process(from: &Process, prefix: &str) -> Result<(), SpecError> {
    let field = |name: &str| format!("{prefix}{name}");
    if from.args.is_empty() {
        return Err(SpecError::missing(field("args")));
    }
    if !from.cwd.starts_with('/') {
        return Err(SpecError::invalid(
            field("cwd"),
            &from.cwd,
            "must be an absolute path",
        ));
    }
    let strings = from
        .args
        .iter()
        .map(|text| ("args", text))
        .chain(from.env.iter().map(|text| ("env", text)));
    for (name, text) in strings.chain([("cwd", &from.cwd)]) {
        no_nul(&field(name), text)?;
    }
    numbers(from, prefix)?;
    rlimit::limits(&from.rlimits, &field("rlimits"))?;
    labels(from, prefix)?;
    schedule::check(from, prefix)?;
    process::environment(&from.env, &field("env"))
}

fn numbers(from: &Process, prefix: &str) -> Result<(), SpecError> {
    let field = |name: &str| format!("{prefix}{name}");
    if let Some(umask) = from.user.umask.filter(|umask| *umask > 0o777) {
        return Err(SpecError::invalid(field("user.umask"), umask, "above 0777"));
    }
    if let Some(adj) = from
        .oom_score_adj
        .filter(|adj| !(-1000..=1000).contains(adj))
    {
        return Err(SpecError::invalid(
            field("oomScoreAdj"),
            adj,
            "not within -1000..1000",
        ));
    }
    if let Some(size) = &from.console_size {
        for (name, value) in [
            ("consoleSize.height", size.height),
            ("consoleSize.width", size.width),
        ] {
            if value > u16::MAX.into() {
                return Err(SpecError::invalid(field(name), value, "above 65535"));
            }
        }
    }
    Ok(())
}

fn labels(from: &Process, prefix: &str) -> Result<(), SpecError> {
    let profile = from.apparmor_profile.as_str();
    let subsumed = DEFAULT_PROFILES
        .iter()
        .any(|known| profile == *known || profile.starts_with(&format!("{known}-")));
    let refuse = |name: &str, value: &str, reason: &str| {
        Err(SpecError::unsupported(
            format!("{prefix}{name}"),
            value,
            reason,
        ))
    };
    if !profile.is_empty() && profile != "unconfined" {
        if !host_has_apparmor() {
            return refuse(
                "apparmorProfile",
                profile,
                "the host does not have AppArmor",
            );
        }
        if !subsumed {
            let reason = "only the default profiles of engines are, which the sandbox subsumes";
            return refuse("apparmorProfile", profile, reason);
        }
    }
    if !from.selinux_label.is_empty() {
        let reason = "guest processes are confined by the sandbox, not by SELinux labels";
        return refuse("selinuxLabel", &from.selinux_label, reason);
    }
    Ok(())
}

fn host_has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.trim() == "Y")
}
