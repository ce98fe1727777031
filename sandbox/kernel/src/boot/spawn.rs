//! Making the guest init.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};

use caisson_sys::guest::{self, Guest, Setup};
use caisson_sys::landlock::{self, Scope};
use caisson_sys::namespace::{self, Namespaces};
use rustix::io::Errno;

use super::console::Console;
use super::{Boot, BootError, NamespaceKind};
use crate::kernel::Kernel;

/// Make the init process, and give back what it was made from.
///
/// Whose children are born in another pid namespace may not start threads, and outside the initial user namespace
/// nobody returns from that. So in a joined one a thread of its own makes the child, and stays for as long as the
/// process lives: the child dies with that thread.
pub(super) fn init(
    kernel: &Arc<Kernel>,
    boot: Boot,
    console: Option<Console>,
) -> Result<(Guest, Boot, Option<Console>), BootError> {
    if !boot
        .join
        .iter()
        .any(|(kind, _)| *kind == NamespaceKind::Pid)
    {
        let guest = spawn(kernel, &boot, console.as_ref())?;
        return Ok((guest, boot, console));
    }
    const STACK_BYTES: usize = 256 << 10;
    let (tell, told) = mpsc::sync_channel(1);
    let kernel = kernel.clone();
    let body = move || {
        let guest = spawn(&kernel, &boot, console.as_ref());
        drop(kernel);
        // Whoever waits for this cannot be gone.
        tell.send(guest.map(|guest| (guest, boot, console))).ok();
        loop {
            std::thread::park();
        }
    };
    std::thread::Builder::new()
        .name("parent".into())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(BootError::Thread)?;
    told.recv().map_err(|_| BootError::Host {
        what: "the thread that makes the init process ended",
        errno: Errno::AGAIN,
    })?
}

fn spawn(kernel: &Kernel, boot: &Boot, console: Option<&Console>) -> Result<Guest, BootError> {
    let mut new = Namespaces::all();
    for (kind, fd) in &boot.join {
        let kind = match kind {
            NamespaceKind::Pid => Namespaces::PID,
            NamespaceKind::Ipc => Namespaces::IPC,
            NamespaceKind::Uts => Namespaces::UTS,
        };
        namespace::enter(fd.as_fd(), kind)
            .map_err(BootError::host("setns to a namespace given by path"))?;
        new.remove(kind);
    }
    let filter = crate::filter::compile(&kernel.filter_facts(), boot.profile.as_ref());
    let landlock =
        landlock::deny_all(Scope::Files).map_err(BootError::host("landlock_create_ruleset"))?;
    let cgroups: Vec<BorrowedFd<'_>> = boot.guest_cgroups.iter().map(AsFd::as_fd).collect();
    let stdio = match console {
        Some(console) => [console.slave.as_fd(); 3],
        None => [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ],
    };
    let hostname = CString::new(boot.hostname.as_str()).map_err(|_| BootError::Host {
        what: "hostname",
        errno: Errno::INVAL,
    })?;
    let preserved: Vec<BorrowedFd<'_>> = boot.preserved.iter().map(AsFd::as_fd).collect();
    let setup = Setup {
        filter: &filter,
        cgroups: &cgroups,
        stdio,
        preserved: &preserved,
        memory_policy: boot.memory_policy.as_ref(),
        terminal: console.is_some(),
        hostname: &hostname,
        host_proc: kernel.host_proc(),
        ids: &kernel.ids,
        landlock: landlock.as_ref().map(AsFd::as_fd),
        umask: boot.process.umask,
        personality: boot.personality,
        reach: crate::filter::reach(kernel.gateway.kind()),
    };
    Ok(guest::spawn_init(&setup, new)?)
}
