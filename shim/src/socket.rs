//! The shim's address: one socket for each container, or for each group of them, of each containerd.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Our own folder beside the sockets of containerd's shims, which are not ours to remove.
const FOLDER: &str = "/run/containerd/s/caisson";
/// The file in the bundle that tells containerd, after a restart, where its shim answers.
pub(crate) const ADDRESS_FILE: &str = "address";

/// The socket of the shim for `group` in `namespace` of the containerd that listens at `address`.
pub(crate) fn path(address: &str, namespace: &str, group: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{address}/{namespace}/{group}"));
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new(FOLDER).join(name)
}

/// As containerd writes addresses.
pub(crate) fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

pub(crate) enum Bound {
    /// The socket is ours.
    New(UnixListener),
    /// A living shim answers there.
    Taken,
}

/// Listen at `socket`, replacing one that a killed shim left.
pub(crate) fn bind(socket: &Path) -> io::Result<Bound> {
    if let Some(folder) = socket.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(folder)?;
    }
    for _ in 0..5 {
        match UnixListener::bind(socket) {
            Ok(listener) => return Ok(Bound::New(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
        if answers(socket) {
            return Ok(Bound::Taken);
        }
        remove(socket);
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Whether somebody listens. Asked again after a moment: another shim may be between bind and listen.
pub(crate) fn answers(socket: &Path) -> bool {
    let tries = 3;
    (0..tries).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        UnixStream::connect(socket).is_ok()
    })
}

pub(crate) fn remove(socket: &Path) {
    let _already_gone = fs::remove_file(socket);
}

/// Remove the sockets of shims that were killed before containerd knew them: for those it does not
/// run `delete`. Whatever is bound in this network namespace is left alone without a look; the rest
/// is asked, because a socket in the file system can be bound in another one.
pub(crate) fn sweep() {
    let bound = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let bound: HashSet<&Path> = bound
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .map(Path::new)
        .collect();
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let path = entry.path();
        if !bound.contains(path.as_path()) && !answers(&path) {
            remove(&path);
        }
    }
}

/// The socket that the bundle's address file names.
pub(crate) fn of_bundle(bundle: &Path) -> Option<PathBuf> {
    let address = fs::read_to_string(bundle.join(ADDRESS_FILE)).ok()?;
    let path = PathBuf::from(address.trim().strip_prefix("unix://")?);
    path.starts_with(FOLDER).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let Bound::New(first) = bind(&socket).unwrap() else {
            panic!("nobody listens yet")
        };
        assert!(matches!(bind(&socket).unwrap(), Bound::Taken));
        drop(first);
        assert!(matches!(bind(&socket).unwrap(), Bound::New(_)));
    }

    #[test]
    fn sockets_differ_by_containerd_namespace_and_group() {
        let all = [
            path("/a", "n", "g"),
            path("/b", "n", "g"),
            path("/a", "m", "g"),
            path("/a", "n", "h"),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one));
            assert!(one.as_os_str().len() < 108, "fits into sun_path");
        }
    }
}
