//! Modes of tmpfs mounts: without one in its options a tmpfs over a directory of the image has that directory's, as under
//! runc. libcontainer leaves Linux's own, 1777, everywhere.

use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::error::AgentError;

/// Write them into config.json, whose root file system is at `root`.
pub(crate) fn modes(config: &mut Value, root: &Path) -> Result<(), AgentError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())
        .map_err(AgentError::step("open", root.display().to_string()))?;
    let mut mounted: Vec<String> = Vec::new();
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        let place = mount["destination"].as_str().unwrap_or_default().to_owned();
        // What lies below an earlier mount is not of the image.
        let covered = mounted
            .iter()
            .any(|over| Path::new(&place).starts_with(over));
        if mount["type"] == "tmpfs" && !covered && !has_mode(mount) {
            // Neither directory nor mode: the mount point is made, or refused by who mounts.
            let found = rustix::fs::openat2(
                &root,
                Path::new(&place),
                flags,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            );
            match found.and_then(rustix::fs::fstat) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    add_mode(mount, stat.st_mode & 0o7777);
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(AgentError::step("look at", place)(errno)),
            }
        }
        mounted.push(place);
    }
    Ok(())
}

fn has_mode(mount: &Value) -> bool {
    let mut options = mount["options"].as_array().into_iter().flatten();
    options.any(|option| {
        option
            .as_str()
            .is_some_and(|text| text.starts_with("mode="))
    })
}

fn add_mode(mount: &mut Value, mode: u32) {
    let option = json!(format!("mode={mode:o}"));
    match mount["options"].as_array_mut() {
        Some(options) => options.push(option),
        None => mount["options"] = json!([option]),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_images_directory_gives_its_mode_and_nothing_outside_does() {
        let root = std::env::temp_dir().join(format!("caisson-tmpfs-{}", std::process::id()));
        fs::create_dir_all(root.join("old")).expect("a folder");
        fs::create_dir_all(root.join("dev/shm")).expect("a folder");
        fs::set_permissions(root.join("old"), fs::Permissions::from_mode(0o705)).expect("chmod");
        symlink("/../../../../old", root.join("link")).expect("a link");
        let tmpfs = |place: &str, options: Value| json!({"destination": place, "type": "tmpfs", "options": options});
        let mut config = json!({"mounts": [
            tmpfs("/old", json!(["nosuid"])),
            tmpfs("/new", Value::Null),
            tmpfs("/link", Value::Null),
            tmpfs("/dev", json!(["mode=755"])),
            tmpfs("/dev/shm", Value::Null),
        ]});
        let outcome = modes(&mut config, &root);
        fs::remove_dir_all(&root).expect("removed");
        outcome.expect("modes");
        let options = |index: usize| config["mounts"][index]["options"].clone();
        assert_eq!(options(0), json!(["nosuid", "mode=705"]));
        assert_eq!(options(2), json!(["mode=705"]));
        assert_eq!((options(1), options(4)), (Value::Null, Value::Null));
        assert_eq!(options(3), json!(["mode=755"]));
    }
}
