//! Which transports this host supports.

use caisson_wire::TransportKind;

/// What seccomp(2) filters may return here.
pub const ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

const ALL: [TransportKind; 2] = [TransportKind::Notify, TransportKind::Ptrace];

/// What `kind` needs of the host's seccomp.
fn action(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Notify => "user_notif",
        TransportKind::Ptrace => "trace",
    }
}

pub fn available(kind: TransportKind) -> bool {
    let text = std::fs::read_to_string(ACTIONS).unwrap_or_default();
    text.split_whitespace().any(|word| word == action(kind))
}

/// All that this host supports, the fastest first.
pub fn list() -> Vec<TransportKind> {
    ALL.into_iter().filter(|kind| available(*kind)).collect()
}

/// The one for new containers. Where nothing is supported, making the container says so.
pub fn best() -> TransportKind {
    list().first().copied().unwrap_or_default()
}
