//! Which app kernel thread is walking for whom, for the server of /proc.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::proc::Walker;
use crate::task::lock;

/// By host thread id of the servant.
#[derive(Debug, Default)]
pub struct Walkers(Mutex<HashMap<u32, Arc<Walker>>>);

impl Walkers {
    pub fn register(&self, tid: u32, walker: Arc<Walker>) {
        lock(&self.0).insert(tid, walker);
    }

    pub fn unregister(&self, tid: u32) {
        lock(&self.0).remove(&tid);
    }

    pub fn find(&self, tid: u32) -> Option<Arc<Walker>> {
        lock(&self.0).get(&tid).cloned()
    }
}
