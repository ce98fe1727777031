//! Finds what differs between two transcripts of a family.

use std::collections::HashMap;
use std::fmt;

use caisson_abi::{Disposition, row_named};

use crate::departures;

/// One line that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `family::call.tag`, with `#n` behind the n-th repetition.
    pub key: String,
    pub expected: Option<String>,
    pub got: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side =
            |text: &Option<String>| text.clone().unwrap_or_else(|| "(no such line)".to_owned());
        write!(
            f,
            "{}\n    expected {}\n    got      {}",
            self.key,
            side(&self.expected),
            side(&self.got)
        )
    }
}

/// The lines of a transcript as key and value, repetitions numbered.
#[must_use]
pub fn lines(transcript: &str) -> Vec<(String, String)> {
    let mut times: HashMap<&str, u32> = HashMap::new();
    transcript
        .lines()
        .map(|line| {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let count = times.entry(key).or_default();
            *count += 1;
            let key = if *count == 1 {
                key.to_owned()
            } else {
                format!("{key}#{count}")
            };
            (key, value.trim_end().to_owned())
        })
        .collect()
}

/// The call that a key names: `open::openat.enoent` is about `openat`.
fn call_of(key: &str) -> Option<&str> {
    let call = key.split_once("::")?.1;
    Some(call.split_once('.').map_or(call, |(call, _)| call))
}

/// By what a transcript is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Exactly the reference: for a second run of the reference runtime itself.
    Reference,
    /// The reference, except that what the table refuses fails with the table's errno, and that what
    /// `departures` states holds.
    Table,
}

/// Compares a transcript with the reference's.
#[must_use]
pub fn compare(measure: Measure, reference: &str, sandbox: &str) -> Vec<Difference> {
    let reference = lines(reference);
    let sandbox_lines = lines(sandbox);
    let got: HashMap<&String, &String> = sandbox_lines
        .iter()
        .map(|(key, value)| (key, value))
        .collect();
    let known: HashMap<&String, ()> = reference.iter().map(|(key, _)| (key, ())).collect();
    let missing = reference.iter().filter_map(|(key, value)| {
        let got = got.get(key).map(|value| (*value).clone());
        let expected = expectation(measure, key, value)?;
        (got.as_ref() != Some(&expected)).then(|| Difference {
            key: key.clone(),
            expected: Some(expected),
            got,
        })
    });
    let extra = sandbox_lines
        .iter()
        .filter(|(key, _)| !known.contains_key(key))
        .filter_map(|(key, value)| {
            expectation(measure, key, value).map(|_| Difference {
                key: key.clone(),
                expected: None,
                got: Some(value.clone()),
            })
        });
    missing.chain(extra).collect()
}

/// What the sandbox should print for `key` where the reference prints `value`; `None` if anything will do.
fn expectation(measure: Measure, key: &str, value: &str) -> Option<String> {
    if measure == Measure::Reference {
        return Some(value.to_owned());
    }
    if let Some(departure) = departures::of(key) {
        return departure.map(str::to_owned);
    }
    let row = call_of(key).and_then(row_named);
    let Some(Disposition::Refuse(errno)) = row.map(|row| row.standard) else {
        return Some(value.to_owned());
    };
    // Other lines about a refused call show effects that it then has not.
    value
        .starts_with("ret=")
        .then(|| format!("ret=-1 errno={errno:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_an_extra_line_are_found() {
        let reference = "open::open.a ret=3\nopen::open.b ret=4\nopen::open.a ret=5\n";
        let sandbox = "open::open.a ret=3\nopen::open.a ret=6\nopen::open.c ret=1\n";
        let keys: Vec<String> = compare(Measure::Table, reference, sandbox)
            .into_iter()
            .map(|difference| difference.key)
            .collect();
        assert_eq!(keys, ["open::open.b", "open::open.a#2", "open::open.c"]);
    }

    #[test]
    fn a_refused_call_is_compared_with_the_table() {
        assert_eq!(
            compare(
                Measure::Table,
                "x::bpf.a ret=3\n",
                "x::bpf.a ret=-1 errno=EPERM\n"
            ),
            []
        );
        assert_eq!(
            compare(Measure::Table, "x::bpf.a ret=3\n", "x::bpf.a ret=3\n").len(),
            1
        );
    }
}
