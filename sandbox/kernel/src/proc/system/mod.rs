//! Files of /proc about the machine: a machine as large as the container's limits, that booted when the
//! container began. Nothing here may tell a guest what other containers or the host do.

mod cpu;
mod ipc;
mod load;
mod memory;
mod plain;

pub(super) use cpu::{cpuinfo, stat, uptime};
pub(super) use ipc::{msg, sem, shm};
pub use load::Load;
pub(super) use load::loadavg;
pub(super) use memory::{meminfo, vmstat, zoneinfo};
pub(crate) use plain::FILESYSTEMS;
pub(super) use plain::{cgroups, devices, filesystems, version};
