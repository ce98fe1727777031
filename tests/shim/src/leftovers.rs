//! What a container must not leave: processes, mounts, control groups, sockets, state folders.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::containerd::Containerd;
use crate::{soon, within};

/// # Panics
/// If anything of container `id` is still there after a moment.
pub fn assert_nothing_left(containerd: &Containerd, id: &str) {
    let gone = within(soon(), || leftovers(containerd, id).is_empty());
    assert!(gone, "left of {id}: {:#?}", leftovers(containerd, id));
}

fn leftovers(containerd: &Containerd, id: &str) -> Vec<String> {
    let namespace = containerd.namespace();
    let mut left = Vec::new();
    left.extend(
        processes(id)
            .into_iter()
            .map(|(pid, command)| format!("process {pid}: {command}")),
    );
    left.extend(
        mounts(&containerd.bundle(id))
            .into_iter()
            .map(|path| format!("mount {}", path.display())),
    );
    let digest = Sha256::digest(format!("{}/{namespace}/{id}", containerd.address()));
    let socket: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut files = vec![
        Path::new("/run/containerd/s/caisson").join(socket),
        Path::new("/run/containerd/caisson")
            .join(namespace)
            .join(id),
        Path::new("/run/containerd/runc").join(namespace).join(id),
        containerd.bundle(id),
    ];
    files.extend(cgroups(namespace, id));
    left.extend(
        files
            .into_iter()
            .filter(|path| path.exists())
            .map(|path| path.display().to_string()),
    );
    left
}

/// Processes that name the container in their command line, or sit in its control groups.
fn processes(id: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let program = command.split(' ').next().unwrap_or_default();
        let is_client = Path::new(program).file_name() == Some("ctr".as_ref());
        if !is_client
            && (command.split(' ').any(|word| word == id) || groups.contains(&format!("/{id}")))
        {
            found.push((pid, command));
        }
    }
    found
}

fn mounts(below: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    points.filter(|point| point.starts_with(below)).collect()
}

/// Control groups that carry the container's id, at containerd's default place.
fn cgroups(namespace: &str, id: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let roots = hierarchies
        .filter(|path| path.is_dir())
        .chain([PathBuf::from("/sys/fs/cgroup")]);
    roots
        .map(|root| root.join(namespace).join(id))
        .filter(|path| path.exists())
        .collect()
}

/// Whatever a failed test leaves: unmount and remove its folder, and kill what names it.
pub(crate) fn sweep(folder: &Path) {
    let text = folder.to_string_lossy().into_owned();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&text) && pid != std::process::id() as i32 {
            Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
    for point in mounts(folder).into_iter().rev() {
        let _gone_already = unmount(&point, UnmountFlags::DETACH);
    }
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("cannot remove {}: {error}", folder.display());
    }
}
