//! prctl(2): the options that concern credentials, capabilities, no_new_privs and the parent-death signal.
//! Options that are not listed here or in the table's native ones do not exist for a guest: `EINVAL`.

use std::sync::atomic::Ordering;

use caisson_abi::constant::prctl as option;
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{
    ALL_CAPABILITIES, Capability, Credentials, SecureBits, read_bytes_of_proc, read_proc,
};

const PR_CAP_AMBIENT_IS_SET: u64 = 1;
const PR_CAP_AMBIENT_RAISE: u64 = 2;
const PR_CAP_AMBIENT_LOWER: u64 = 3;
const PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;
/// `SECURE_ALL_BITS | SECURE_ALL_LOCKS`, linux/securebits.h: six switches, each with a lock above it.
const SECUREBITS_KNOWN: u32 = 0xfff;
const SECUREBITS_LOCKS: u32 = 0xaaa;
/// `SECURE_ALL_UNPRIVILEGED` and its locks: what programs ask of themselves (Linux 6.14), without a right.
const SECUREBITS_UNPRIVILEGED: u32 = 0xf00;

pub fn prctl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let [_, value, rest @ ..] = call.incoming.args;
    let alone = rest[..3].iter().all(|argument| *argument == 0);
    match call.uint(0) {
        option::PR_GET_NAME => name(call),
        option::PR_SET_PDEATHSIG => parent_death_signal(call),
        option::PR_SET_NO_NEW_PRIVS if value == 1 && alone => {
            call.process().no_new_privs.store(true, Ordering::Release);
            change(call, |old| {
                Ok(Credentials {
                    no_new_privs: true,
                    ..old.clone()
                })
            })
        }
        option::PR_GET_NO_NEW_PRIVS if value == 0 && alone => {
            Ok(Reply::Value(call.credentials().no_new_privs.into()))
        }
        option::PR_GET_DUMPABLE => Ok(Reply::Value(
            call.process().dumpable.load(Ordering::Acquire).into(),
        )),
        option::PR_SET_DUMPABLE if value <= 1 => {
            call.process().dumpable.store(value == 1, Ordering::Release);
            Ok(Reply::ZERO)
        }
        option::PR_GET_SECCOMP => Ok(Reply::ZERO),
        option::PR_CAPBSET_READ => {
            let bit = capability(value)?;
            Ok(Reply::Value(
                (call.credentials().caps.bounding & bit != 0).into(),
            ))
        }
        option::PR_CAPBSET_DROP => change(call, |old| drop_bounding(old, value)),
        option::PR_CAP_AMBIENT if rest[1] == 0 && rest[2] == 0 => ambient(call, value, rest[0]),
        option::PR_GET_KEEPCAPS => Ok(Reply::Value(
            call.credentials()
                .securebits
                .has(SecureBits::KEEP_CAPS)
                .into(),
        )),
        option::PR_SET_KEEPCAPS => change(call, |old| set_keep_caps(old, value)),
        option::PR_GET_SECUREBITS => Ok(Reply::Value(call.credentials().securebits.0.into())),
        option::PR_SET_SECUREBITS => change(call, |old| set_securebits(old, value)),
        option::PR_SET_PTRACER => set_ptracer(call, value),
        option::PR_SET_MM => set_memory(call),
        _ => Err(Errno::INVAL),
    }
}

/// prctl_set_mm() of kernel/sys.c for what is not native: single fields of the memory map, which the host lets nobody change
/// who does not have CAP_SYS_RESOURCE there.
fn set_memory(call: &Call<'_>) -> Result<Reply, Errno> {
    let may_be_sized = [
        option::PR_SET_MM_AUXV,
        option::PR_SET_MM_MAP,
        option::PR_SET_MM_MAP_SIZE,
    ]
    .contains(&call.uint(1));
    if call.arg(4) != 0 || call.arg(3) != 0 && !may_be_sized {
        return Err(Errno::INVAL);
    }
    Err(Errno::PERM)
}

/// What the host kernel calls the thread, or what it was called through /proc since.
fn name(call: &mut Call<'_>) -> Result<Reply, Errno> {
    call.servant.assume_self()?;
    let path = format!("{}/comm", call.incoming.tid);
    let comm = read_bytes_of_proc(call.kernel.host_proc(), &path)?;
    let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
    let mut name = [0; TASK_COMM_LEN];
    let tid = call.thread.guest_tid as u32;
    let shown = String::from_utf8_lossy(comm);
    let given = call.kernel.thread_names.given(tid, &shown);
    let text = given.as_ref().map_or(comm, |given| given.as_bytes());
    let length = text.len().min(TASK_COMM_LEN - 1);
    name[..length].copy_from_slice(&text[..length]);
    call.write_bytes(call.arg(1), &name)?;
    Ok(Reply::ZERO)
}

/// linux/sched.h.
const TASK_COMM_LEN: usize = 16;

/// Yama's exception to rules of Yama's that are not in force (/proc/sys/kernel/yama/ptrace_scope): whoever is named could
/// trace the caller before. `EINVAL` for a process that there is not.
fn set_ptracer(call: &Call<'_>, value: u64) -> Result<Reply, Errno> {
    const ANY: u64 = u64::MAX;
    if value != 0 && value != ANY {
        let pid = i32::try_from(value).map_err(|_| Errno::INVAL)?;
        super::signal::find_process(call, pid).map_err(|_| Errno::INVAL)?;
    }
    Ok(Reply::ZERO)
}

/// The first process of the container, our child, dies with the app kernel by this very signal: it is not
/// its own to change.
fn parent_death_signal(call: &Call<'_>) -> Result<Reply, Errno> {
    /// `_NSIG`, asm/signal.h.
    const LAST_SIGNAL: u64 = 64;
    if call.arg(1) > LAST_SIGNAL {
        return Err(Errno::INVAL);
    }
    // In a pid namespace that was joined it has any number.
    if call.process().guest_pid == 1 || parent_of(call)? == std::process::id() {
        return Ok(Reply::ZERO);
    }
    Ok(Reply::Continue(audited::prctl()))
}

/// Host pid of the caller's parent.
fn parent_of(call: &Call<'_>) -> Result<u32, Errno> {
    let status = read_proc(
        call.kernel.host_proc(),
        &format!("{}/status", call.process().pid),
    )?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .and_then(|pid| pid.trim().parse().ok())
        .ok_or(Errno::SRCH)
}

fn change(
    call: &Call<'_>,
    make: impl FnOnce(&Credentials) -> Result<Credentials, Errno>,
) -> Result<Reply, Errno> {
    let new = make(&call.credentials())?;
    call.take_on(new);
    Ok(Reply::ZERO)
}

/// The bit of a capability number; `EINVAL` for those that do not exist.
fn capability(number: u64) -> Result<u64, Errno> {
    1u64.checked_shl(u32::try_from(number).unwrap_or(u32::MAX))
        .filter(|bit| bit & ALL_CAPABILITIES != 0)
        .ok_or(Errno::INVAL)
}

fn drop_bounding(old: &Credentials, number: u64) -> Result<Credentials, Errno> {
    if !old.can(Capability::Setpcap) {
        return Err(Errno::PERM);
    }
    let mut new = old.clone();
    new.caps.bounding &= !capability(number)?;
    Ok(new)
}

fn set_keep_caps(old: &Credentials, value: u64) -> Result<Credentials, Errno> {
    const KEEP_CAPS_LOCKED: u32 = SecureBits::KEEP_CAPS << 1;
    if value > 1 {
        return Err(Errno::INVAL);
    }
    if old.securebits.has(KEEP_CAPS_LOCKED) {
        return Err(Errno::PERM);
    }
    let cleared = old.securebits.0 & !SecureBits::KEEP_CAPS;
    let bits = if value == 1 {
        cleared | SecureBits::KEEP_CAPS
    } else {
        cleared
    };
    Ok(Credentials {
        securebits: SecureBits(bits),
        ..old.clone()
    })
}

/// `PR_SET_SECUREBITS` of security/commoncap.c: locked switches stay, locks are not taken off.
fn set_securebits(old: &Credentials, value: u64) -> Result<Credentials, Errno> {
    let now = old.securebits.0;
    let wanted = u32::try_from(value).map_err(|_| Errno::PERM)?;
    let locked_switches = (now & SECUREBITS_LOCKS) >> 1;
    let touches_locked = locked_switches & (now ^ wanted) != 0;
    let unlocks = now & SECUREBITS_LOCKS & !wanted != 0;
    let changed = now ^ wanted;
    let permitted =
        old.can(Capability::Setpcap) || (changed != 0 && changed & !SECUREBITS_UNPRIVILEGED == 0);
    if touches_locked || unlocks || wanted & !SECUREBITS_KNOWN != 0 || !permitted {
        return Err(Errno::PERM);
    }
    Ok(Credentials {
        securebits: SecureBits(wanted),
        ..old.clone()
    })
}

fn ambient(call: &Call<'_>, operation: u64, number: u64) -> Result<Reply, Errno> {
    if operation == PR_CAP_AMBIENT_CLEAR_ALL {
        if number != 0 {
            return Err(Errno::INVAL);
        }
        return change(call, |old| {
            let mut new = old.clone();
            new.caps.ambient = 0;
            Ok(new)
        });
    }
    let bit = capability(number)?;
    match operation {
        PR_CAP_AMBIENT_IS_SET => Ok(Reply::Value(
            (call.credentials().caps.ambient & bit != 0).into(),
        )),
        PR_CAP_AMBIENT_RAISE => change(call, |old| {
            let caps = &old.caps;
            if caps.permitted & caps.inheritable & bit == 0
                || old.securebits.has(SecureBits::NO_CAP_AMBIENT_RAISE)
            {
                return Err(Errno::PERM);
            }
            let mut new = old.clone();
            new.caps.ambient |= bit;
            Ok(new)
        }),
        PR_CAP_AMBIENT_LOWER => change(call, |old| {
            let mut new = old.clone();
            new.caps.ambient &= !bit;
            Ok(new)
        }),
        _ => Err(Errno::INVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_capabilities_have_a_bit() {
        assert_eq!(capability(0), Ok(1));
        assert_eq!(capability(40), Ok(1 << 40));
        for number in [41, 63, 64, 1 << 32, u64::MAX] {
            assert_eq!(capability(number), Err(Errno::INVAL));
        }
    }

    fn mighty(securebits: u32) -> Credentials {
        let all = ALL_CAPABILITIES;
        Credentials {
            securebits: SecureBits(securebits),
            ..Credentials::of(
                0,
                0,
                &[],
                caisson_wire::CapabilitySets {
                    bounding: all,
                    effective: all,
                    inheritable: 0,
                    permitted: all,
                    ambient: 0,
                },
            )
        }
    }

    #[test]
    fn a_locked_switch_stays_as_it_is() {
        let locked = mighty(0b11);
        assert_eq!(set_securebits(&locked, 0b10), Err(Errno::PERM));
        assert_eq!(set_securebits(&locked, 0b01), Err(Errno::PERM));
        assert_eq!(
            set_securebits(&locked, 0b111).map(|c| c.securebits.0),
            Ok(0b111)
        );
        assert_eq!(set_keep_caps(&mighty(0b10_0000), 1), Err(Errno::PERM));
        assert_eq!(set_securebits(&mighty(0), 0x1000), Err(Errno::PERM));
        let mut weak = mighty(0);
        weak.caps.effective = 0;
        assert_eq!(
            set_securebits(&weak, 0x300).map(|c| c.securebits.0),
            Ok(0x300)
        );
        assert_eq!(set_securebits(&weak, 0x301), Err(Errno::PERM));
    }

    #[test]
    fn dropping_from_the_bounding_set_needs_setpcap() {
        let mut weak = mighty(0);
        weak.caps.effective = 0;
        assert_eq!(drop_bounding(&weak, 3), Err(Errno::PERM));
        assert_eq!(
            drop_bounding(&mighty(0), 3).map(|c| c.caps.bounding & 8),
            Ok(0)
        );
        assert_eq!(drop_bounding(&mighty(0), 99), Err(Errno::INVAL));
    }
}
