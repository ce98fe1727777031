//! What stays the same while a container lives, for /proc and uname(2).

use caisson_sys::user_namespace::Ids;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::boot::Boot;
use crate::proc::SystemFacts;

/// Shown as `uname -v`: says nothing of the host's build.
const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Caisson";

pub fn collect(boot: &Boot, ids: Ids) -> Result<SystemFacts, Errno> {
    let uname = rustix::system::uname();
    let mut cgroups = Vec::new();
    for (controller, directory) in &boot.cgroup_dirs {
        cgroups.push((
            controller.clone(),
            directory.try_clone().map_err(|_| Errno::MFILE)?,
        ));
    }
    let mut random = [0u8; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let since_boot = clock_gettime(ClockId::Boottime);
    Ok(SystemFacts {
        // Programs choose code paths by the release: it is the host's number without its build.
        release: uname
            .release()
            .to_string_lossy()
            .split('-')
            .next()
            .unwrap_or("6.0.0")
            .to_owned(),
        version: VERSION.to_owned(),
        boot_time_ns: since_boot.tv_sec as u64 * 1_000_000_000 + since_boot.tv_nsec as u64,
        boot_epoch_s: clock_gettime(ClockId::Realtime).tv_sec as u64,
        cgroups,
        sysctl: boot.sysctl.clone(),
        boot_id: uuid(random),
        oom_score_adj: boot.process.oom_score_adj.unwrap_or(0),
        ids,
        filtered: boot.profile.is_some(),
    })
}

/// A version 4 UUID of these random bytes, RFC 9562.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
