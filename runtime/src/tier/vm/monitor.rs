//! The monitor: executed as a process of its own, and ended.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use caisson_vmm::{Config, Disk, Fs, Jail, Serial, Tap, Vsock};
use caisson_wire::agent::SHARES_TAG;
use caisson_wire::share::Order;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use rustix::process::{Signal as RustixSignal, set_parent_process_death_signal};

use super::MONITOR_NAME;
use super::files::{CONFIG, CONTROL, LOG, ROOT_IMAGE, SERIAL, VISIBLE, VSOCK};
use super::message::{Description, Rootfs};
use super::shares::Shares;
use crate::RuntimeError;
use crate::cgroup::Cgroup;

/// `noxsaves`: nested virtualisation may lack it while the processor claims it. `numdummies`: no interface that the pod
/// does not have. `memhp`, `memory_hotplug`: memory that comes later is used at once, and most of it in such a way that it can
/// go again. `init_on_alloc`: kernels of distributions write zeros to all pages of a block that they are about to give back, and
/// the host, which has lowered its limit by then, would have to find memory for them.
const CMDLINE: &str = "console=ttyS0 quiet reboot=k panic=-1 random.trust_cpu=on noxsaves dummy.numdummies=0 \
     memhp_default_state=online memory_hotplug.online_policy=auto-movable init_on_alloc=0";

/// The lowest address that is a guest's. Each monitor has a socket of its own, so all guests may have the same.
const GUEST_CID: u32 = 3;

/// `caisson-vmm CONFIG`, as `caisson-vm` executes it.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    if ignore_passed_on().is_err()
        || set_parent_process_death_signal(Some(RustixSignal::KILL)).is_err()
    {
        return ExitCode::FAILURE;
    }
    caisson_vmm::main(arguments)
}

/// Signals for the container are for the process beside us; only SIGKILL is for us.
pub(super) fn ignore_passed_on() -> nix::Result<()> {
    let deaf_to: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTSTP,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&deaf_to), None)
}

/// A monitor, and the server of its guest's files; both are ended when this is dropped.
pub(super) struct Monitor {
    child: Child,
    /// None for a guest that gets no files.
    shares: Option<Shares>,
}

impl Monitor {
    /// Boot the machine. Call on the main thread, with whose end the monitor ends.
    pub(super) fn start(
        description: &Description,
        taps: Vec<Tap>,
    ) -> Result<Monitor, RuntimeError> {
        let folder = &description.folder;
        let (shares, input) = if description.shares.is_empty() {
            (None, Stdio::null())
        } else {
            let (mut shares, files) = Shares::start(folder)?;
            for share in &description.shares {
                shares.add(folder, share)?;
            }
            (Some(shares), Stdio::from(files))
        };
        let visible = folder.join(VISIBLE);
        std::fs::create_dir(&visible).map_err(RuntimeError::file(&visible, "create"))?;
        let config = folder.join(CONFIG);
        let text = serde_json::to_vec(&machine(description, taps)).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(&config, text))
            .map_err(RuntimeError::file(&config, "write"))?;
        let log = folder.join(LOG);
        let log = std::fs::File::create(&log).map_err(RuntimeError::file(&log, "create"))?;
        let child = Command::new("/proc/self/exe")
            .arg0(MONITOR_NAME)
            .arg(CONFIG)
            .current_dir(folder)
            .env_clear()
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(log)))
            .spawn()
            .map_err(RuntimeError::step("execute caisson-vmm"))?;
        Ok(Monitor { child, shares })
    }

    /// Have the server of files do something.
    pub(super) fn tell_shares(
        &mut self,
        order: &Order,
        mount: Option<&OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let shares = self.shares.as_mut().ok_or_else(|| RuntimeError::Sandbox {
            message: "the pod's virtual machine was made without files of the host".into(),
        })?;
        shares.tell(order, mount)
    }

    /// Let the guest's limits hold for it. Only now: KVM makes a thread of the kernel's for each machine, in the
    /// cgroup where the monitor is then, and with that one in it a cgroup cannot be frozen.
    pub(super) fn settle(&self, cgroup: &Cgroup) -> Result<(), RuntimeError> {
        if let Some(shares) = &self.shares {
            shares.settle(cgroup)?;
        }
        Ok(cgroup.admit(self.child.id())?)
    }

    /// Why it ended, if it has.
    pub(super) fn ended(&mut self, folder: &Path) -> Option<RuntimeError> {
        // Without its files there is no machine; without the machine the server ends by itself, and well.
        let shares = self.shares.as_mut();
        if let Some(error) = shares.and_then(|shares| shares.ended(folder)) {
            return Some(error);
        }
        let status = self.child.try_wait().ok().flatten()?;
        let said = std::fs::read_to_string(folder.join(LOG)).unwrap_or_default();
        let console = tail(folder);
        Some(RuntimeError::Sandbox {
            message: format!(
                "the virtual machine ended ({status}){}{}",
                prefixed(": ", said.trim()),
                prefixed("; its console: ", &console)
            ),
        })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{prefix}{text}")
    }
}

/// The last words on the guest's console, printable whatever they are.
pub(super) fn tail(folder: &Path) -> String {
    const LIMIT: usize = 300;
    let text = std::fs::read(folder.join(SERIAL)).unwrap_or_default();
    let start = text.len().saturating_sub(LIMIT);
    let text = String::from_utf8_lossy(&text[start..]);
    text.trim().escape_debug().to_string()
}

/// A user that no other process has: numbers of users are larger than those of processes can be.
pub(super) fn own_user() -> u32 {
    const FIRST: u32 = 1 << 30;
    FIRST + std::process::id()
}

fn machine(description: &Description, taps: Vec<Tap>) -> Config {
    let disks = match description.rootfs {
        Rootfs::Shared => Vec::new(),
        Rootfs::Image { read_only, .. } => vec![Disk {
            path: ROOT_IMAGE.into(),
            read_only,
            serial: "root".to_owned(),
        }],
    };
    Config {
        kernel: description.files.kernel.clone(),
        initrd: Some(description.files.initrd.clone()),
        cmdline: CMDLINE.to_owned(),
        memory_mib: description.memory_mib,
        growth_mib: description.growth_mib,
        vcpus: description.vcpus,
        disks,
        vsock: Some(Vsock {
            cid: GUEST_CID,
            socket: VSOCK.into(),
        }),
        fs: (!description.shares.is_empty()).then(|| Fs {
            tag: SHARES_TAG.to_owned(),
        }),
        taps,
        serial: Serial::File(SERIAL.into()),
        control: Some(CONTROL.into()),
        jail: Some(Jail {
            uid: own_user(),
            gid: own_user(),
        }),
    }
}
