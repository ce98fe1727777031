//! Scheduling attributes of other processes: sched_setattr(2), ioprio_set(2), sched_setaffinity(2).

use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

use crate::raw::syscall;

/// What sched_setattr(2) sets, without utilisation clamps. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
}

/// `struct sched_attr` of its first version, linux/sched/types.h.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Change policy and parameters of thread `pid`.
pub fn set(pid: i32, wanted: Attributes) -> Result<(), Errno> {
    let attributes = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime_ns,
        deadline: wanted.deadline_ns,
        period: wanted.period_ns,
    };
    // SAFETY: sched_setattr reads `size` bytes of a live struct of that size.
    unsafe { syscall!(libc::SYS_sched_setattr, pid, &raw const attributes, 0) }?;
    Ok(())
}

/// Set I/O class (1 real time, 2 best effort, 3 idle) and priority (0 is the highest) of thread `pid`.
pub fn set_io_priority(pid: i32, class: u32, priority: u32) -> Result<(), Errno> {
    const WHO_PROCESS: u32 = 1;
    const CLASS_SHIFT: u32 = 13;
    // SAFETY: takes integers.
    unsafe {
        syscall!(
            libc::SYS_ioprio_set,
            WHO_PROCESS,
            pid,
            (class << CLASS_SHIFT) | priority
        )
    }?;
    Ok(())
}

/// Thread `pid` may run on these processors only. `EINVAL` when none of them is online or in its cpuset.
pub fn set_affinity(pid: i32, processors: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    for processor in processors {
        if *processor >= CpuSet::MAX_CPU {
            return Err(Errno::INVAL);
        }
        set.set(*processor);
    }
    sched_setaffinity(Some(Pid::from_raw(pid).ok_or(Errno::SRCH)?), &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_reach_another_process() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let pid = child.id() as i32;
        let wanted = Attributes {
            policy: libc::SCHED_BATCH as u32,
            nice: 5,
            ..Attributes::default()
        };
        set(pid, wanted).expect("policy");
        set_io_priority(pid, 3, 0).expect("I/O class");
        set_affinity(pid, &[0]).expect("affinity");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("name") + 2..]
            .split(' ')
            .collect();
        // nice is field 19 and policy field 41 of proc(5), counted from 1; the state is field 3.
        assert_eq!((fields[16], fields[38]), ("5", "3"));
        assert_eq!(set_affinity(pid, &[usize::MAX]), Err(Errno::INVAL));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
