//! Credentials of one thread of ours, for working in a guest's name: credentials(7), capabilities(7).
//!
//! The raw system calls are used on purpose: libc's wrappers change all threads of the process.

use rustix::io::Errno;

use crate::raw::syscall;

/// User id for file access of this thread, setfsuid(2).
pub fn set_fsuid(uid: u32) {
    // SAFETY: takes an integer; the call cannot fail for a caller with CAP_SETUID and its return value
    // is the previous id.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
}

/// Group id for file access of this thread, setfsgid(2).
pub fn set_fsgid(gid: u32) {
    // SAFETY: as for set_fsuid.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) };
}

/// Supplementary groups of this thread alone, setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the pointer and length describe the live slice; gid_t is u32 on x86-64.
    unsafe { syscall!(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }?;
    Ok(())
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Effective and permitted capability sets of this thread; the inheritable set becomes empty. Bit N
/// stands for capability N.
pub fn set_capabilities(effective: u64, permitted: u64) -> Result<(), Errno> {
    let header = CapHeader {
        version: VERSION_3,
        pid: 0,
    };
    let data = [
        effective as u32,
        permitted as u32,
        0,
        (effective >> 32) as u32,
        (permitted >> 32) as u32,
        0,
    ];
    // SAFETY: capset reads a header and, for version 3, two data structs of three u32 each; both live.
    unsafe { syscall!(libc::SYS_capset, &raw const header, data.as_ptr()) }?;
    Ok(())
}

/// Effective and permitted sets of this thread.
pub fn capabilities() -> Result<(u64, u64), Errno> {
    let header = CapHeader {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [0u32; 6];
    // SAFETY: capget writes two data structs of three u32 each; the array has room for both.
    unsafe { syscall!(libc::SYS_capget, &raw const header, data.as_mut_ptr()) }?;
    Ok((
        u64::from(data[0]) | u64::from(data[3]) << 32,
        u64::from(data[1]) | u64::from(data[4]) << 32,
    ))
}

/// Give the calling thread back what the process itself has: user and group 0 for file access and every permitted
/// capability. A new thread begins with what the one that started it had taken on in a guest's name.
pub fn act_as_self() -> Result<(), Errno> {
    set_fsgid(0);
    set_fsuid(0);
    let (effective, permitted) = capabilities()?;
    if effective == permitted {
        return Ok(());
    }
    set_capabilities(permitted, permitted)
}

/// Keep the capability sets as they are when fsuid changes (`SECBIT_NO_SETUID_FIXUP`), so that
/// [`set_capabilities`] alone decides. Needs CAP_SETPCAP.
pub fn keep_capabilities_across_setuid() -> Result<(), Errno> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: takes integers only.
    unsafe {
        syscall!(
            libc::SYS_prctl,
            libc::PR_SET_SECUREBITS,
            SECBIT_NO_SETUID_FIXUP,
            0,
            0,
            0
        )
    }?;
    Ok(())
}

/// Whether this thread has CAP_SYS_RESOURCE.
pub fn can_raise_limits() -> bool {
    capabilities().is_ok_and(|(effective, _)| effective & (1 << 24) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids for file access and effective capabilities, as proc_pid_status(5) has them.
    fn taken_on() -> [String; 3] {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let last = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let field = line.and_then(|line| line.split_whitespace().last());
            field.expect("a field").to_owned()
        };
        ["Uid:", "Gid:", "CapEff:"].map(last)
    }

    #[test]
    fn a_thread_started_while_a_guest_is_served_acts_as_the_process() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let served = std::thread::spawn(|| {
            let own = taken_on();
            keep_capabilities_across_setuid().expect("a securebit");
            set_fsgid(1000);
            set_fsuid(1000);
            let (_, permitted) = capabilities().expect("capabilities");
            set_capabilities(permitted & 0xff, permitted).expect("fewer capabilities");
            let started = std::thread::spawn(|| {
                let inherited = taken_on();
                act_as_self().expect("rights");
                (inherited, taken_on())
            });
            let (inherited, after) = started.join().expect("it ends");
            assert_ne!(inherited, own);
            assert_eq!(after, own);
        });
        served.join().expect("it ends");
    }
}
