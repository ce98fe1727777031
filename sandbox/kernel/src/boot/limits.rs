//! Limits and OOM score of a new guest process, set from outside before it runs.

use caisson_wire::{ProcessSpec, Rlimit};
use rustix::io::Errno;

use super::BootError;
use crate::kernel::Kernel;
use crate::task::PROCESSES_RESOURCE;

/// Apply `process.rlimits` and `process.oomScoreAdj` to the host process `pid`.
///
/// A limit that asks for no more than is set already is no error where raising is not permitted.
pub fn apply(kernel: &Kernel, pid: i32, process: &ProcessSpec) -> Result<(), BootError> {
    // RLIMIT_NPROC binds only some, see task::limits.
    let others = |limit: &&Rlimit| limit.resource != PROCESSES_RESOURCE;
    for limit in process.rlimits.iter().filter(others) {
        let (resource, soft, hard) = (limit.resource, limit.soft, limit.hard);
        let failed = |errno| BootError::Rlimit {
            resource,
            soft,
            hard,
            errno,
        };
        match caisson_sys::limit::set(pid, resource, soft, hard) {
            Ok(()) => {}
            Err(Errno::PERM) => {
                let (_, now) = caisson_sys::limit::get(pid, resource).map_err(failed)?;
                if hard > now {
                    // The host may not raise it either: what is there is the most there can be.
                    tracing::warn!(
                        resource,
                        hard,
                        now,
                        "hard limit cannot be raised on this host"
                    );
                    caisson_sys::limit::set(pid, resource, soft.min(now), now).map_err(failed)?;
                }
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
    if let Some(value) = process.oom_score_adj {
        write_oom_score_adj(kernel, pid, value)
            .map_err(|errno| BootError::OomScoreAdj { value, errno })?;
    }
    Ok(())
}

fn write_oom_score_adj(kernel: &Kernel, pid: i32, value: i32) -> Result<(), Errno> {
    use rustix::fs::{Mode, OFlags, openat};
    let path = format!("{pid}/oom_score_adj");
    let file = openat(
        kernel.host_proc(),
        path,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    match rustix::io::write(&file, value.to_string().as_bytes()) {
        Ok(_) => Ok(()),
        // Lowering needs the host's CAP_SYS_RESOURCE, which not everybody has.
        Err(Errno::ACCESS | Errno::PERM)
            if !kernel.ids.are_the_hosts() || !caisson_sys::credentials::can_raise_limits() =>
        {
            tracing::warn!(value, "oom_score_adj cannot be lowered on this host");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
