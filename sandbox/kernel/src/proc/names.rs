//! Numbers for paths, so that a node number can stand for a path.
//!
//! Numbers are never taken back. Callers add only paths that exist, so that the table stays as small as what exists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Default)]
struct Table {
    numbers: HashMap<Arc<str>, u32>,
    paths: Vec<Arc<str>>,
}

impl Names {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, number: u32) -> Option<Arc<str>> {
        self.table().paths.get(number as usize).cloned()
    }

    pub(super) fn number(&self, path: &str) -> u32 {
        let mut table = self.table();
        if let Some(&number) = table.numbers.get(path) {
            return number;
        }
        let number = table.paths.len() as u32;
        let path: Arc<str> = Arc::from(path);
        table.paths.push(Arc::clone(&path));
        table.numbers.insert(path, number);
        number
    }
}
