//! The guest's clock and its entropy, which go stale while the machine does not run.

use rustix::time::{ClockId, Timespec};

use crate::error::AgentError;

/// The guest's clock follows the host's, unless they agree to a second.
pub(crate) fn set(time_ns: u64) -> Result<(), AgentError> {
    const SECOND_NS: u64 = 1_000_000_000;
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    let wanted = Timespec {
        tv_sec: (time_ns / SECOND_NS).cast_signed(),
        tv_nsec: (time_ns % SECOND_NS).cast_signed(),
    };
    if now.tv_sec.abs_diff(wanted.tv_sec) <= 1 {
        return Ok(());
    }
    rustix::time::clock_settime(ClockId::Realtime, wanted)
        .map_err(AgentError::step("set", "the clock"))
}

/// Add to what the kernel makes random numbers of; it counts as nothing, and can do no harm.
pub(crate) fn stir(entropy: &[u8]) -> Result<(), AgentError> {
    const POOL: &str = "/dev/urandom";
    std::fs::write(POOL, entropy).map_err(AgentError::step("write", POOL))
}
