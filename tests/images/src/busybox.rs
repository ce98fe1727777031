//! The small image: Debian's busybox-static with its applets linked.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{ImageError, command, package};

/// Directories of the tree with their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];

/// Files of the tree with their content.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1000:dev:/home/dev:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    (
        "etc/group",
        "root:x:0:\ntty:x:5:\ndev:x:1000:\nusers:x:100:dev\nnogroup:x:65534:\n",
    ),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/profile", "export PS1='\\u@\\h:\\w\\$ '\n"),
];

/// What the cache's hash is made of.
pub(crate) fn recipe() -> String {
    format!("{DIRECTORIES:?}{FILES:?}")
}

/// Writes the layer.
pub(crate) fn layer(scratch: &Path, layer: &Path) -> Result<(), ImageError> {
    let program = program(scratch)?;
    let applets = command::run(Command::new(&program).arg("--list-full"))?;
    let write = || -> io::Result<()> {
        let mut tar = tar::Builder::new(File::create(layer)?);
        for (path, mode) in DIRECTORIES {
            append(&mut tar, path, tar::EntryType::Directory, *mode, &[])?;
        }
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        header.set_uid(1000);
        header.set_gid(1000);
        tar.append_data(&mut header, "home/dev", io::empty())?;
        for (path, content) in FILES {
            append(
                &mut tar,
                path,
                tar::EntryType::Regular,
                0o644,
                content.as_bytes(),
            )?;
        }
        append(
            &mut tar,
            "bin/busybox",
            tar::EntryType::Regular,
            0o755,
            &fs::read(&program)?,
        )?;
        for applet in applets
            .lines()
            .filter(|applet| *applet != "bin/busybox" && !applet.is_empty())
        {
            // Some applets (linuxrc) belong in /, which is fine too.
            let mut header = self::header(tar::EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, applet, "/bin/busybox")?;
        }
        tar.into_inner()?.sync_all()
    };
    write().map_err(ImageError::io("write", layer))
}

/// The machine's own busybox if it is the static one, else the package's, unpacked without installing it
/// (the package would drive out the dynamic `busybox`).
pub fn program(scratch: &Path) -> Result<PathBuf, ImageError> {
    let installed = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", "busybox-static"])
        .output()
        .is_ok_and(|output| output.stdout == b"installed");
    if installed {
        return Ok(PathBuf::from("/bin/busybox"));
    }
    let unpacked = package::unpack("busybox-static", scratch)?;
    Ok(unpacked.join("bin/busybox"))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(
    tar: &mut tar::Builder<File>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    tar.append_data(&mut header(kind, mode, content.len() as u64), path, content)
}
