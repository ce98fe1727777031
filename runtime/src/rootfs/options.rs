//! Mount options of `config.json`, mount(8), in mount(2)'s terms. Pure.

use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::spec::SpecError;
use crate::spec::types::Mount;

/// What is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bind { recursive: bool },
    Tmpfs,
    Proc,
    Sysfs,
    Devpts,
    Mqueue,
    Cgroup,
}

/// Flags to set and to clear; what is in neither stays as the source has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    pub set: MountFlags,
    pub clear: MountFlags,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            set: MountFlags::empty(),
            clear: MountFlags::empty(),
        }
    }
}

impl Flags {
    pub fn is_empty(self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }

    fn turn(&mut self, flag: MountFlags, state: Turn) {
        let (into, out_of) = match state {
            Turn::On => (&mut self.set, &mut self.clear),
            Turn::Off => (&mut self.clear, &mut self.set),
        };
        *into |= flag;
        *out_of -= flag;
    }
}

/// The options of one mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub kind: Kind,
    /// For the mount itself.
    pub flags: Flags,
    /// For the mount and everything below it (`rro` and the like).
    pub recursive: Flags,
    pub propagation: Vec<MountPropagationFlags>,
    /// The file system's own options, comma-separated.
    pub data: String,
}

#[derive(Clone, Copy)]
enum Turn {
    On,
    Off,
}

const ATIME: MountFlags = MountFlags::NOATIME
    .union(MountFlags::RELATIME)
    .union(MountFlags::STRICTATIME);

fn flag(name: &str) -> Option<(MountFlags, Turn)> {
    Some(match name {
        "ro" => (MountFlags::RDONLY, Turn::On),
        "rw" => (MountFlags::RDONLY, Turn::Off),
        "nosuid" => (MountFlags::NOSUID, Turn::On),
        "suid" => (MountFlags::NOSUID, Turn::Off),
        "nodev" => (MountFlags::NODEV, Turn::On),
        "dev" => (MountFlags::NODEV, Turn::Off),
        "noexec" => (MountFlags::NOEXEC, Turn::On),
        "exec" => (MountFlags::NOEXEC, Turn::Off),
        "noatime" => (MountFlags::NOATIME, Turn::On),
        "atime" => (MountFlags::NOATIME, Turn::Off),
        "relatime" => (MountFlags::RELATIME, Turn::On),
        "norelatime" => (MountFlags::RELATIME, Turn::Off),
        "strictatime" => (MountFlags::STRICTATIME, Turn::On),
        "nostrictatime" => (MountFlags::STRICTATIME, Turn::Off),
        "nodiratime" => (MountFlags::NODIRATIME, Turn::On),
        "diratime" => (MountFlags::NODIRATIME, Turn::Off),
        "sync" => (MountFlags::SYNCHRONOUS, Turn::On),
        "async" => (MountFlags::SYNCHRONOUS, Turn::Off),
        "dirsync" => (MountFlags::DIRSYNC, Turn::On),
        "lazytime" => (MountFlags::LAZYTIME, Turn::On),
        "nolazytime" => (MountFlags::LAZYTIME, Turn::Off),
        "silent" => (MountFlags::SILENT, Turn::On),
        "loud" => (MountFlags::SILENT, Turn::Off),
        _ => return None,
    })
}

/// Recursive forms: `rro`, `rnosuid`, …
fn recursive_flag(name: &str) -> Option<(MountFlags, Turn)> {
    let plain = name.strip_prefix('r')?;
    let known = [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "noatime",
        "atime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "nodiratime",
        "diratime",
    ];
    known.contains(&plain).then(|| flag(plain)).flatten()
}

/// Propagation by its name in config.json.
pub fn propagation(name: &str) -> Option<MountPropagationFlags> {
    let (plain, recursive) = match name {
        "rprivate" | "rshared" | "rslave" | "runbindable" => {
            (&name[1..], MountPropagationFlags::REC)
        }
        _ => (name, MountPropagationFlags::empty()),
    };
    let kind = match plain {
        "private" => MountPropagationFlags::PRIVATE,
        "shared" => MountPropagationFlags::SHARED,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// Options of a file system itself that we pass on.
fn is_data(kind: Kind, option: &str) -> bool {
    let name = option.split('=').next().unwrap_or(option);
    match kind {
        Kind::Tmpfs => [
            "size",
            "nr_blocks",
            "nr_inodes",
            "mode",
            "uid",
            "gid",
            "huge",
            "mpol",
            "inode32",
            "inode64",
            "noswap",
        ]
        .contains(&name),
        Kind::Devpts => ["newinstance", "ptmxmode", "mode", "uid", "gid", "max"].contains(&name),
        _ => false,
    }
}

/// Parse the options of `mounts[index]`.
pub fn parse(mount: &Mount, index: usize) -> Result<Options, SpecError> {
    let recursive = mount.options.iter().any(|option| option == "rbind");
    let bind = recursive || mount.options.iter().any(|option| option == "bind");
    let kind = match mount.kind.as_str() {
        _ if bind => Kind::Bind { recursive },
        "bind" => Kind::Bind { recursive: false },
        "tmpfs" => Kind::Tmpfs,
        "proc" => Kind::Proc,
        "sysfs" => Kind::Sysfs,
        "devpts" => Kind::Devpts,
        "mqueue" => Kind::Mqueue,
        "cgroup" | "cgroup2" => Kind::Cgroup,
        other => {
            let reason = "not one of bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup";
            return Err(SpecError::unsupported(
                format!("mounts[{index}].type"),
                other,
                reason,
            ));
        }
    };
    if bind && mount.source.is_empty() {
        return Err(SpecError::missing(format!("mounts[{index}].source")));
    }
    let none = Flags::default();
    let mut options = Options {
        kind,
        flags: none,
        recursive: none,
        propagation: Vec::new(),
        data: String::new(),
    };
    for (at, option) in mount.options.iter().enumerate() {
        if !options.take(option) {
            let field = format!("mounts[{index}].options[{at}]");
            return Err(SpecError::unsupported(
                field,
                option,
                format!("no such option of {:?}", mount.kind),
            ));
        }
    }
    Ok(options)
}

impl Options {
    fn take(&mut self, option: &str) -> bool {
        if let Some((flag, state)) = flag(option) {
            // The three ways of access times exclude each other.
            if ATIME.contains(flag) && matches!(state, Turn::On) {
                self.flags.turn(ATIME, Turn::Off);
            }
            self.flags.turn(flag, state);
        } else if let Some((flag, state)) = recursive_flag(option) {
            self.recursive.turn(flag, state);
        } else if let Some(kind) = propagation(option) {
            self.propagation.push(kind);
        } else if is_data(self.kind, option) {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            self.data.push_str(option);
        } else {
            return matches!(option, "bind" | "rbind" | "defaults" | "");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, options: &[&str]) -> Result<Options, SpecError> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        parse(
            &Mount {
                kind: kind.into(),
                source: "/s".into(),
                options,
                ..Mount::default()
            },
            0,
        )
    }

    #[test]
    fn later_options_win() {
        let options = parsed("bind", &["rbind", "ro", "rw", "nosuid"]).expect("valid");
        assert_eq!(options.kind, Kind::Bind { recursive: true });
        assert_eq!(options.flags.set, MountFlags::NOSUID);
        assert_eq!(options.flags.clear, MountFlags::RDONLY);
    }

    #[test]
    fn data_goes_to_the_file_system_and_only_what_it_knows() {
        let options = parsed("tmpfs", &["mode=755", "size=65536k", "nodev"]).expect("valid");
        assert_eq!(options.data, "mode=755,size=65536k");
        assert!(parsed("sysfs", &["mode=755"]).is_err());
        assert!(parsed("tmpfs", &["context=x"]).is_err());
    }

    #[test]
    fn recursive_flags_and_propagation() {
        let options = parsed("bind", &["rbind", "rro", "rslave"]).expect("valid");
        assert_eq!(options.recursive.set, MountFlags::RDONLY);
        assert_eq!(
            options.propagation,
            [MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC]
        );
        assert!(options.flags.is_empty());
        assert!(propagation("rfoo").is_none());
    }
}
