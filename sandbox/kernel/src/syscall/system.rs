//! What the system says of itself: uname(2), sysinfo(2), sethostname(2), sysfs(2), sync(2); and the clock, which is the
//! host's: settimeofday(2), clock_settime(2).

use std::sync::atomic::Ordering;

use caisson_sys::layout::zeroed;
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, lock, read_proc};

/// `__NEW_UTS_LEN`, linux/utsname.h.
const NAME_MAX: usize = 64;

pub fn uname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mut uts: libc::utsname = zeroed();
    let names = lock(&call.kernel.names_of(&call.thread)).clone();
    put(&mut uts.sysname, "Linux");
    put(&mut uts.nodename, &names.host);
    let persona = persona(call)?;
    if persona & UNAME26 != 0 {
        put(
            &mut uts.release,
            &release_before_3(&call.kernel.facts.release),
        );
    } else {
        put(&mut uts.release, &call.kernel.facts.release);
    }
    put(&mut uts.version, &call.kernel.facts.version);
    let machine = match persona & PER_MASK {
        PER_LINUX32 => "i686",
        _ => call.kernel.machine,
    };
    put(&mut uts.machine, machine);
    put(
        &mut uts.domainname,
        if names.domain.is_empty() {
            "(none)"
        } else {
            &names.domain
        },
    );
    call.write(call.arg(0), &uts)?;
    Ok(Reply::ZERO)
}

/// linux/personality.h.
const UNAME26: u32 = 0x0002_0000;
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;

/// The caller's personality(2) if it may matter, else `PER_LINUX`.
fn persona(call: &mut Call<'_>) -> Result<u32, Errno> {
    if !call.kernel.personalities_differ.load(Ordering::Acquire) {
        return Ok(0);
    }
    call.servant.assume_self()?;
    let path = format!("{}/personality", call.incoming.tid);
    let text = read_proc(call.kernel.host_proc(), &path)?;
    u32::from_str_radix(text.trim(), 16).map_err(|_| Errno::IO)
}

/// What programs that know no Linux 3 get, `override_release` of kernel/sys.c: 2.6.(60 + second number).
fn release_before_3(release: &str) -> String {
    let mut parts = release.splitn(3, '.').skip(1);
    let second = parts.next().and_then(|part| part.parse::<u32>().ok());
    let rest = parts.next().unwrap_or("");
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("2.6.{}{rest}", second.unwrap_or(0) + 60)
}

fn put(field: &mut [libc::c_char; 65], text: &str) {
    for (slot, byte) in field[..NAME_MAX].iter_mut().zip(text.bytes()) {
        *slot = byte as libc::c_char;
    }
}

pub fn sethostname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let name = new_name(call)?;
    lock(&call.kernel.names_of(&call.thread)).host = name;
    Ok(Reply::ZERO)
}

pub fn setdomainname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let name = new_name(call)?;
    lock(&call.kernel.names_of(&call.thread)).domain = name;
    Ok(Reply::ZERO)
}

fn new_name(call: &Call<'_>) -> Result<String, Errno> {
    if !call.credentials().can(Capability::SysAdmin) {
        return Err(Errno::PERM);
    }
    let length = call.int(1);
    if !(0..=NAME_MAX as i32).contains(&length) {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; length as usize];
    call.read_bytes(call.arg(0), &mut bytes)?;
    bytes.truncate(
        bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len()),
    );
    String::from_utf8(bytes).map_err(|_| Errno::INVAL)
}

/// linux/sysinfo.h: binary places of a load.
const SI_LOAD_SHIFT: u32 = 16;

/// Follows the container's limits, like /proc/meminfo and /proc/loadavg; procs counts the container's processes.
pub fn sysinfo(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mut info: libc::sysinfo = zeroed();
    let memory = crate::proc::Memory::read(call.kernel.host_proc(), &call.kernel.facts);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot_ns = (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
        .saturating_sub(call.kernel.facts.boot_time_ns);
    info.uptime = (since_boot_ns / 1_000_000_000) as i64;
    let kernel = call.kernel;
    let loads = kernel
        .load
        .now(kernel.host_proc(), &kernel.facts, since_boot_ns);
    info.loads = loads.map(|load| (load * f64::from(1 << SI_LOAD_SHIFT)) as u64);
    info.totalram = memory.total;
    info.freeram = memory.free;
    info.sharedram = memory.shmem;
    info.totalswap = memory.swap_total;
    info.freeswap = memory.swap_free;
    info.procs = call.kernel.table.processes().len() as u16;
    info.mem_unit = 1;
    call.write(call.arg(0), &info)?;
    Ok(Reply::ZERO)
}

/// sysfs(2) of the names that /proc/filesystems shows, numbered in that order.
pub fn sysfs(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let names = crate::proc::FILESYSTEMS;
    match call.int(0) {
        1 => {
            let wanted = call.path(1)?;
            let position = names
                .iter()
                .position(|name| name.as_bytes() == wanted.as_bytes());
            position
                .map(|index| Reply::Value(index as i64))
                .ok_or(Errno::INVAL)
        }
        2 => {
            let name = names.get(call.uint(1) as usize).ok_or(Errno::INVAL)?;
            let mut bytes = name.as_bytes().to_vec();
            bytes.push(0);
            call.write_bytes(call.arg(2), &bytes)?;
            Ok(Reply::ZERO)
        }
        3 => Ok(Reply::Value(names.len() as i64)),
        _ => Err(Errno::INVAL),
    }
}

/// Nobody in the sandbox sets the host's clock: `EPERM` as without CAP_SYS_TIME, after Linux's checks of what is given.
pub fn settimeofday(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.arg(0) != 0 {
        let [seconds, micros]: [i64; 2] = call.read(call.arg(0))?;
        if !(0..=1_000_000).contains(&micros) || seconds < 0 {
            return Err(Errno::INVAL);
        }
    }
    if call.arg(1) != 0 {
        let _: [i32; 2] = call.read(call.arg(1))?;
    }
    Err(Errno::PERM)
}

pub fn clock_settime(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.int(0) != libc::CLOCK_REALTIME {
        return Err(Errno::INVAL);
    }
    let [seconds, nanos]: [i64; 2] = call.read(call.arg(1))?;
    if !(0..1_000_000_000).contains(&nanos) || seconds < 0 {
        return Err(Errno::INVAL);
    }
    Err(Errno::PERM)
}

/// Writing back every file system of the host is not a guest's to ask for: fsync and syncfs do what
/// programs rely on.
pub fn sync(_: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_release_counts_on_from_60() {
        assert_eq!(release_before_3("6.18.44"), "2.6.78");
        assert_eq!(release_before_3("6.1.0-rc1"), "2.6.61-rc1");
        assert_eq!(release_before_3("7"), "2.6.60");
    }
}
