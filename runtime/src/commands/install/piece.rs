//! One file of an installation.
//!
//! Only whole files are written, aside and renamed. Texts are only replaced or removed while they are ours: one that exists
//! with another content is somebody's. Programs and the guest's files are upgraded.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::RuntimeError;

pub(super) enum Content {
    /// A setting, which an administrator may have changed.
    Text(String),
    /// An executable; nothing stands for whatever is there, when it is to be removed.
    Program(Vec<u8>),
    /// The same for what is not executed.
    Data(Vec<u8>),
    /// A symbolic link to a name in the same folder.
    Link(&'static str),
}

pub(super) struct Piece {
    pub(super) path: PathBuf,
    content: Content,
}

impl Piece {
    pub(super) fn new(path: PathBuf, content: Content) -> Piece {
        Piece { path, content }
    }

    /// Whether the very same is there.
    pub(super) fn is_in_place(&self) -> bool {
        match self.bytes() {
            Some(bytes) => std::fs::read(&self.path).is_ok_and(|found| found == bytes),
            None => std::fs::read_link(&self.path).is_ok_and(|found| found == self.target()),
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Text(text) => Some(text.as_bytes()),
            Content::Program(bytes) | Content::Data(bytes) => Some(bytes),
            Content::Link(_) => None,
        }
    }

    fn target(&self) -> &Path {
        match self.content {
            Content::Link(target) => Path::new(target),
            _ => Path::new(""),
        }
    }

    /// Permission bits of a file.
    fn mode(&self) -> u32 {
        match self.content {
            Content::Program(_) => 0o755,
            _ => 0o644,
        }
    }

    fn is_somebodys(&self) -> bool {
        matches!(self.content, Content::Text(_)) && self.exists() && !self.is_in_place()
    }

    /// Also for links to nowhere.
    fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Put it in place; says what was done.
    pub(super) fn write(&self) -> Result<&'static str, RuntimeError> {
        if self.is_in_place() {
            return Ok("already there");
        }
        if self.is_somebodys() {
            let reason = "exists with another content; move it away to have it replaced";
            return Err(RuntimeError::option("install", self.path.display(), reason));
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(RuntimeError::file(folder, "mkdir"))?;
        }
        let aside = self
            .path
            .with_extension(format!("caisson-{}", std::process::id()));
        let written = self
            .write_to(&aside)
            .and_then(|()| std::fs::rename(&aside, &self.path));
        if written.is_err() {
            std::fs::remove_file(&aside).ok();
        }
        written.map_err(RuntimeError::file(&self.path, "write"))?;
        Ok("written")
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let Some(bytes) = self.bytes() else {
            return std::os::unix::fs::symlink(self.target(), path);
        };
        std::fs::write(path, bytes)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.mode()))
    }

    /// Take it back; says what was done.
    pub(super) fn remove(&self) -> Result<&'static str, RuntimeError> {
        if !self.exists() {
            return Ok("not there");
        }
        if self.is_somebodys() {
            return Ok("changed since; left alone");
        }
        std::fs::remove_file(&self.path).map_err(RuntimeError::file(&self.path, "remove"))?;
        // The folders that we may have made, if they are empty.
        for folder in self.path.ancestors().skip(1).take(2) {
            let ours = folder.ends_with("caisson")
                || folder.ends_with("conf.d")
                || folder.ends_with("crio.conf.d")
                || folder.ends_with("etc/containerd")
                || folder.ends_with("etc/crio");
            if !ours || std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok("removed")
    }
}
