//! The guest's physical address space.

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MmapRegion,
};

use crate::VmmError;

/// Devices are between this and 4 GiB; RAM that would lie there starts at 4 GiB instead.
pub(crate) const MMIO_START: u64 = 0xd000_0000;

const FOUR_GIB: u64 = 1 << 32;

/// Address and length of each piece of RAM.
pub(crate) fn ranges(memory_mib: u32) -> Vec<(u64, u64)> {
    let bytes = u64::from(memory_mib) << 20;
    if bytes <= MMIO_START {
        return vec![(0, bytes)];
    }
    vec![(0, MMIO_START), (FOUR_GIB, bytes - MMIO_START)]
}

/// Private anonymous memory: the host gives pages when the guest touches them, and takes them back with
/// the process.
pub(crate) fn allocate(memory_mib: u32) -> Result<GuestMemoryMmap, VmmError> {
    let failed = |problem: String| VmmError::Memory {
        mib: memory_mib,
        problem,
    };
    let mut ranges_of_memory = Vec::new();
    for (start, length) in ranges(memory_mib) {
        let length = usize::try_from(length).map_err(|error| failed(error.to_string()))?;
        ranges_of_memory.push((GuestAddress(start), length));
    }
    GuestMemoryMmap::<()>::from_ranges(&ranges_of_memory).map_err(|error| failed(error.to_string()))
}

/// Makes `memory` the RAM of `vm`.
#[expect(unsafe_code, reason = "KVM is told an address of this process")]
pub(crate) fn give_to(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), VmmError> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let mapping: &MmapRegion = region;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: mapping.as_ptr() as u64,
        };
        // SAFETY: the region is a mapping of this process of exactly that size. `memory` is reference counted
        // and held by every device and by the machine, which lives until the VM is gone; nothing in Rust ever
        // holds a reference into it, only volatile slices.
        unsafe { vm.set_user_memory_region(region) }
            .map_err(VmmError::kvm("KVM_SET_USER_MEMORY_REGION"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_leaves_a_gap_for_devices() {
        assert_eq!(ranges(64), [(0, 64 << 20)]);
        assert_eq!(
            ranges(4096),
            [(0, MMIO_START), (FOUR_GIB, FOUR_GIB - MMIO_START)]
        );
    }
}
