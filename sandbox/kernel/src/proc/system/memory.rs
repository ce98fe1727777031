//! meminfo, vmstat, zoneinfo.

use std::fmt::Write;

use crate::proc::context::Context;
use crate::proc::limits::Memory;

const PAGE: u64 = 4096;

pub(crate) fn meminfo(context: &Context) -> Vec<u8> {
    let memory = Memory::of_container(context);
    let rows = [
        ("MemTotal", memory.total),
        ("MemFree", memory.free),
        ("MemAvailable", memory.available),
        ("Buffers", 0),
        ("Cached", memory.cached),
        ("SwapCached", 0),
        ("Active", memory.active_anon + memory.active_file),
        ("Inactive", memory.inactive_anon + memory.inactive_file),
        ("Active(anon)", memory.active_anon),
        ("Inactive(anon)", memory.inactive_anon),
        ("Active(file)", memory.active_file),
        ("Inactive(file)", memory.inactive_file),
        ("Unevictable", memory.unevictable),
        ("Mlocked", 0),
        ("SwapTotal", memory.swap_total),
        ("SwapFree", memory.swap_free),
        ("Dirty", memory.dirty),
        ("Writeback", memory.writeback),
        ("AnonPages", memory.anonymous),
        ("Mapped", memory.mapped),
        ("Shmem", memory.shmem),
        ("KReclaimable", memory.slab_reclaimable),
        ("Slab", memory.slab),
        ("SReclaimable", memory.slab_reclaimable),
        (
            "SUnreclaim",
            memory.slab.saturating_sub(memory.slab_reclaimable),
        ),
        ("KernelStack", memory.kernel_stack),
        ("PageTables", memory.page_tables),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", memory.total + memory.swap_total),
        ("Committed_AS", memory.anonymous + memory.shmem),
        ("VmallocTotal", 34_359_738_367 << 10),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("Percpu", 0),
        ("AnonHugePages", 0),
        ("ShmemHugePages", 0),
        ("ShmemPmdMapped", 0),
    ];
    let mut text = String::new();
    for (name, bytes) in rows {
        let _ = writeln!(text, "{:<16}{:>8} kB", format!("{name}:"), bytes >> 10);
    }
    text += "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n";
    text += "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n";
    text.into_bytes()
}

pub(crate) fn vmstat(context: &Context) -> Vec<u8> {
    let memory = Memory::of_container(context);
    let rows = [
        ("nr_free_pages", memory.free / PAGE),
        ("nr_zone_inactive_anon", memory.inactive_anon / PAGE),
        ("nr_zone_active_anon", memory.active_anon / PAGE),
        ("nr_zone_inactive_file", memory.inactive_file / PAGE),
        ("nr_zone_active_file", memory.active_file / PAGE),
        ("nr_inactive_anon", memory.inactive_anon / PAGE),
        ("nr_active_anon", memory.active_anon / PAGE),
        ("nr_inactive_file", memory.inactive_file / PAGE),
        ("nr_active_file", memory.active_file / PAGE),
        ("nr_unevictable", memory.unevictable / PAGE),
        ("nr_slab_reclaimable", memory.slab_reclaimable / PAGE),
        ("nr_anon_pages", memory.anonymous / PAGE),
        ("nr_mapped", memory.mapped / PAGE),
        ("nr_file_pages", memory.cached / PAGE),
        ("nr_dirty", memory.dirty / PAGE),
        ("nr_writeback", memory.writeback / PAGE),
        ("nr_shmem", memory.shmem / PAGE),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pswpin", 0),
        ("pswpout", 0),
        ("pgfault", 0),
        ("pgmajfault", 0),
        ("oom_kill", 0),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name} {value}");
    }
    text.into_bytes()
}

pub(crate) fn zoneinfo(context: &Context) -> Vec<u8> {
    let memory = Memory::of_container(context);
    let (free, all) = (memory.free / PAGE, memory.total / PAGE);
    format!(
        "Node 0, zone   Normal\n  pages free     {free}\n        boost    0\n        min      0\n        low      0\n        \
         high     0\n        spanned  {all}\n        present  {all}\n        managed  {all}\n"
    )
    .into_bytes()
}
