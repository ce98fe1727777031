//! What the system says of itself: uname(2), sysinfo(2), sethostname(2), sync(2).

use caisson_sys::layout::zeroed;
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, lock};

/// `__NEW_UTS_LEN`, linux/utsname.h.
const NAME_MAX: usize = 64;

pub fn uname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mut uts: libc::utsname = zeroed();
    let names = lock(&call.kernel.names).clone();
    put(&mut uts.sysname, "Linux");
    put(&mut uts.nodename, &names.host);
    put(&mut uts.release, &call.kernel.facts.release);
    put(&mut uts.version, &call.kernel.facts.version);
    put(&mut uts.machine, call.kernel.machine);
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

fn put(field: &mut [libc::c_char; 65], text: &str) {
    for (slot, byte) in field[..NAME_MAX].iter_mut().zip(text.bytes()) {
        *slot = byte as libc::c_char;
    }
}

pub fn sethostname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let name = new_name(call)?;
    lock(&call.kernel.names).host = name;
    Ok(Reply::ZERO)
}

pub fn setdomainname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let name = new_name(call)?;
    lock(&call.kernel.names).domain = name;
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

/// Follows the container's limits, like /proc/meminfo; procs counts the container's processes.
pub fn sysinfo(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mut info: libc::sysinfo = zeroed();
    let memory = crate::proc::Memory::read(call.kernel.host_proc(), &call.kernel.facts);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot_ns = (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
        .saturating_sub(call.kernel.facts.boot_time_ns);
    info.uptime = (since_boot_ns / 1_000_000_000) as i64;
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

/// Writing back every file system of the host is not a guest's to ask for: fsync and syncfs do what
/// programs rely on.
pub fn sync(_: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::ZERO)
}
