//! `linux.memoryPolicy` in Linux's numbers, set_mempolicy(2).

use caisson_sys::guest::MemoryPolicy;

use super::SpecError;
use super::types;

const MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

const FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// Most nodes of any kernel, MAX_NUMNODES.
const MOST_NODES: usize = 1024;

/// Names that are none and nodes that cannot be are refused; what a mode takes is Linux's to say.
pub fn translate(from: &Option<types::MemoryPolicy>) -> Result<Option<MemoryPolicy>, SpecError> {
    const FIELD: &str = "linux.memoryPolicy";
    let Some(from) = from else {
        return Ok(None);
    };
    if from.mode.is_empty() {
        return Err(SpecError::missing("linux.memoryPolicy.mode"));
    }
    let mut mode = number(&MODES, &format!("{FIELD}.mode"), &from.mode)?;
    for (index, flag) in from.flags.iter().enumerate() {
        mode |= number(&FLAGS, &format!("{FIELD}.flags[{index}]"), flag)?;
    }
    let refused = || {
        let reason = "not a list of nodes such as 0-2,5";
        SpecError::invalid(format!("{FIELD}.nodes"), &from.nodes, reason)
    };
    let mut nodes = Vec::new();
    let ranges = from.nodes.split(',').map(str::trim);
    for range in ranges.filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| text.trim().parse::<usize>().map_err(|_| refused());
        let (first, last) = (parse(first)?, parse(last)?);
        if first > last || last >= MOST_NODES {
            return Err(refused());
        }
        nodes.resize(nodes.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|node| nodes[node / 64] |= 1 << (node % 64));
    }
    Ok(Some(MemoryPolicy { mode, nodes }))
}

/// Every known mode, for `features`.
pub fn modes() -> Vec<&'static str> {
    MODES.iter().map(|(name, _)| *name).collect()
}

/// Every known flag, for `features`.
pub fn flags() -> Vec<&'static str> {
    FLAGS.iter().map(|(name, _)| *name).collect()
}

fn number(table: &[(&str, u32)], field: &str, name: &str) -> Result<u32, SpecError> {
    let mut found = table.iter().filter(|(known, _)| *known == name);
    found
        .next()
        .map(|(_, number)| *number)
        .ok_or_else(|| SpecError::invalid(field, name, "no such name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: &str, nodes: &str, flags: &[&str]) -> Result<Option<MemoryPolicy>, SpecError> {
        translate(&Some(types::MemoryPolicy {
            mode: mode.into(),
            nodes: nodes.into(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        }))
    }

    #[test]
    fn names_and_lists_become_numbers() {
        let bound = policy("MPOL_BIND", "0,64-65", &["MPOL_F_STATIC_NODES"]).expect("known");
        let expected = MemoryPolicy {
            mode: 2 | 1 << 15,
            nodes: vec![1, 0b11],
        };
        assert_eq!(bound, Some(expected));
        assert_eq!(translate(&None).expect("none"), None);
        for (mode, nodes, flags, field) in [
            ("", "0", &[][..], "mode"),
            ("MPOL_BOUND", "0", &[], "mode"),
            ("MPOL_BIND", "1-0", &[], "nodes"),
            ("MPOL_BIND", "4096", &[], "nodes"),
            ("MPOL_BIND", "x", &[], "nodes"),
            ("MPOL_BIND", "0", &["MPOL_F_X"], "flags[0]"),
        ] {
            let error = policy(mode, nodes, flags).expect_err(field).to_string();
            assert!(
                error.contains(&format!("linux.memoryPolicy.{field}")),
                "{error}"
            );
        }
    }
}
