//! Names of resource limits, getrlimit(2).

use caisson_wire::Rlimit;

use super::{SpecError, types};

/// In the order of their numbers on x86-64, asm-generic/resource.h.
pub const NAMES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// Limits in Linux's numbers. A kind named twice is an error, as the specification demands.
pub fn limits(from: &[types::Rlimit], field: &str) -> Result<Vec<Rlimit>, SpecError> {
    let mut limits: Vec<Rlimit> = Vec::with_capacity(from.len());
    for (index, limit) in from.iter().enumerate() {
        let place = |name: &str| format!("{field}[{index}].{name}");
        let number = NAMES.iter().position(|known| *known == limit.kind);
        let resource = number
            .ok_or_else(|| SpecError::invalid(place("type"), &limit.kind, "no such limit"))?
            as u32;
        if limits.iter().any(|earlier| earlier.resource == resource) {
            return Err(SpecError::invalid(
                place("type"),
                &limit.kind,
                "given twice",
            ));
        }
        if limit.soft > limit.hard {
            let reason = format!("above the hard limit {}", limit.hard);
            return Err(SpecError::invalid(place("soft"), limit.soft, reason));
        }
        limits.push(Rlimit {
            resource,
            soft: limit.soft,
            hard: limit.hard,
        });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(kind: &str, soft: u64, hard: u64) -> types::Rlimit {
        types::Rlimit {
            kind: kind.into(),
            soft,
            hard,
        }
    }

    #[test]
    fn wrong_limits_are_named() {
        let error = |list: &[types::Rlimit]| {
            limits(list, "process.rlimits")
                .expect_err("wrong")
                .to_string()
        };
        assert!(
            error(&[limit("RLIMIT_FUN", 1, 1)]).contains("process.rlimits[0].type: \"RLIMIT_FUN\"")
        );
        assert!(error(&[limit("RLIMIT_NOFILE", 9, 1)]).contains("process.rlimits[0].soft: \"9\""));
        let twice = [limit("RLIMIT_NOFILE", 1, 1), limit("RLIMIT_NOFILE", 1, 1)];
        assert!(error(&twice).contains("process.rlimits[1].type"));
    }

    #[test]
    fn numbers_are_linux_numbers() {
        let limits = limits(&[limit("RLIMIT_NOFILE", 3, u64::MAX)], "x").expect("valid");
        assert_eq!((limits[0].resource, limits[0].hard), (7, u64::MAX));
    }
}
