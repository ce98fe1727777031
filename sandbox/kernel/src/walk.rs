//! Path operations in a guest's name.
//!
//! The host kernel resolves every path itself, from the guest's root and with the guest's rights. Only
//! magic links of /proc (`/proc/PID/fd/N` and the like) end a walk early: the server of /proc reports
//! which one was met, and the walk goes on from the object it stands for.

mod own;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use caisson_sys::descriptor;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::call::{Call, Start};
use crate::kernel::Kernel;
use crate::proc::{MagicKind, MagicLink, WalkMode};
use crate::servant::Identity;
use crate::task::{Directory, Fs, Process, Thread};

/// Linux follows at most 40 symbolic links in one walk, path_resolution(7).
const MAX_LINKS: u32 = 40;

impl Call<'_> {
    /// Run `operation` on `path` with the guest's rights. It gets a directory and a path relative to it,
    /// and may be run a second time with others when a magic link was met.
    pub fn on_path<R>(
        &mut self,
        directory: i32,
        path: &CString,
        operation: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        self.on_path_as(Identity::Filesystem, directory, path, operation)
    }

    pub fn on_path_as<R>(
        &mut self,
        identity: Identity,
        directory: i32,
        path: &CString,
        operation: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        if path.is_empty() {
            // Before the descriptor is looked at. Calls that take an empty path do not come here with it.
            return Err(Errno::NOENT);
        }
        let start = self.start(directory, path)?;
        match self.by_number(identity, path) {
            Some(path) => self.on_path_from(identity, start, &path, operation),
            None => self.on_path_from(identity, start, path, operation),
        }
    }

    /// Like [`Call::on_path_as`], with a start that was found before: for `RESOLVE_IN_ROOT`, which makes even
    /// absolute paths start at the descriptor.
    pub fn on_path_from<R>(
        &mut self,
        identity: Identity,
        start: Start,
        path: &CString,
        mut operation: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        self.assume_as(identity)?;
        self.announce(WalkMode::Walk);
        match operation(start.as_fd(), path) {
            Err(Errno::REMOTE) => self.beyond_magic_link(start, path, operation),
            result => result,
        }
    }

    /// Like [`Call::on_path`], for calls that read the text of a final link instead of following it.
    pub fn on_link<R>(
        &mut self,
        directory: i32,
        path: &CString,
        mut operation: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let start = self.start(directory, path)?;
        self.assume()?;
        // Links on the way are walked first, so that only the last one is read.
        self.announce(WalkMode::Walk);
        let (parent, name) = split(path);
        if parent.is_empty() || !path.as_bytes().windows(4).any(|w| w == b"proc") {
            self.announce(WalkMode::ReadLink);
            return operation(start.as_fd(), path);
        }
        let parent = CString::new(parent).map_err(|_| Errno::INVAL)?;
        let parent = self
            .by_number(Identity::Filesystem, &parent)
            .unwrap_or(parent);
        let open = |at: BorrowedFd<'_>, p: &CStr| {
            openat(
                at,
                p,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        let at = match open(start.as_fd(), &parent) {
            Err(Errno::REMOTE) => self.beyond_magic_link(start, &parent, open)?,
            result => result?,
        };
        self.announce(WalkMode::ReadLink);
        operation(at.as_fd(), &CString::new(name).map_err(|_| Errno::INVAL)?)
    }

    fn announce(&self, mode: WalkMode) {
        self.servant.walker.begin(
            self.process().guest_pid as u32,
            self.thread.guest_tid as u32,
            mode,
        );
    }

    /// Walk component by component up to the magic link, go on from what it stands for.
    fn beyond_magic_link<R>(
        &mut self,
        start: Start,
        path: &CStr,
        mut operation: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let mut at: OwnedFd = start
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_| Errno::NFILE)?;
        let mut rest: Vec<u8> = path.to_bytes().to_vec();
        let mut links = 0;
        loop {
            let (component, after) = first_component(&rest);
            let Some(component) = component else {
                return Err(Errno::REMOTE);
            };
            let after = after.to_vec();
            if component.is_empty() {
                at = open_path(self.thread.root().as_fd(), c".")?;
                rest = after;
                continue;
            }
            let name = CString::new(component).map_err(|_| Errno::INVAL)?;
            let next = open_nofollow(at.as_fd(), &name)?;
            if !is_symlink(next.as_fd())? {
                at = next;
                rest = after;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            self.announce(WalkMode::Walk);
            match rustix::fs::readlinkat(&next, c"", Vec::new()) {
                Ok(target) => rest = join(target.as_bytes(), &after),
                Err(Errno::REMOTE) => {
                    let link = self.servant.walker.take_hit().ok_or(Errno::NOENT)?;
                    let object = self.kernel.magic_object(link)?;
                    if after.iter().all(|byte| *byte == b'/') {
                        // The object itself: through our own descriptor link, which can be opened anew.
                        let number = CString::new(object.as_raw_fd().to_string())
                            .map_err(|_| Errno::INVAL)?;
                        let own = self.kernel.own_descriptors()?;
                        if self.kernel.is_guest_proc(object.as_fd())? {
                            // /proc/PID/mem or pagemap, which are opened only after a look at who asks.
                            return Err(Errno::ACCESS);
                        }
                        if rustix::fs::fstat(&object)?.st_uid == self.kernel.ids.host_uid() {
                            // A pipe, socket or memfd that a guest process made natively: on the host it belongs
                            // to all guests' common id, which is none that a guest can have.
                            self.servant.assume_self()?;
                        }
                        return operation(own.as_fd(), &number);
                    }
                    at = object;
                    rest = after;
                    self.announce(WalkMode::Walk);
                    let tail = CString::new(rest.clone()).map_err(|_| Errno::INVAL)?;
                    match operation(at.as_fd(), &tail) {
                        Err(Errno::REMOTE) => {}
                        result => return result,
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Kernel {
    /// What a magic link of /proc stands for. Permission was checked by the walk up to it.
    fn magic_object(&self, link: MagicLink) -> Result<OwnedFd, Errno> {
        let pid = link.pid as i32;
        let process = self.process_by_guest_pid(pid).ok_or(Errno::NOENT)?;
        let dup = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|_| Errno::NFILE);
        match link.kind {
            MagicKind::Cwd => dup(self.stand_of(link, |fs| fs.cwd.clone())?.as_fd()),
            MagicKind::Root => dup(self.stand_of(link, |fs| fs.root.clone())?.as_fd()),
            MagicKind::Fd(number) => descriptor::pidfd_getfd(process.pidfd.as_fd(), number as i32)
                .map_err(|error| {
                    if error == Errno::BADF {
                        Errno::NOENT
                    } else {
                        error
                    }
                }),
            MagicKind::Exe => {
                let executable = crate::task::lock(&process.exe).clone();
                dup(executable.ok_or(Errno::NOENT)?.as_fd())
            }
            MagicKind::Namespace(name) => {
                let file = |_: &Process, thread: &Thread| crate::namespaces::file_of(thread, name);
                let made = self
                    .table
                    .with_guest_thread(pid, link.tid as i32, file)
                    .flatten();
                if let Some(file) = made {
                    return file;
                }
                let path = format!("{}/ns/{name}", process.pid);
                openat(
                    &self.host_proc,
                    path,
                    OFlags::PATH | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            }
        }
    }

    fn stand_of(
        &self,
        link: MagicLink,
        look: impl FnOnce(&Fs) -> Arc<Directory>,
    ) -> Result<Arc<Directory>, Errno> {
        let of = |_: &Process, thread: &Thread| thread.with_fs(look);
        self.table
            .with_guest_thread(link.pid as i32, link.tid as i32, of)
            .ok_or(Errno::NOENT)
    }

    /// Whether a file is one of the host's procfs that shows the guests' processes.
    fn is_guest_proc(&self, fd: BorrowedFd<'_>) -> Result<bool, Errno> {
        let Some(proc) = self.guest_proc.get() else {
            return Ok(false);
        };
        Ok(rustix::fs::fstat(fd)?.st_dev == rustix::fs::fstat(&**proc)?.st_dev)
    }

    /// `/proc/thread-self/fd` of the host for the calling thread.
    pub fn own_descriptors(&self) -> Result<OwnedFd, Errno> {
        openat(
            &self.host_proc,
            c"thread-self/fd",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// The path of an open file as it is seen from the calling thread's root, "… (deleted)" included.
    pub fn path_of(&self, fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
        path_of(self.host_proc.as_fd(), fd)
    }

    /// The process with this pid in the guest, looked for among unknown children where needed.
    pub fn process_by_guest_pid(&self, guest_pid: i32) -> Option<Arc<crate::task::Process>> {
        self.table
            .process_by_guest_pid(guest_pid)
            .or_else(|| self.discover_guest(guest_pid))
    }

    fn discover_guest(&self, guest_pid: i32) -> Option<Arc<crate::task::Process>> {
        self.discover_everyone();
        self.table.process_by_guest_pid(guest_pid)
    }
}

/// As [`Kernel::path_of`], through another descriptor of the host's procfs. `fd` is looked up in the main thread's
/// descriptor table, which all but the servers of /proc share.
pub fn path_of(host_proc: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let link = format!("self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::readlinkat(host_proc, link, Vec::new())?.into_bytes())
}

fn open_path(at: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn open_nofollow(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    openat(
        at,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn is_symlink(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(
        rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode)
            == rustix::fs::FileType::Symlink,
    )
}

/// The first component and what follows it; an empty component stands for a leading slash, none for the
/// end of the path.
fn first_component(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    if path.is_empty() {
        return (None, path);
    }
    if path[0] == b'/' {
        let rest = path
            .iter()
            .position(|byte| *byte != b'/')
            .map_or(&path[path.len()..], |at| &path[at..]);
        return (Some(&path[..0]), rest);
    }
    let end = path
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(path.len());
    let rest = path[end..]
        .iter()
        .position(|byte| *byte != b'/')
        .map_or(&path[path.len()..], |at| &path[end + at..]);
    (Some(&path[..end]), rest)
}

fn join(target: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut joined = target.to_vec();
    if !rest.is_empty() {
        joined.push(b'/');
        joined.extend_from_slice(rest);
    }
    joined
}

/// Parent and last component, which is never empty; the parent of a single component is.
fn split(path: &CStr) -> (Vec<u8>, Vec<u8>) {
    let bytes = path.to_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        // What is before a slash at the end is a directory, and followed.
        Some(at) if at + 1 == bytes.len() => (bytes.to_vec(), b".".to_vec()),
        Some(0) => (b"/".to_vec(), bytes[1..].to_vec()),
        Some(at) => (bytes[..at].to_vec(), bytes[at + 1..].to_vec()),
        None => (Vec::new(), bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_come_one_by_one() {
        assert_eq!(first_component(b"//a//b"), (Some(&b""[..]), &b"a//b"[..]));
        assert_eq!(first_component(b"a//b/"), (Some(&b"a"[..]), &b"b/"[..]));
        assert_eq!(first_component(b"b/"), (Some(&b"b"[..]), &b""[..]));
        assert_eq!(first_component(b""), (None, &b""[..]));
    }

    #[test]
    fn a_path_splits_into_parent_and_name() {
        let parts = |path: &CStr| {
            let (parent, name) = split(path);
            (
                String::from_utf8(parent).expect("text"),
                String::from_utf8(name).expect("text"),
            )
        };
        assert_eq!(parts(c"/proc/self"), ("/proc".into(), "self".into()));
        assert_eq!(parts(c"self"), (String::new(), "self".into()));
        assert_eq!(parts(c"/self"), ("/".into(), "self".into()));
        assert_eq!(parts(c"a/../"), ("a/../".into(), ".".into()));
    }
}
