//! Numbers for paths, so that a node number can stand for a path.
//!
//! Callers add only paths that exist, and those that exist no longer are forgotten
//! when there are many: a guest may rename interfaces, each of which has directories here, as often as it likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are known before it is looked which of them are gone.
const SWEEP: usize = 4096;

#[derive(Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Default)]
struct Table {
    numbers: HashMap<Arc<str>, u32>,
    paths: HashMap<u32, Arc<str>>,
    next: u32,
    /// How many were left the last time.
    swept: usize,
}

impl Table {
    fn is_due(&self) -> bool {
        self.paths.len() >= SWEEP.max(2 * self.swept)
    }

    fn remove(&mut self, path: &str) {
        if let Some(number) = self.numbers.remove(path) {
            self.paths.remove(&number);
        }
    }
}

impl Names {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` for one that was never given out, or whose path is forgotten.
    pub(super) fn path(&self, number: u32) -> Option<Arc<str>> {
        self.table().paths.get(&number).cloned()
    }

    /// The number of a path. Those of which nothing `exists` any more may be forgotten for it.
    pub(super) fn number(&self, path: &str, exists: impl Fn(&str) -> bool) -> u32 {
        let mut table = self.table();
        if let Some(&number) = table.numbers.get(path) {
            return number;
        }
        if table.is_due() {
            let known: Vec<Arc<str>> = table.paths.values().cloned().collect();
            // Each look is a call to the host.
            drop(table);
            let gone: Vec<Arc<str>> = known.into_iter().filter(|path| !exists(path)).collect();
            table = self.table();
            for path in gone {
                table.remove(&path);
            }
            table.swept = table.paths.len();
        }
        table.enter(path)
    }
}

impl Table {
    fn enter(&mut self, path: &str) -> u32 {
        // Another thread may have been faster.
        if let Some(&number) = self.numbers.get(path) {
            return number;
        }
        while self.paths.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let path: Arc<str> = Arc::from(path);
        self.paths.insert(number, Arc::clone(&path));
        self.numbers.insert(path, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Names, SWEEP};

    #[test]
    fn what_is_renamed_for_ever_takes_no_memory_for_ever() {
        let names = Names::default();
        let root = names.number("", |_| true);
        let looks = Cell::new(0);
        let mut last = root;
        for round in 0..100_000 {
            let now = format!("net/eth{round}");
            last = names.number(&now, |path| {
                looks.set(looks.get() + 1);
                path.is_empty() || path == now
            });
        }
        let (paths, numbers) = {
            let table = names.table();
            (table.paths.len(), table.numbers.len())
        };
        assert!(paths <= SWEEP && paths == numbers, "{paths}, {numbers}");
        assert_eq!(names.path(root).as_deref(), Some(""));
        assert_eq!(names.path(last).as_deref(), Some("net/eth99999"));
        assert_eq!(names.path(root + 1), None, "forgotten");
        assert!(looks.get() < 200_000, "{} looks", looks.get());
    }

    #[test]
    fn many_that_exist_stay_and_are_not_looked_at_for_each_new_one() {
        let names = Names::default();
        let looks = Cell::new(0);
        let many = 20_000;
        for number in 0..many {
            let path = format!("conf/eth{number}");
            let given = names.number(&path, |_| {
                looks.set(looks.get() + 1);
                true
            });
            assert_eq!(given, number);
        }
        assert!(looks.get() < 3 * many, "{} looks", looks.get());
        assert_eq!(names.path(7).as_deref(), Some("conf/eth7"));
    }
}
