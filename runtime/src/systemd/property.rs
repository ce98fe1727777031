//! Limits and annotations as properties of a unit, systemd.resource-control(5).

use std::collections::BTreeMap;

use super::message::{Properties, Value};
use crate::cgroup::Version;
use crate::cgroup::limits::{io_weight, weight_of_shares};
use crate::spec::SpecError;
use crate::spec::types::Resources;

/// "infinity".
const NO_LIMIT: u64 = u64::MAX;

/// What is present of `resources`.
pub(super) fn limits(version: Version, resources: &Resources) -> Properties {
    let mut properties: Properties = Vec::new();
    let mut set = |name: &str, value: Value| properties.push((name.to_owned(), value));
    let memory = &resources.memory;
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    let bytes = |value: i64| Value::U64(u64::try_from(value).unwrap_or(NO_LIMIT));
    let cpu = &resources.cpu;
    let shares = cpu.shares.filter(|shares| *shares != 0);
    let weight = resources.block_io.weight.filter(|weight| *weight != 0);
    match version {
        Version::V1 => {
            given(memory.limit)
                .into_iter()
                .for_each(|limit| set("MemoryLimit", bytes(limit)));
            shares
                .into_iter()
                .for_each(|shares| set("CPUShares", Value::U64(shares)));
            weight
                .into_iter()
                .for_each(|weight| set("BlockIOWeight", Value::U64(weight.into())));
            // The cgroup holds guests alone here.
            if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
                let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
                set("TasksMax", Value::U64(limit.unwrap_or(NO_LIMIT)));
            }
        }
        Version::V2 => {
            given(memory.limit)
                .into_iter()
                .for_each(|limit| set("MemoryMax", bytes(limit)));
            given(memory.reservation)
                .into_iter()
                .for_each(|low| set("MemoryLow", bytes(low)));
            if let Some(swap) = given(memory.swap) {
                let own = memory.limit.filter(|limit| *limit > 0 && swap > 0);
                set(
                    "MemorySwapMax",
                    own.map_or(Value::U64(NO_LIMIT), |limit| bytes(swap - limit)),
                );
            }
            shares.into_iter().for_each(|shares| {
                set("CPUWeight", Value::U64(weight_of_shares(shares)));
            });
            weight
                .into_iter()
                .for_each(|weight| set("IOWeight", Value::U64(io_weight(weight))));
            for (name, list) in [
                ("AllowedCPUs", &cpu.cpus),
                ("AllowedMemoryNodes", &cpu.mems),
            ] {
                mask(list)
                    .into_iter()
                    .for_each(|mask| set(name, Value::Bytes(mask)));
            }
            // Guests are counted in their own cgroup; without a word here systemd's default would count the app
            // kernel's threads.
            set("TasksMax", Value::U64(NO_LIMIT));
        }
    }
    if let Some(quota) = given(cpu.quota) {
        let period = cpu.period.filter(|period| *period != 0).unwrap_or(100_000);
        set("CPUQuotaPerSecUSec", Value::U64(per_second(quota, period)));
        set("CPUQuotaPeriodUSec", Value::U64(period));
    }
    properties
}

/// systemd counts in steps of 10 ms a second and rounds down; a smaller quota than what is written to the cgroup would
/// be in force after a reload.
fn per_second(quota: i64, period: u64) -> u64 {
    const STEP: u64 = 10_000;
    match u64::try_from(quota) {
        Ok(quota) => (quota.saturating_mul(1_000_000) / period).next_multiple_of(STEP),
        Err(_) => NO_LIMIT,
    }
}

/// A list such as `0-2,5` as bits, the lowest first; `None` for an empty one or one that Linux will refuse.
fn mask(list: &str) -> Option<Vec<u8>> {
    const MOST: usize = 8192;
    let mut mask = Vec::new();
    for range in list
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if last >= MOST || first > last {
            return None;
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    (!mask.is_empty()).then_some(mask)
}

/// Annotations `org.systemd.property.NAME`, whose values are in GVariant's text format. As in runc a property in
/// seconds (`TimeoutStopSec`) is turned into the one in microseconds that D-Bus has.
pub(super) fn of_annotations(
    annotations: &BTreeMap<String, String>,
) -> Result<Properties, SpecError> {
    const PREFIX: &str = "org.systemd.property.";
    let mut properties = Properties::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let refused = |reason: &str| SpecError::invalid(format!("annotations.{key}"), text, reason);
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(refused("no name of a property"));
        }
        let value = value(text).ok_or_else(|| {
            refused("not a string, boolean, number or list of strings in GVariant's text format")
        })?;
        properties.push(
            match (
                name.strip_suffix("Sec").filter(|rest| !rest.ends_with('U')),
                value,
            ) {
                (Some(stem), Value::I32(seconds)) => {
                    let seconds = u64::try_from(seconds).map_err(|_| refused("negative"))?;
                    (
                        format!("{stem}USec"),
                        Value::U64(seconds.saturating_mul(1_000_000)),
                    )
                }
                (Some(stem), Value::U64(seconds)) => (
                    format!("{stem}USec"),
                    Value::U64(seconds.saturating_mul(1_000_000)),
                ),
                (_, value) => (name.to_owned(), value),
            },
        );
    }
    Ok(properties)
}

fn value(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(inside) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return inside
            .split(',')
            .map(quoted)
            .collect::<Option<_>>()
            .map(Value::Texts);
    }
    match text.split_once(' ') {
        Some(("uint64", number)) => return number.trim().parse().ok().map(Value::U64),
        Some(("uint32", number)) => return number.trim().parse().ok().map(Value::U32),
        Some(("int32", number)) => return number.trim().parse().ok().map(Value::I32),
        _ => {}
    }
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => quoted(text)
            .map(Value::Text)
            .or_else(|| text.parse().ok().map(Value::I32)),
    }
}

/// A string in single or double quotes without escapes.
fn quoted(text: &str) -> Option<String> {
    let text = text.trim();
    let inside = ['\'', '"'].iter().find_map(|quote| {
        let rest = text.strip_prefix(*quote)?;
        rest.strip_suffix(*quote)
            .filter(|inside| !inside.contains(*quote))
    })?;
    (!inside.contains('\\')).then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(name: &str, text: &str) -> Result<Properties, SpecError> {
        let key = format!("org.systemd.property.{name}");
        of_annotations(&BTreeMap::from([(key, text.to_owned())]))
    }

    #[test]
    fn annotations_become_properties() {
        let row = |name: &str, text: &str| annotated(name, text).expect(text).remove(0);
        assert_eq!(
            row("TimeoutStopUSec", "uint64 123"),
            ("TimeoutStopUSec".into(), Value::U64(123))
        );
        assert_eq!(
            row("TimeoutStopSec", "3"),
            ("TimeoutStopUSec".into(), Value::U64(3_000_000))
        );
        assert_eq!(
            row("CollectMode", "'inactive-or-failed'").1,
            Value::Text("inactive-or-failed".into())
        );
        assert_eq!(
            row("After", "['a.service', 'b.service']").1,
            Value::Texts(vec!["a.service".into(), "b.service".into()])
        );
        for (name, text) in [
            ("A", "1"),
            ("Some/Thing", "1"),
            ("Description", "bare"),
            ("Description", "'a\\n'"),
        ] {
            let error = annotated(name, text).expect_err(text).to_string();
            assert!(
                error.contains("annotations.org.systemd.property."),
                "{error}"
            );
        }
    }

    #[test]
    fn lists_of_processors_become_bits() {
        assert_eq!(mask("0-2,9"), Some(vec![0b111, 0b10]));
        assert_eq!(mask(""), None);
        assert_eq!(mask("3-1"), None);
        assert_eq!(mask("0-99999999"), None);
    }

    #[test]
    fn quotas_are_per_second_and_never_rounded_below_what_was_asked() {
        assert_eq!(per_second(50_000, 100_000), 500_000);
        assert_eq!(per_second(1_234, 100_000), 20_000);
        assert_eq!(per_second(-1, 100_000), NO_LIMIT);
    }
}
