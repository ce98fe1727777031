//! The processor's caches, by CPUID.

use std::arch::x86_64::{__cpuid, __cpuid_count};

/// One cache as a processor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    pub level: u32,
    pub kind: CacheKind,
    pub line_bytes: u32,
    /// Lines that share a tag.
    pub partitions: u32,
    pub ways: u32,
    pub sets: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    Data,
    Instruction,
    Unified,
}

impl Cache {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [self.line_bytes, self.partitions, self.ways, self.sets]
            .into_iter()
            .map(u64::from)
            .product()
    }
}

/// What a guest can ask the processor itself: CPUID leaf 4 of Intel's, 0x8000001d of AMD's manual. Empty where a processor
/// knows neither.
#[must_use]
pub fn caches() -> Vec<Cache> {
    const INTEL: u32 = 4;
    const AMD: u32 = 0x8000_001d;
    /// More than any processor has, should one go on for ever.
    const MOST: u32 = 16;
    [(INTEL, 0), (AMD, 0x8000_0000)]
        .into_iter()
        .filter(|(leaf, first)| __cpuid(*first).eax >= *leaf)
        .map(|(leaf, _)| (0..MOST).map_while(|index| cache(leaf, index)).collect())
        .find(|found: &Vec<Cache>| !found.is_empty())
        .unwrap_or_default()
}

fn cache(leaf: u32, index: u32) -> Option<Cache> {
    let told = __cpuid_count(leaf, index);
    let kind = match told.eax & 0x1f {
        1 => CacheKind::Data,
        2 => CacheKind::Instruction,
        3 => CacheKind::Unified,
        _ => return None,
    };
    Some(Cache {
        level: told.eax >> 5 & 7,
        kind,
        line_bytes: (told.ebx & 0xfff) + 1,
        partitions: (told.ebx >> 12 & 0x3ff) + 1,
        ways: (told.ebx >> 22) + 1,
        sets: told.ecx.wrapping_add(1),
    })
}

#[cfg(test)]
mod tests {
    use super::{CacheKind, caches};

    #[test]
    fn the_first_level_holds_kilobytes() {
        let all = caches();
        let data = all.iter().find(|cache| cache.kind == CacheKind::Data);
        if let Some(first) = data {
            assert_eq!(first.level, 1);
            assert!((4 << 10..1 << 20).contains(&first.bytes()), "{first:?}");
        } else {
            assert!(all.is_empty(), "{all:?}");
        }
    }
}
