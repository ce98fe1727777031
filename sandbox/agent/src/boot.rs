//! From the kernel's initial ramdisk to a tree in which containers can be made.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::fs::{CWD, FileType, Mode};
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

/// Memory may be asked for that the machine does not have: it is hardly larger than its container's limit, and what goes
/// beyond that is to be killed, and told, as on any host. Left to itself the kernel refuses what is more than all of its memory.
const OVERCOMMIT: (&str, &str) = ("/proc/sys/vm/overcommit_memory", "1");

/// Boot marks, whose times the monitor keeps.
pub(crate) const STARTED: u8 = 1;
pub(crate) const LISTENS: u8 = 2;

/// The monitor's port for boot marks. A kernel without CONFIG_DEVPORT has no way to it, and then there are none.
pub(crate) struct Port(Option<File>);

impl Port {
    /// Also before anything is mounted.
    pub(crate) fn open() -> Port {
        const NODE: &str = "/port";
        // Of /dev/port, see the kernel's admin-guide/devices.txt.
        let device = rustix::fs::makedev(1, 4);
        let mode = Mode::RUSR | Mode::WUSR;
        let made = rustix::fs::mknodat(CWD, NODE, FileType::CharacterDevice, mode, device);
        let file = made
            .ok()
            .and_then(|()| File::options().write(true).open(NODE).ok());
        fs::remove_file(NODE).ok();
        Port(file)
    }

    pub(crate) fn mark(&self, number: u8) {
        const PORT: u64 = 0xca5;
        if let Some(file) = &self.0 {
            file.write_at(&[number], PORT).ok();
        }
    }
}

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
    fs::write(OVERCOMMIT.0, OVERCOMMIT.1).map_err(AgentError::step("write", OVERCOMMIT.0))?;
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
