//! `uidmap=` and `gidmap=` of mounts, as containerd's snapshotters give them for containers in a user namespace: what
//! is on disk is shown with the owners of that namespace.
//!
//! A plain mount is mapped itself. Of an overlay the layers are, each at a place of its own that lasts until the overlay
//! holds them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_sys::mount_attributes::{Reach, map_owners};
use caisson_sys::user_namespace::{Mapping, with_mappings};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use crate::error::ShimError;

/// A user namespace that carries the mappings; `None` where the options have none. Half a map is none.
pub(crate) fn take(options: &mut Vec<String>) -> Result<Option<OwnedFd>, ShimError> {
    let mut named = |name: &'static str| -> Result<Option<Vec<Mapping>>, ShimError> {
        let place = options.iter().position(|option| option.starts_with(name));
        place
            .map(|place| options.remove(place))
            .map(|option| {
                parse(&option[name.len()..]).ok_or_else(|| ShimError::InvalidField {
                    field: "rootfs.options",
                    value: option.clone(),
                    reason: "not of the form CONTAINER:HOST:COUNT".to_owned(),
                })
            })
            .transpose()
    };
    let (Some(uids), Some(gids)) = (named("uidmap=")?, named("gidmap=")?) else {
        return Ok(None);
    };
    let made = with_mappings(&uids, &gids);
    made.map(Some)
        .map_err(|errno| ShimError::io("map owners for", Path::new("rootfs"))(errno.into()))
}

fn parse(text: &str) -> Option<Vec<Mapping>> {
    let line = |line: &str| {
        let mut numbers = line.split(':').map(|number| number.parse().ok());
        let mapping = Mapping {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        };
        numbers.next().is_none().then_some(mapping)
    };
    text.split(',').map(line).collect()
}

/// Attach a mapped copy of `source` to `target`.
pub(crate) fn attach(
    source: &Path,
    target: &Path,
    reach: Reach,
    mappings: &OwnedFd,
) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let source = rustix::fs::open(source, flags, Mode::empty())?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let copy = open_tree(&source, c"", flags)?;
    map_owners(copy.as_fd(), reach, mappings.as_fd())?;
    move_mount(
        &copy,
        c"",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Mapped layers of an overlay; unmounted when dropped.
pub(crate) struct Layers {
    folder: PathBuf,
    places: Vec<PathBuf>,
}

impl Layers {
    /// Map the layers in an overlay's options, and name the mapped ones there instead.
    pub(crate) fn map(
        data: &str,
        folder: PathBuf,
        mappings: &OwnedFd,
    ) -> io::Result<(Layers, String)> {
        let mut layers = Layers {
            folder,
            places: Vec::new(),
        };
        let mut mapped = Vec::new();
        for option in data.split(',') {
            match option.strip_prefix("lowerdir=") {
                Some(list) => {
                    let places = list
                        .split(':')
                        .map(|layer| layers.add(Path::new(layer), mappings));
                    let places: Vec<String> = places.collect::<io::Result<_>>()?;
                    mapped.push(format!("lowerdir={}", places.join(":")));
                }
                None => mapped.push(option.to_owned()),
            }
        }
        Ok((layers, mapped.join(",")))
    }

    fn add(&mut self, layer: &Path, mappings: &OwnedFd) -> io::Result<String> {
        let place = self.folder.join(self.places.len().to_string());
        fs::create_dir_all(&place)?;
        self.places.push(place.clone());
        attach(layer, &place, Reach::Mount, mappings)?;
        Ok(place.to_string_lossy().into_owned())
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        for place in &self.places {
            // A place where nothing was mounted needs no unmount; one that stays mounted is not removed.
            unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).ok();
            fs::remove_dir(place).ok();
        }
        fs::remove_dir(&self.folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_out_and_wrong_ones_named() {
        let mut options: Vec<String> = ["rbind", "uidmap=0:5:6"].map(String::from).to_vec();
        assert!(take(&mut options).unwrap().is_none());
        assert_eq!(options, ["rbind"]);
        let mut wrong = vec!["uidmap=0:5".to_owned(), "gidmap=0:5:6".to_owned()];
        let message = take(&mut wrong).unwrap_err().to_string();
        assert!(message.contains("uidmap=0:5"), "{message}");
        let two = parse("0:100:10,10:200:20").unwrap();
        assert_eq!((two.len(), two[1].outside, two[1].count), (2, 200, 20));
    }
}
