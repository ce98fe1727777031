//! What a thread of the app kernel has taken on in order to work in a guest's name: root directory,
//! fsuid and fsgid, groups, capabilities.
//!
//! Changing these costs a system call each, so a servant remembers what it has and changes only what
//! differs. While it works for a guest the host kernel does the permission checks.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::sync::Arc;

use caisson_sys::{credentials as own, path};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::proc::Walker;
use crate::task::{Capability, Credentials, Directory};

/// Capabilities that change what the host lets through when it acts for a guest; a guest that lacks one
/// makes its servant lack it.
const FOR_GUEST: u64 = Capability::Chown.bit()
    | Capability::DacOverride.bit()
    | Capability::DacReadSearch.bit()
    | Capability::Fowner.bit()
    | Capability::Fsetid.bit()
    | Capability::LinuxImmutable.bit()
    | Capability::NetBindService.bit()
    | Capability::NetAdmin.bit()
    | Capability::NetRaw.bit()
    | Capability::Mknod.bit()
    | Capability::Setfcap.bit();

/// What servants need for their own work, whoever they serve.
const OWN: u64 = Capability::Setgid.bit()
    | Capability::Setuid.bit()
    | Capability::Setpcap.bit()
    | Capability::Kill.bit()
    | Capability::SysChroot.bit()
    | Capability::SysPtrace.bit()
    | Capability::SysAdmin.bit()
    | Capability::SysResource.bit();

/// Which of a process' ids a permission check uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// File system ids and effective capabilities: everything but access(2).
    Filesystem,
    /// Real ids, and capabilities only for real root: access(2).
    Real,
}

#[derive(Debug)]
pub struct Servant {
    pub walker: Arc<Walker>,
    permitted: u64,
    effective: u64,
    fsuid: u32,
    fsgid: u32,
    groups: Option<Arc<[u32]>>,
    /// The host lets groups be changed.
    setgroups: bool,
    root: Arc<Directory>,
    mask: u32,
    last: Option<(Arc<Credentials>, Identity)>,
}

impl Servant {
    /// Make the calling thread a servant. It stays one for its life.
    pub fn enlist(kernel: &Kernel) -> Result<Servant, Errno> {
        path::unshare_fs()?;
        rustix::process::umask(rustix::fs::Mode::empty());
        own::keep_capabilities_across_setuid()?;
        own::act_as_self()?;
        let (effective, permitted) = own::capabilities()?;
        let walker = Arc::new(Walker::default());
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        kernel.walkers.register(tid as u32, walker.clone());
        let root = kernel.root.clone();
        path::set_root(root.as_fd())?;
        Ok(Servant {
            walker,
            permitted,
            effective,
            fsuid: 0,
            fsgid: 0,
            groups: None,
            setgroups: kernel.ids.setgroups(),
            root,
            mask: 0,
            last: None,
        })
    }

    /// See paths as a process with this root directory sees them.
    pub fn stand_in(&mut self, root: &Arc<Directory>) -> Result<(), Errno> {
        if !Arc::ptr_eq(root, &self.root) {
            path::set_root(root.as_fd())?;
            self.root = root.clone();
        }
        Ok(())
    }

    /// Create files as a process with this file mode creation mask does. The host kernel has to apply it: where a
    /// directory has a default ACL, the mask does not count.
    pub fn wear_mask(&mut self, mask: u32) {
        if self.mask != mask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            self.mask = mask;
        }
    }

    /// Take on credentials for permission checks.
    pub fn assume(
        &mut self,
        credentials: &Arc<Credentials>,
        identity: Identity,
    ) -> Result<(), Errno> {
        if let Some((last, as_what)) = &self.last
            && *as_what == identity
            && (Arc::ptr_eq(last, credentials) || **last == **credentials)
        {
            return Ok(());
        }
        self.last = None;
        let (uid, gid, wanted) = match identity {
            Identity::Filesystem => (
                credentials.fsuid,
                credentials.fsgid,
                credentials.caps.effective,
            ),
            Identity::Real if credentials.ruid == 0 => {
                (0, credentials.rgid, credentials.caps.permitted)
            }
            Identity::Real => (credentials.ruid, credentials.rgid, 0),
        };
        if self.setgroups && self.groups.as_deref() != Some(&*credentials.groups) {
            own::set_groups(&credentials.groups)?;
            self.groups = Some(credentials.groups.clone());
        }
        if self.fsgid != gid {
            own::set_fsgid(gid);
            self.fsgid = gid;
        }
        if self.fsuid != uid {
            own::set_fsuid(uid);
            self.fsuid = uid;
        }
        self.set_effective(((wanted & FOR_GUEST) | OWN) & self.permitted)?;
        self.last = Some((credentials.clone(), identity));
        Ok(())
    }

    /// After [`Servant::assume`]: be bound by limits of the namespaces as a guest without CAP_SYS_RESOURCE is, until
    /// the next call.
    pub fn obey_limits(&mut self) -> Result<(), Errno> {
        let lifted = Capability::SysResource.bit();
        let guest = self
            .last
            .take()
            .is_some_and(|(credentials, _)| credentials.caps.effective & lifted != 0);
        if guest {
            Ok(())
        } else {
            self.set_effective(self.effective & !lifted)
        }
    }

    /// Act as the app kernel itself: root with every capability it has.
    pub fn assume_self(&mut self) -> Result<(), Errno> {
        self.last = None;
        if self.fsgid != 0 {
            own::set_fsgid(0);
            self.fsgid = 0;
        }
        if self.fsuid != 0 {
            own::set_fsuid(0);
            self.fsuid = 0;
        }
        self.set_effective(self.permitted)
    }

    /// After [`Servant::assume_self`]: without this capability, until the next call.
    pub fn lay_aside(&mut self, capability: Capability) -> Result<(), Errno> {
        self.set_effective(self.effective & !capability.bit())
    }

    fn set_effective(&mut self, effective: u64) -> Result<(), Errno> {
        if self.effective != effective {
            own::set_capabilities(effective, self.permitted)?;
            self.effective = effective;
        }
        Ok(())
    }
}

thread_local! {
    static SERVANT: RefCell<Option<Servant>> = const { RefCell::new(None) };
}

/// Run `work` with the calling thread's servant, enlisting it first where needed.
pub fn with_servant<R>(kernel: &Kernel, work: impl FnOnce(&mut Servant) -> R) -> Result<R, Errno> {
    SERVANT.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(Servant::enlist(kernel)?);
        }
        slot.as_mut().map(work).ok_or(Errno::AGAIN)
    })
}
