//! Resource limits that the host does not keep as the guest sees them, setrlimit(2).
//!
//! RLIMIT_LOCKS, whose value on the host is a mark (module `birth`), and RLIMIT_NPROC, which binds neither root nor who
//! may exceed limits. The host would hold every guest to it: to the host none of them is root.

use rustix::io::Errno;

use super::{Capability, Credentials, MARK_RESOURCE, Process, lock};

/// `RLIMIT_NPROC`, asm-generic/resource.h.
pub const PROCESSES_RESOURCE: u32 = 6;

/// Soft and hard limits of a process as the guest sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptLimits {
    pub file_locks: (u64, u64),
    /// `None`: nobody has set it, and it is what the host has.
    pub processes: Option<(u64, u64)>,
}

impl Default for KeptLimits {
    fn default() -> KeptLimits {
        KeptLimits {
            file_locks: (u64::MAX, u64::MAX),
            processes: None,
        }
    }
}

impl KeptLimits {
    /// The limit, if it is kept here.
    pub fn of(&self, resource: u32) -> Option<(u64, u64)> {
        match resource {
            MARK_RESOURCE => Some(self.file_locks),
            PROCESSES_RESOURCE => self.processes,
            _ => None,
        }
    }

    /// All with their `RLIMIT_*`.
    pub fn list(&self) -> Vec<(u32, u64, u64)> {
        [MARK_RESOURCE, PROCESSES_RESOURCE]
            .into_iter()
            .filter_map(|resource| self.of(resource).map(|(soft, hard)| (resource, soft, hard)))
            .collect()
    }
}

impl Credentials {
    /// Whether RLIMIT_NPROC does not hold for a process with these, as `copy_process` of kernel/fork.c asks.
    /// `hosts_ids`: the container has the first user namespace's ids; in others nobody is beyond limits.
    pub fn exceeds_processes(&self, hosts_ids: bool) -> bool {
        let may = |capability| self.can(capability);
        hosts_ids && (self.ruid == 0 || may(Capability::SysResource) || may(Capability::SysAdmin))
    }
}

impl Process {
    /// Set RLIMIT_NPROC; `free` from it is who has [`Credentials::exceeds_processes`].
    pub fn limit_processes(&self, limit: (u64, u64), free: bool) -> Result<(), Errno> {
        lock(&self.limits).processes = Some(limit);
        self.hold_to_processes(free)
    }

    /// See to it that the host enforces RLIMIT_NPROC if it binds this process. What the host counts are all
    /// processes of the container. Its hard limit stays as it is: nobody could raise it again.
    pub fn hold_to_processes(&self, free: bool) -> Result<(), Errno> {
        let Some((soft, _)) = lock(&self.limits).processes else {
            return Ok(());
        };
        let (_, most) = caisson_sys::limit::get(self.pid, PROCESSES_RESOURCE)?;
        let soft = if free { most } else { soft.min(most) };
        caisson_sys::limit::set(self.pid, PROCESSES_RESOURCE, soft, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_wire::CapabilitySets;

    fn user(uid: u32, effective: u64) -> Credentials {
        let caps = CapabilitySets {
            effective,
            ..CapabilitySets::default()
        };
        Credentials::of(uid, uid, &[], caps)
    }

    #[test]
    fn root_and_who_may_exceed_limits_are_not_bound() {
        assert!(user(0, 0).exceeds_processes(true));
        assert!(user(1000, Capability::SysResource.bit()).exceeds_processes(true));
        assert!(!user(1000, Capability::Setuid.bit()).exceeds_processes(true));
        assert!(!user(0, u64::MAX).exceeds_processes(false));
    }

    #[test]
    fn a_limit_that_nobody_set_is_not_listed() {
        let mut limits = KeptLimits::default();
        assert_eq!(limits.list(), [(MARK_RESOURCE, u64::MAX, u64::MAX)]);
        limits.processes = Some((5, 7));
        assert_eq!(limits.list()[1], (PROCESSES_RESOURCE, 5, 7));
    }
}
