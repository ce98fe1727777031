//! `process.scheduler`, `process.ioPriority` and `process.execCPUAffinity` in Linux's numbers, and their
//! application to a guest process from outside, before it executes its program.

use caisson_sys::scheduling::{self, Attributes};
use rustix::io::Errno;

use super::SpecError;
use super::types::{IoPriority, Process, Scheduler};

/// Name and number of scheduling policies, linux/sched.h. SCHED_ISO is reserved and never implemented.
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

const IO_CLASSES: [(&str, u32); 3] = [
    ("IOPRIO_CLASS_RT", 1),
    ("IOPRIO_CLASS_BE", 2),
    ("IOPRIO_CLASS_IDLE", 3),
];

/// Whether a process is the container's own or one of `exec`: CPU affinity is for the latter only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Init,
    Exec,
}

/// Check all three; `prefix` stands before every field name.
pub fn check(process: &Process, prefix: &str) -> Result<(), SpecError> {
    if let Some(wanted) = &process.scheduler {
        attributes(wanted, &format!("{prefix}scheduler"))?;
    }
    if let Some(wanted) = &process.io_priority {
        io_priority(wanted, &format!("{prefix}ioPriority"))?;
    }
    if let Some(wanted) = &process.exec_cpu_affinity {
        for (name, list) in [("initial", &wanted.initial), ("final", &wanted.last)] {
            processors(list, &format!("{prefix}execCPUAffinity.{name}"))?;
        }
    }
    Ok(())
}

/// Apply a checked process' attributes to the guest process `pid`.
pub fn apply(process: &Process, pid: i32, which: Which) -> Result<(), SpecError> {
    let failed = |field: &str, value: String| {
        let field = format!("process.{field}");
        move |errno: Errno| SpecError::invalid(field, value, errno.to_string())
    };
    if let Some(wanted) = &process.scheduler {
        scheduling::set(pid, attributes(wanted, "process.scheduler")?)
            .map_err(failed("scheduler", wanted.policy.clone()))?;
    }
    if let Some(wanted) = &process.io_priority {
        let (class, level) = io_priority(wanted, "process.ioPriority")?;
        scheduling::set_io_priority(pid, class, level)
            .map_err(failed("ioPriority", wanted.class.clone()))?;
    }
    let affinity = process
        .exec_cpu_affinity
        .as_ref()
        .filter(|_| which == Which::Exec);
    if let Some(wanted) = affinity {
        // The process is in the container's cgroup already and runs nothing of its own yet: the last word counts.
        let (name, list) = if wanted.last.is_empty() {
            ("initial", &wanted.initial)
        } else {
            ("final", &wanted.last)
        };
        let field = format!("execCPUAffinity.{name}");
        let set = processors(list, &format!("process.{field}"))?;
        if !set.is_empty() {
            scheduling::set_affinity(pid, &set).map_err(failed(&field, list.clone()))?;
        }
    }
    Ok(())
}

/// The processors, up to 127, that a process of `exec` begins on, as a mask; `None` where it is not said.
pub fn first_affinity(process: &Process) -> Result<Option<u128>, SpecError> {
    let Some(wanted) = process.exec_cpu_affinity.as_ref() else {
        return Ok(None);
    };
    let list = processors(&wanted.initial, "process.execCPUAffinity.initial")?;
    let bits = list.iter().filter(|processor| **processor < 128);
    let mask = bits.fold(0, |mask, processor| mask | 1 << *processor);
    Ok(Some(mask).filter(|mask| *mask != 0))
}

fn number_of<N: Copy>(table: &[(&str, N)], field: String, name: &str) -> Result<N, SpecError> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .ok_or_else(|| SpecError::invalid(field, name, "no such name"))
}

fn attributes(from: &Scheduler, field: &str) -> Result<Attributes, SpecError> {
    let mut flags = 0;
    for (index, name) in from.flags.iter().enumerate() {
        if name.starts_with("SCHED_FLAG_UTIL_CLAMP") {
            let reason = "the specification has no field for the clamps themselves";
            return Err(SpecError::unsupported(
                format!("{field}.flags[{index}]"),
                name,
                reason,
            ));
        }
        flags |= number_of(&FLAGS, format!("{field}.flags[{index}]"), name)?;
    }
    let priority = u32::try_from(from.priority)
        .map_err(|_| SpecError::invalid(format!("{field}.priority"), from.priority, "negative"))?;
    if !(-20..=19).contains(&from.nice) {
        let reason = "not within -20..19";
        return Err(SpecError::invalid(
            format!("{field}.nice"),
            from.nice,
            reason,
        ));
    }
    Ok(Attributes {
        policy: number_of(&POLICIES, format!("{field}.policy"), &from.policy)?,
        flags,
        nice: from.nice,
        priority,
        runtime_ns: from.runtime,
        deadline_ns: from.deadline,
        period_ns: from.period,
    })
}

fn io_priority(from: &IoPriority, field: &str) -> Result<(u32, u32), SpecError> {
    let class = number_of(&IO_CLASSES, format!("{field}.class"), &from.class)?;
    let level = u32::try_from(from.priority)
        .ok()
        .filter(|level| *level <= 7)
        .ok_or_else(|| {
            let reason = "not within 0..7";
            SpecError::invalid(format!("{field}.priority"), from.priority, reason)
        })?;
    Ok((class, level))
}

/// A list like `0-3,7`.
fn processors(list: &str, field: &str) -> Result<Vec<usize>, SpecError> {
    const HIGHEST: usize = 8191;
    let bad = || SpecError::invalid(field, list, "not a list of processors like 0-3,7");
    let mut set = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > HIGHEST {
            return Err(bad());
        }
        set.extend(first..=last);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(processors("0-2,5", "f").expect("list"), [0, 1, 2, 5]);
        assert!(processors("", "f").expect("empty").is_empty());
        for wrong in ["a", "3-1", "-1", "0-99999999", "1-"] {
            assert!(processors(wrong, "f").is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_names_and_numbers_are_named() {
        let message = |wanted: Scheduler| {
            attributes(&wanted, "process.scheduler")
                .expect_err("wrong")
                .to_string()
        };
        let other = Scheduler {
            policy: "SCHED_OTHER".into(),
            ..Scheduler::default()
        };
        let nice = Scheduler {
            nice: 40,
            ..other.clone()
        };
        assert!(message(nice).contains("process.scheduler.nice: \"40\""));
        let flag = Scheduler {
            flags: vec!["SCHED_FLAG_UTIL_CLAMP_MIN".into()],
            ..other
        };
        assert!(message(flag).contains("process.scheduler.flags[0]"));
        let class = IoPriority {
            class: "IOPRIO_CLASS_BE".into(),
            priority: 8,
        };
        let error = io_priority(&class, "process.ioPriority").expect_err("level");
        assert!(error.to_string().contains("process.ioPriority.priority"));
    }
}
