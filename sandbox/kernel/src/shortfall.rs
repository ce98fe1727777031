//! Counting the calls of guests that did not get what Linux would give them, so that a user can learn why a program
//! fails.
//!
//! Only calls that end with an error come here, so nothing that works pays for it. A guest can make the counts grow but
//! not the memory behind them: keys are numbers below [`NUMBERS`] and a few errors.

use std::collections::BTreeMap;
use std::sync::Mutex;

use caisson_abi::row;
use caisson_wire::Shortfall;
use rustix::io::Errno;

use crate::task::lock;

/// Calls with higher numbers are counted as one.
const NUMBERS: u32 = 1024;

/// Errors by which handlers say that something is not supported or not permitted in a sandbox. Others are everyday
/// answers (a file that is not there).
const TELLING: &[Errno] = &[
    Errno::NOSYS,
    Errno::PERM,
    Errno::OPNOTSUPP,
    Errno::AFNOSUPPORT,
    Errno::PROTONOSUPPORT,
    Errno::SOCKTNOSUPPORT,
    Errno::NOPROTOOPT,
    Errno::NOTTY,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The table refuses the call.
    Table,
    /// Its handler answered so.
    Handler,
}

#[derive(Debug, Default)]
pub struct Shortfalls(Mutex<BTreeMap<(u32, By, i32), u64>>);

impl Shortfalls {
    pub fn count(&self, number: u32, by: By, errno: Errno) {
        if by == By::Handler && !TELLING.contains(&errno) {
            return;
        }
        let key = (number.min(NUMBERS), by, errno.raw_os_error());
        *lock(&self.0).entry(key).or_default() += 1;
    }

    /// The most frequent first.
    pub fn list(&self) -> Vec<Shortfall> {
        let mut list: Vec<Shortfall> = lock(&self.0)
            .iter()
            .map(|(&(number, by, errno), &count)| Shortfall {
                call: name(number),
                errno: format!("{:?}", caisson_abi::Errno::from_raw(errno)),
                refused: by == By::Table,
                count,
            })
            .collect();
        list.sort_by_key(|shortfall| std::cmp::Reverse(shortfall.count));
        list
    }

    /// One debug line each.
    pub fn log(&self) {
        for shortfall in self.list() {
            let Shortfall {
                call,
                errno,
                refused,
                count,
            } = shortfall;
            let how = if refused { "refused" } else { "failed" };
            tracing::debug!(%call, %errno, count, "{how} calls of guests");
        }
    }
}

fn name(number: u32) -> String {
    match row(number) {
        Some(row) => row.name.to_owned(),
        None if number < NUMBERS => format!("#{number}"),
        None => format!("#{NUMBERS} or above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_telling_errors_are_counted_and_everyday_ones_are_not() {
        let counts = Shortfalls::default();
        for _ in 0..3 {
            counts.count(425, By::Table, Errno::NOSYS);
        }
        counts.count(41, By::Handler, Errno::AFNOSUPPORT);
        counts.count(257, By::Handler, Errno::NOENT);
        counts.count(500, By::Table, Errno::NOSYS);
        let list: Vec<(String, String, bool, u64)> = counts
            .list()
            .into_iter()
            .map(|s| (s.call, s.errno, s.refused, s.count))
            .collect();
        assert_eq!(list[0], ("io_uring_setup".into(), "ENOSYS".into(), true, 3));
        assert!(list.contains(&("socket".into(), "EAFNOSUPPORT".into(), false, 1)));
        assert!(list.contains(&("#500".into(), "ENOSYS".into(), true, 1)));
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn numbers_without_end_take_no_memory_without_end() {
        let counts = Shortfalls::default();
        for number in 0..100_000 {
            counts.count(number, By::Table, Errno::NOSYS);
        }
        assert!(counts.list().len() <= NUMBERS as usize + 1);
    }
}
