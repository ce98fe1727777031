//! BPF programs that decide which devices the processes of a control group may open or make, bpf(2).
//!
//! What a program decides is its maker's matter; this loads and attaches it. Must never detach what others attached.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

const BPF_PROG_LOAD: u32 = 5;
const BPF_PROG_ATTACH: u32 = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Beside the programs of groups above and below, which decide as well: all must allow.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// As much of `union bpf_attr` as BPF_PROG_LOAD needs here; Linux takes what is missing as zero.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

/// Of `union bpf_attr`, for BPF_PROG_ATTACH.
#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Let `program`, of instructions as `struct bpf_insn` has them in memory, decide for the directory `group` of cgroup v2 and
/// what is below. It goes with the group. Needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.
///
/// # Errors
/// EPERM without those or where a group above allows no programs below it; EINVAL where Linux takes the program not or has
/// no such programs.
pub fn attach(group: BorrowedFd<'_>, program: &[u64]) -> Result<(), Errno> {
    let loaded = load(program)?;
    let attr = Attach {
        target_fd: group.as_raw_fd() as u32,
        attach_bpf_fd: loaded.as_fd().as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: bpf reads the attributes, which are live and as long as is said; they hold no pointers.
    unsafe {
        syscall!(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attr,
            size_of::<Attach>()
        )
    }?;
    Ok(())
}

fn load(program: &[u64]) -> Result<OwnedFd, Errno> {
    let attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    // SAFETY: bpf reads the attributes, and through them the instructions and a string that ends with zero; all are live and
    // as long as is said. It writes nothing: there is no log.
    let fd = unsafe {
        syscall!(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attr,
            size_of::<Load>()
        )
    }?;
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
