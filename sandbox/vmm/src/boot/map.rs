//! What the kernel is told of its memory.

use super::address;
use crate::memory;

/// Numbers of the kinds of memory, the same in PVH's map and in that of the BIOS (E820).
pub(super) const RAM: u32 = 1;
pub(super) const RESERVED: u32 = 2;

/// Address, length and kind of each range. Memory that comes later is the driver's matter and not in it.
pub(super) fn memory_map(memory_mib: u32) -> Vec<(u64, u64, u32)> {
    let mut map = vec![
        (0, address::MP_TABLE, RAM),
        (
            address::MP_TABLE,
            address::HIGH_MEMORY - address::MP_TABLE,
            RESERVED,
        ),
    ];
    for (start, length) in memory::ranges(memory_mib) {
        let low = address::HIGH_MEMORY.saturating_sub(start);
        map.push((start + low, length.saturating_sub(low), RAM));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_starts_at_the_first_megabyte() {
        let map = memory_map(64);
        assert_eq!(map[2], (1 << 20, 63 << 20, RAM));
        assert_eq!(map.len(), 3);
        assert_eq!(memory_map(8192).len(), 4);
    }
}
