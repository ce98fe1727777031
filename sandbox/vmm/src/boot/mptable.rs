//! The MP table: how a kernel without ACPI finds its processors and interrupt lines.

use super::{IO_APIC, LOCAL_APIC, address};

const IO_APIC_PINS: u8 = 24;
const SPECIFICATION: u8 = 4;

/// The floating pointer followed by the configuration table, for [`address::MP_TABLE`].
pub(super) fn table(vcpus: u8) -> Vec<u8> {
    const POINTER_BYTES: u32 = 16;
    let table_address = u32::try_from(address::MP_TABLE).unwrap_or(0) + POINTER_BYTES;
    let mut pointer = b"_MP_".to_vec();
    pointer.extend_from_slice(&table_address.to_le_bytes());
    pointer.extend_from_slice(&[1, SPECIFICATION, 0, 0, 0, 0, 0, 0]);
    pointer[10] = checksum(&pointer);

    let (entries, count) = entries(vcpus);
    let length = u16::try_from(44 + entries.len()).unwrap_or(u16::MAX);
    let mut table = b"PCMP".to_vec();
    table.extend_from_slice(&length.to_le_bytes());
    table.extend_from_slice(&[SPECIFICATION, 0]);
    table.extend_from_slice(b"CAISSON ");
    table.extend_from_slice(b"000000000000");
    table.extend_from_slice(&[0; 6]);
    table.extend_from_slice(&count.to_le_bytes());
    table.extend_from_slice(&LOCAL_APIC.to_le_bytes());
    table.extend_from_slice(&[0; 4]);
    table.extend_from_slice(&entries);
    table[7] = checksum(&table);
    [pointer, table].concat()
}

fn entries(vcpus: u8) -> (Vec<u8>, u16) {
    const APIC_VERSION: u8 = 0x14;
    let io_apic_id = vcpus + 1;
    let mut bytes = Vec::new();
    let mut count = 0;
    let mut add = |entry: &[u8]| {
        bytes.extend_from_slice(entry);
        count += 1;
    };
    for id in 0..vcpus {
        let enabled_and_first = if id == 0 { 3 } else { 1 };
        let mut processor = vec![0, id, APIC_VERSION, enabled_and_first];
        // Stepping, family; features: FPU and APIC; reserved.
        processor.extend_from_slice(&0x600_u32.to_le_bytes());
        processor.extend_from_slice(&0x201_u32.to_le_bytes());
        processor.extend_from_slice(&[0; 8]);
        add(&processor);
    }
    add(b"\x01\x00ISA   ");
    let mut io_apic = vec![2, io_apic_id, 0x11, 1];
    io_apic.extend_from_slice(&IO_APIC.to_le_bytes());
    add(&io_apic);
    for pin in 0..IO_APIC_PINS {
        add(&[3, 0, 0, 0, 0, pin, io_apic_id, pin]);
    }
    // The old interrupt controller at the first processor's LINT0, NMI at everybody's LINT1.
    add(&[4, 3, 0, 0, 0, 0, 0, 0]);
    add(&[4, 1, 0, 0, 0, 0, 0xff, 1]);
    (bytes, count)
}

/// What makes all bytes add up to zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_length_are_right() {
        for vcpus in [1, 2, 64] {
            let bytes = table(vcpus);
            let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b));
            assert_eq!(sum(&bytes[..16]), 0);
            assert_eq!(sum(&bytes[16..]), 0);
            let length = u16::from_le_bytes([bytes[20], bytes[21]]);
            assert_eq!(usize::from(length), bytes.len() - 16);
            let fits = address::HIGH_MEMORY - address::MP_TABLE;
            assert!((bytes.len() as u64) < fits);
        }
    }
}
