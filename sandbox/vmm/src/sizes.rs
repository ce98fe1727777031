//! How much memory the guest has and is to have, as the control socket tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::Config;
use crate::virtio::{balloon, mem};

const PAGES_PER_MIB: u32 = 256;

/// What the monitor shares with its two devices of memory.
#[derive(Clone, Default)]
pub(crate) struct Sizes {
    pub(crate) balloon: Arc<balloon::Size>,
    /// Of memory that was not there at the start.
    pub(crate) added: Arc<mem::Size>,
    boot_mib: u32,
    growth_mib: u32,
}

impl Sizes {
    pub(crate) fn new(config: &Config) -> Sizes {
        Sizes {
            boot_mib: config.memory_mib,
            growth_mib: config.growth_mib,
            ..Sizes::default()
        }
    }

    /// Asks the guest to leave that much to the host. Its driver hears of it by an interrupt.
    pub(crate) fn inflate(&self, mib: u32) {
        let pages = mib.saturating_mul(PAGES_PER_MIB);
        self.balloon.target.store(pages, Ordering::Relaxed);
    }

    /// Asks the guest to have that much in all, in whole blocks and at least what it was started with. Its driver hears of
    /// it by an interrupt.
    ///
    /// # Errors
    /// When it is more than the machine was made for.
    pub(crate) fn grow(&self, mib: u32) -> Result<(), String> {
        let limit = u64::from(self.boot_mib) + u64::from(self.growth_mib);
        if u64::from(mib) > limit {
            return Err(format!("memory: {mib} MiB: {limit} at most"));
        }
        let added = u64::from(mib.saturating_sub(self.boot_mib)) << 20;
        let bytes = added.next_multiple_of(mem::BLOCK_BYTES);
        self.added.requested.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn balloon_stats(&self) -> Value {
        let mib = |pages: &AtomicU32| pages.load(Ordering::Relaxed) / PAGES_PER_MIB;
        json!({
            "target_mib": mib(&self.balloon.target),
            "actual_mib": mib(&self.balloon.actual),
            "discarded_bytes": self.balloon.discarded.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn memory_stats(&self) -> Value {
        let boot = u64::from(self.boot_mib);
        let requested = self.added.requested.load(Ordering::Relaxed);
        let plugged = self.added.plugged.load(Ordering::Relaxed);
        json!({
            "target_mib": boot + (requested >> 20),
            "actual_mib": boot + (plugged >> 20),
            "limit_mib": boot + u64::from(self.growth_mib),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_by_whole_blocks_and_has_an_end() {
        let sizes = Sizes {
            boot_mib: 100,
            growth_mib: 256,
            ..Sizes::default()
        };
        for (wanted, target) in [(0, 100), (100, 100), (101, 228), (229, 356), (356, 356)] {
            assert_eq!(sizes.grow(wanted), Ok(()));
            assert_eq!(sizes.memory_stats()["target_mib"], target, "{wanted}");
        }
        assert!(sizes.grow(357).is_err_and(|words| words.contains("356")));
    }
}
