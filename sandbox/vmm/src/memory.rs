//! The guest's physical address space.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryBackend,
    GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap, MmapRegion,
};

use crate::virtio::mem::{BLOCK_BYTES, Blocks};
use crate::{DeviceError, VmmError};

/// All memory of the guest, of which pieces come and go.
pub(crate) type Ram = GuestMemoryAtomic<GuestMemoryMmap>;

/// Devices are between this and 4 GiB; RAM that would lie there starts at 4 GiB instead.
pub(crate) const MMIO_START: u64 = 0xd000_0000;

const FOUR_GIB: u64 = 1 << 32;

const PAGE_BYTES: u64 = 4096;

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
pub(crate) fn give_to(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), VmmError> {
    for (slot, region) in (0..).zip(memory.iter()) {
        set_slot(vm, slot, region, region.len())
            .map_err(VmmError::kvm("KVM_SET_USER_MEMORY_REGION"))?;
    }
    Ok(())
}

/// Makes `bytes` of a region memory of the machine's, or takes it away with 0.
#[expect(unsafe_code, reason = "KVM is told an address of this process")]
fn set_slot(
    vm: &VmFd,
    slot: u32,
    region: &GuestRegionMmap,
    bytes: u64,
) -> Result<(), kvm_ioctls::Error> {
    let mapping: &MmapRegion = region;
    let region = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: region.start_addr().raw_value(),
        memory_size: bytes,
        userspace_addr: mapping.as_ptr() as u64,
    };
    // SAFETY: the region is a mapping of this process of exactly that size, or nothing of it is used any more. What the
    // machine is made with is reference counted and held by every device and by the machine, which lives until the
    // VM is gone; other regions are held by `Hotplug` until they were taken from the VM. Nothing in Rust ever holds a
    // reference into it, only volatile slices.
    unsafe { vm.set_user_memory_region(region) }
}

/// Where memory that is added later begins: above all other, at a whole block, and above the devices.
pub(crate) fn growth_start(memory_mib: u32) -> u64 {
    let end = ranges(memory_mib)
        .last()
        .map_or(0, |(start, length)| start + length);
    end.max(FOUR_GIB).next_multiple_of(BLOCK_BYTES)
}

/// Memory of a machine that runs, a mapping and a slot of KVM's for each block.
pub(crate) struct Hotplug {
    vm: Arc<VmFd>,
    ram: Ram,
    start: u64,
    first_slot: u32,
    regions: HashMap<u64, Arc<GuestRegionMmap>>,
}

impl Hotplug {
    /// For blocks from `start` on.
    pub(crate) fn new(vm: Arc<VmFd>, ram: Ram, start: u64) -> Hotplug {
        let first_slot = u32::try_from(ram.memory().num_regions()).unwrap_or(u32::MAX);
        Hotplug {
            vm,
            ram,
            start,
            first_slot,
            regions: HashMap::new(),
        }
    }

    fn slot(&self, address: u64) -> io::Result<u32> {
        let number = address
            .checked_sub(self.start)
            .map(|offset| offset / BLOCK_BYTES);
        number
            .and_then(|number| u32::try_from(number).ok()?.checked_add(self.first_slot))
            .ok_or(io::ErrorKind::InvalidInput.into())
    }

    fn replace(
        &self,
        change: impl FnOnce(&GuestMemoryMmap) -> io::Result<GuestMemoryMmap>,
    ) -> io::Result<()> {
        let exclusive = self.ram.lock().unwrap_or_else(PoisonError::into_inner);
        exclusive.replace(change(&self.ram.memory())?);
        Ok(())
    }
}

fn of_kvm(errno: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(errno.errno())
}

impl Blocks for Hotplug {
    fn plug(&mut self, address: u64) -> io::Result<()> {
        let slot = self.slot(address)?;
        let start = GuestAddress(address);
        let region = GuestRegionMmap::from_range(start, BLOCK_BYTES as usize, None);
        let region = Arc::new(region.map_err(io::Error::other)?);
        set_slot(&self.vm, slot, &region, BLOCK_BYTES).map_err(of_kvm)?;
        let added = self.replace(|all| {
            let all = all.insert_region(Arc::clone(&region));
            all.map_err(io::Error::other)
        });
        if let Err(error) = added {
            set_slot(&self.vm, slot, &region, 0).map_err(of_kvm)?;
            return Err(error);
        }
        self.regions.insert(address, region);
        Ok(())
    }

    fn unplug(&mut self, address: u64) -> io::Result<()> {
        let slot = self.slot(address)?;
        let region = self.regions.get(&address).ok_or(io::ErrorKind::NotFound)?;
        set_slot(&self.vm, slot, region, 0).map_err(of_kvm)?;
        self.replace(|all| {
            let left = all.remove_region(GuestAddress(address), BLOCK_BYTES);
            left.map(|(left, _)| left).map_err(io::Error::other)
        })?;
        // Unmapped with the last device that is at work with it.
        self.regions.remove(&address);
        Ok(())
    }
}

/// Gives guest memory back to the host: it reads as zeros afterwards. `address` and `length` are the guest's word;
/// what is not whole pages of one piece of RAM is an error.
#[expect(unsafe_code, reason = "madvise on the mapping of guest memory")]
pub(crate) fn discard(
    memory: &GuestMemoryMmap,
    address: GuestAddress,
    length: u64,
) -> Result<(), DeviceError> {
    let wrong = DeviceError::NotPages {
        address: address.0,
        length,
    };
    let Some(region) = memory.find_region(address) else {
        return Err(wrong);
    };
    let offset = address.0 - region.start_addr().raw_value();
    let inside = offset
        .checked_add(length)
        .is_some_and(|end| end <= region.len());
    if !inside || !offset.is_multiple_of(PAGE_BYTES) || !length.is_multiple_of(PAGE_BYTES) {
        return Err(wrong);
    }
    let mapping: &MmapRegion = region;
    // SAFETY: the range lies within a private anonymous mapping of this process, checked above, to whose content
    // nothing in Rust holds a reference: volatile accesses see zeros from now on.
    unsafe {
        rustix::mm::madvise(
            mapping.as_ptr().add(offset as usize).cast(),
            length as usize,
            rustix::mm::Advice::LinuxDontNeed,
        )
    }
    .map_err(|errno| DeviceError::Chain(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_of_ram_are_discarded() {
        use vm_memory::Bytes;
        let memory = allocate(32).expect("memory");
        let end = 32 << 20;
        memory
            .write_obj(7_u64, GuestAddress(0x3000))
            .expect("in memory");
        for (address, length) in [
            (0x3001, 4096),
            (0x3000, 4095),
            (end, 4096),
            (end - 4096, 8192),
            (4096, u64::MAX),
        ] {
            assert!(discard(&memory, GuestAddress(address), length).is_err());
        }
        discard(&memory, GuestAddress(0x3000), 4096).expect("a page");
        assert_eq!(memory.read_obj::<u64>(GuestAddress(0x3000)).ok(), Some(0));
    }

    #[test]
    fn memory_that_comes_later_lies_above_all_other() {
        assert_eq!(growth_start(512), FOUR_GIB);
        // 768 MiB of these 4 GiB lie above the devices.
        assert_eq!(growth_start(4096), FOUR_GIB + (768 << 20));
    }

    #[test]
    fn memory_leaves_a_gap_for_devices() {
        assert_eq!(ranges(64), [(0, 64 << 20)]);
        assert_eq!(
            ranges(4096),
            [(0, MMIO_START), (FOUR_GIB, FOUR_GIB - MMIO_START)]
        );
    }
}
