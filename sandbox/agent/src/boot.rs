//! From the kernel's initial ramdisk to a tree in which containers can be made.

use std::fs;

use rustix::mount::{MountFlags, mount, mount_move};

use crate::error::AgentError;

/// The tree that becomes the root: pivot_root(2), which containers need, is refused on the initial ramdisk.
const ROOT: &str = "/root";

/// File systems in mounting order: type, place, options.
const MOUNTS: [(&str, &str, &str); 7] = [
    ("proc", "proc", ""),
    ("sysfs", "sys", ""),
    ("devtmpfs", "dev", "mode=0755"),
    ("devpts", "dev/pts", "ptmxmode=0666,mode=0620,gid=5"),
    ("tmpfs", "dev/shm", "mode=1777"),
    ("cgroup2", "sys/fs/cgroup", ""),
    ("tmpfs", "run", "mode=0755"),
];

/// Mounts everything, moves into it and brings the loopback interface up.
pub(crate) fn prepare() -> Result<(), AgentError> {
    attach("tmpfs", ROOT, "mode=0755,size=16m")?;
    for (kind, place, options) in MOUNTS {
        attach(kind, &format!("{ROOT}/{place}"), options)?;
    }
    let fail = || AgentError::step::<rustix::io::Errno>("enter", ROOT);
    rustix::process::chdir(ROOT).map_err(fail())?;
    mount_move(".", "/").map_err(fail())?;
    rustix::process::chroot(".").map_err(fail())?;
    rustix::process::chdir("/").map_err(fail())?;
    caisson_sys::loopback::up().map_err(AgentError::step("bring up", "lo"))
}

fn attach(kind: &str, place: &str, options: &str) -> Result<(), AgentError> {
    fs::create_dir_all(place).map_err(AgentError::step("create", place))?;
    let options = std::ffi::CString::new(options).unwrap_or_default();
    let flags = if kind == "devtmpfs" || kind == "devpts" {
        MountFlags::NOSUID | MountFlags::NOEXEC
    } else {
        MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV
    };
    mount(kind, place, kind, flags, &*options).map_err(AgentError::step("mount", place))
}

/// Ends the machine.
pub(crate) fn power_off() {
    // The monitor takes a reset for the end; the kernel has no ACPI to power off with.
    match nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(errno) => eprintln!("caisson-agent: reboot: {errno}"),
    }
}
