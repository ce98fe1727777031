//! What a machine gets of the host's files: the root file system and the bind mounts of its containers, each a *share*
//! that `caisson-share` serves through the one virtio-fs device.
//!
//! A share is a copy of the mount at its source, made here where the host's paths mean something, and handed to the
//! server as a descriptor. What the server may not do with it (write, follow links, open devices) the copy forbids.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use caisson_sys::mount_attributes::{self, Attributes, Reach};
use caisson_wire::Request;
use caisson_wire::share::{Answer, Coherence, MAX_FUSE_BYTES, Order};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, OpenTreeFlags, open_tree};
use rustix::net::sockopt::set_socket_send_buffer_size_force;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::SHARE_NAME;
use super::files::SHARE_LOG;
use super::monitor::{ignore_passed_on, own_user};
use crate::RuntimeError;
use crate::cgroup::Cgroup;
use crate::rootfs::options::{self, Kind};
use crate::spec::Spec;
use crate::state::{Entry, State};
use crate::tier::door::{self, ask};

/// Something of the host's that a guest sees, by a name that is unique in its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) name: String,
    /// For messages: the field of config.json.
    field: String,
    source: PathBuf,
    /// With the mounts below it.
    recursive: bool,
    /// The mount itself cannot be written to.
    read_only: bool,
    /// Nor can those below it.
    read_only_tree: bool,
    coherence: Coherence,
}

impl Share {
    /// The root file system of container `id`. Its own mount options are the guest's business: mount points are made
    /// in it whatever they are.
    pub(super) fn root(id: &str, rootfs: &Path) -> Share {
        Share {
            name: format!("{id}.root"),
            field: "root.path".into(),
            source: rootfs.to_owned(),
            recursive: true,
            read_only: false,
            read_only_tree: false,
            coherence: Coherence::Own,
        }
    }

    /// Everything that a container may have had.
    pub(super) fn of(state: &State) -> Result<Vec<Share>, RuntimeError> {
        let mounts = Share::of_mounts(&state.id, &state.bundle, &state.spec)?;
        let root = Share::root(&state.id, &state.rootfs());
        let mounts = mounts.into_iter().map(|(_, share)| share);
        Ok(std::iter::once(root).chain(mounts).collect())
    }

    /// The bind mounts of container `id`, with the indices of their entries.
    pub(super) fn of_mounts(
        id: &str,
        bundle: &Path,
        spec: &Spec,
    ) -> Result<Vec<(usize, Share)>, RuntimeError> {
        let mut shares = Vec::new();
        for (index, entry) in spec.mounts.iter().enumerate() {
            let options = options::parse(entry, index)?;
            let Kind::Bind { recursive } = options.kind else {
                continue;
            };
            let read_only_tree = options.recursive.set.contains(MountFlags::RDONLY);
            let share = Share {
                name: format!("{id}.{index}"),
                field: format!("mounts[{index}].source"),
                source: bundle.join(&entry.source),
                recursive,
                read_only: options.flags.set.contains(MountFlags::RDONLY) || read_only_tree,
                read_only_tree,
                coherence: Coherence::Live,
            };
            shares.push((index, share));
        }
        Ok(shares)
    }

    fn failed(&self, reason: impl std::fmt::Display) -> RuntimeError {
        RuntimeError::Sandbox {
            message: format!("{}: {}: {reason}", self.field, self.source.display()),
        }
    }

    /// Have the machine of another container show it to its guest.
    pub(super) fn lend(&self, owner: &Entry) -> Result<(), RuntimeError> {
        let mount = self.mount()?;
        let order = Order::Add {
            name: self.name.clone(),
            coherence: self.coherence,
        };
        ask(owner, &Request::Share(order), &[mount.as_fd()])
            .map(drop)
            .map_err(|error| match error {
                RuntimeError::Sandbox { message } => self.failed(message),
                other => other,
            })
    }

    /// Take it back. That the machine or the share is gone already is as good.
    pub(super) fn take_back(&self, owner: &Entry) {
        let name = self.name.clone();
        ask(owner, &Request::Share(Order::Remove { name }), &[]).ok();
    }

    /// A mount of its own that is attached nowhere.
    fn mount(&self) -> Result<OwnedFd, RuntimeError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let source = rustix::fs::open(&self.source, flags, Mode::empty())
            .map_err(|errno| self.failed(std::io::Error::from(errno)))?;
        let step = |step: &'static str| {
            move |errno: rustix::io::Errno| {
                self.failed(format!("{step}: {}", std::io::Error::from(errno)))
            }
        };
        let stat = rustix::fs::fstat(&source).map_err(step("fstat"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            return Err(self.failed("a virtual machine does not get devices of the host"));
        }
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        if self.recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let mount = open_tree(&source, c"", flags).map_err(step("open_tree"))?;
        mount_attributes::make_private(mount.as_fd()).map_err(step("mount_setattr"))?;
        let walls = Attributes::NOSUID
            .with(Attributes::NODEV)
            .with(Attributes::NOEXEC)
            .with(Attributes::NOSYMFOLLOW);
        let none = Attributes::NONE;
        mount_attributes::change(mount.as_fd(), Reach::Tree, walls, none)
            .map_err(step("mount_setattr"))?;
        if self.read_only {
            let reach = if self.read_only_tree {
                Reach::Tree
            } else {
                Reach::Mount
            };
            mount_attributes::change(mount.as_fd(), reach, Attributes::RDONLY, none)
                .map_err(step("mount_setattr"))?;
        }
        Ok(mount)
    }
}

/// `caisson-share USER`, as `caisson-vm` executes it.
pub fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    if ignore_passed_on().is_err() || set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return std::process::ExitCode::FAILURE;
    }
    caisson_share::main(arguments)
}

/// The server of a machine's shares; it is ended when this is dropped.
pub(super) struct Shares {
    child: Child,
    control: OwnedFd,
}

impl Shares {
    /// Start the server, without shares. The socket is for the monitor. Call on the main thread, with whose end the
    /// server ends.
    pub(super) fn start(folder: &Path) -> Result<(Shares, OwnedFd), RuntimeError> {
        let (files, monitor) = door::pair()?;
        for socket in [&files, &monitor] {
            // Without CAP_NET_ADMIN fewer requests are under way at a time; the default has room for one.
            set_socket_send_buffer_size_force(socket, 16 * MAX_FUSE_BYTES).ok();
        }
        let (control, theirs) = door::pair()?;
        let log = folder.join(SHARE_LOG);
        let log = std::fs::File::create(&log).map_err(RuntimeError::file(&log, "create"))?;
        let child = Command::new("/proc/self/exe")
            .arg0(SHARE_NAME)
            .arg(own_user().to_string())
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::from(files))
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(RuntimeError::step("execute caisson-share"))?;
        Ok((Shares { child, control }, monitor))
    }

    /// Let the guest see something under its name.
    pub(super) fn add(&mut self, folder: &Path, share: &Share) -> Result<(), RuntimeError> {
        let mount = share.mount()?;
        let order = Order::Add {
            name: share.name.clone(),
            coherence: share.coherence,
        };
        let answer = caisson_wire::send(self.control.as_fd(), &order, &[mount.as_fd()])
            .and_then(|()| caisson_wire::receive::<Answer>(self.control.as_fd()));
        match answer {
            Ok((Answer::Done, _)) => Ok(()),
            Ok((Answer::Failed { message }, _)) => Err(share.failed(message)),
            // One that died says why.
            Err(error) => {
                std::thread::sleep(std::time::Duration::from_millis(50));
                Err(self.ended(folder).unwrap_or_else(|| error.into()))
            }
        }
    }

    /// An order of another container's of the same machine, with its mount.
    pub(super) fn tell(
        &mut self,
        order: &Order,
        mount: Option<&OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let mount: Vec<_> = mount.iter().map(|mount| mount.as_fd()).collect();
        caisson_wire::send(self.control.as_fd(), order, &mount)?;
        match caisson_wire::receive::<Answer>(self.control.as_fd())? {
            (Answer::Done, _) => Ok(()),
            (Answer::Failed { message }, _) => Err(RuntimeError::Sandbox { message }),
        }
    }

    /// Let the guest's limits hold for it: what it does is done for the guest.
    pub(super) fn settle(&self, cgroup: &Cgroup) -> Result<(), RuntimeError> {
        Ok(cgroup.admit(self.child.id())?)
    }

    /// Why it ended, if it has, other than because its monitor did.
    pub(super) fn ended(&mut self, folder: &Path) -> Option<RuntimeError> {
        let status = self.child.try_wait().ok().flatten()?;
        if status.success() {
            return None;
        }
        let said = std::fs::read_to_string(folder.join(SHARE_LOG)).unwrap_or_default();
        let said = said.trim();
        let colon = if said.is_empty() { "" } else { ": " };
        Some(RuntimeError::Sandbox {
            message: format!("the server of files ended ({status}){colon}{said}"),
        })
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
