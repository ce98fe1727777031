//! Which kernel modules the machine loads, and in which order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::NestedError;
use crate::cpio::Archive;

/// What the tests need besides what is built in: the machine's own devices, KVM, what the micro-VM tier uses on
/// its host, what containers use.
pub(crate) const WANTED: &[&str] = &[
    "virtio_mmio",
    "virtiofs",
    "overlay",
    "kvm_amd",
    "vhost_vsock",
    "vsock_loopback",
    "tun",
    "bridge",
    "veth",
    "sch_ingress",
    "cls_u32",
    "act_mirred",
    "loop",
    "erofs",
];

/// A module's name as the kernel knows it and its file's content.
struct Module {
    name: String,
    content: Vec<u8>,
}

/// Adds `wanted` modules of `tree` (`lib/modules/<version>`) as files of the folder `modules`, and there a file `order`
/// with the names in the order in which they can be loaded, each after those it depends on.
pub(crate) fn add_to(
    archive: &mut Archive,
    tree: &Path,
    wanted: &[&str],
) -> Result<(), NestedError> {
    archive.directory("modules");
    let mut names = String::new();
    for Module { name, content } in load_order(tree, wanted)? {
        archive.file(&format!("modules/{name}.ko"), &content);
        names.push_str(&name);
        names.push('\n');
    }
    archive.file("modules/order", names.as_bytes());
    Ok(())
}

fn load_order(tree: &Path, wanted: &[&str]) -> Result<Vec<Module>, NestedError> {
    let mut files = HashMap::new();
    index(tree, &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order)?;
    }
    Ok(order)
}

/// All `.ko` files below `directory` by module name.
fn index(directory: &Path, files: &mut HashMap<String, PathBuf>) -> Result<(), NestedError> {
    let entries = fs::read_dir(directory).map_err(NestedError::io("list", directory))?;
    for entry in entries {
        let path = entry.map_err(NestedError::io("list", directory))?.path();
        // `build` and `source` are links to packages that are not there.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            index(&path, files)?;
        } else if path.extension() == Some("ko".as_ref())
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn add(
    name: &str,
    files: &HashMap<String, PathBuf>,
    order: &mut Vec<Module>,
) -> Result<(), NestedError> {
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let path = files.get(name).ok_or_else(|| NestedError::NoModule {
        name: name.to_owned(),
    })?;
    let content = fs::read(path).map_err(NestedError::io("read", path))?;
    for dependency in dependencies(&content) {
        add(&dependency, files, order)?;
    }
    order.push(Module {
        name: name.to_owned(),
        content,
    });
    Ok(())
}

/// The `depends=` entry of a module's `.modinfo` section, which is a list of NUL-terminated `key=value`.
fn dependencies(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = content
        .windows(KEY.len())
        .position(|window| window == KEY)
        .map(|position| position + KEY.len())
    else {
        return Vec::new();
    };
    let value = content[start..].split(|byte| *byte == 0).next();
    String::from_utf8_lossy(value.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn depends_is_a_list_separated_by_commas() {
        let content = b"\x7fELF\0license=GPL\0depends=kvm,irq-bypass\0retpoline=Y\0";
        assert_eq!(dependencies(content), ["kvm", "irq_bypass"]);
        assert!(dependencies(b"\0depends=\0").is_empty());
        assert!(dependencies(b"none").is_empty());
    }
}
