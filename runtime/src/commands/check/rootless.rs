//! Whether ordinary users can run sandboxes here: the caller, if it is one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use crate::rootless::may_map_ids;
use crate::user_namespace;

/// What was found out, and whether it is enough.
pub(super) struct Rootless {
    pub(super) works: bool,
    pub(super) detail: String,
}

pub(super) fn look() -> Rootless {
    let obstacles: Vec<String> = [namespaces(), fuse(Path::new("/dev/fuse"))]
        .into_iter()
        .flatten()
        .collect();
    let works = obstacles.is_empty();
    let mut words = obstacles;
    words.push(ids());
    Rootless {
        works,
        detail: words.join("; "),
    }
}

/// Why an ordinary user cannot make a user namespace, if so.
fn namespaces() -> Option<String> {
    // Of kernels, of Debian's, and of Ubuntu's.
    let switches = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    ];
    for (file, off) in switches {
        if std::fs::read_to_string(file).is_ok_and(|value| value.trim() == off) {
            return Some(format!(
                "{file} is {off}: no user namespaces for ordinary users"
            ));
        }
    }
    if may_map_ids() {
        return None;
    }
    let error = user_namespace::try_own_id().err()?;
    Some(error.to_string())
}

/// The caller itself, or if that is root everybody, has to be let in.
fn fuse(device: &Path) -> Option<String> {
    let allowed = if may_map_ids() {
        let mode = std::fs::metadata(device).map_or(0, |meta| meta.permissions().mode());
        mode & 0o006 == 0o006
    } else {
        let access = Access::READ_OK | Access::WRITE_OK;
        rustix::fs::accessat(CWD, device, access, AtFlags::EACCESS).is_ok()
    };
    (!allowed).then(|| {
        format!(
            "{}: not accessible to ordinary users (udev's mode is 0666)",
            device.display()
        )
    })
}

/// For information: one id is enough for many containers.
fn ids() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed =
        |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if installed("newuidmap") && installed("newgidmap") {
        "newuidmap and newgidmap map subordinate ids".to_owned()
    } else {
        "newuidmap and newgidmap (package uidmap) are not installed: one id for each container"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_for_root_alone_is_an_obstacle() {
        let file = std::env::temp_dir().join(format!("caisson-check-{}", std::process::id()));
        std::fs::write(&file, "").expect("write");
        let mode = |bits| {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(bits)).expect("chmod");
        };
        mode(0o666);
        assert_eq!(fuse(&file), None);
        if may_map_ids() {
            mode(0o600);
            assert!(fuse(&file).is_some_and(|text| text.contains("not accessible")));
        }
        std::fs::remove_file(&file).expect("clean up");
    }
}
