//! Mount options of `config.json`, mount(8), in mount(2)'s terms. Pure.

use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::spec::SpecError;
use crate::spec::types::Mount;

/// What is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bind {
        recursive: bool,
    },
    Tmpfs,
    Proc,
    Sysfs,
    Devpts,
    Mqueue,
    Cgroup,
    /// A file system that the host's kernel provides (overlay, ext4, ramfs, …): the options are its own.
    Host,
}

/// How far `uidMappings` and `gidMappings` of a mount reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idmap {
    Mount,
    Tree,
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
    /// `tmpcopyup`: a tmpfs begins with what it covers.
    pub copy_up: bool,
    pub idmap: Option<Idmap>,
}

#[derive(Clone, Copy)]
enum Turn {
    On,
    Off,
}

/// MS_NOSYMFOLLOW, MS_POSIXACL and MS_I_VERSION of linux/mount.h.
const NOSYMFOLLOW: MountFlags = MountFlags::from_bits_retain(1 << 8);
const POSIXACL: MountFlags = MountFlags::from_bits_retain(1 << 16);
const I_VERSION: MountFlags = MountFlags::from_bits_retain(1 << 23);

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
        "nosymfollow" => (NOSYMFOLLOW, Turn::On),
        "symfollow" => (NOSYMFOLLOW, Turn::Off),
        "acl" => (POSIXACL, Turn::On),
        "noacl" => (POSIXACL, Turn::Off),
        "iversion" => (I_VERSION, Turn::On),
        "noiversion" => (I_VERSION, Turn::Off),
        "mand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, Turn::On),
        "nomand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, Turn::Off),
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
        "nosymfollow",
        "symfollow",
    ];
    known.contains(&plain).then(|| flag(plain)).flatten()
}

fn idmap(name: &str) -> Option<Idmap> {
    match name {
        "idmap" => Some(Idmap::Mount),
        "ridmap" => Some(Idmap::Tree),
        _ => None,
    }
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
        Kind::Host => true,
        // Engines leave a tmpfs' options at mounts that they turn into binds; Linux ignores them there.
        Kind::Bind { .. } => ["size", "mode", "uid", "gid"].contains(&name) && option != name,
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
        other if host_provides(other) => Kind::Host,
        other => {
            let reason = "not bind and not a file system of this host";
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
        copy_up: false,
        idmap: None,
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
    options.settle_idmap(mount, index)?;
    Ok(options)
}

/// Types that are the host's alone are none of a container's business, whatever its kernel knows.
fn host_provides(kind: &str) -> bool {
    const NEVER: [&str; 4] = ["fuse", "fuseblk", "fusectl", "binder"];
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    !NEVER.contains(&kind)
        && known
            .lines()
            .any(|line| line.rsplit('\t').next() == Some(kind))
}

impl Options {
    /// Mappings without the word mean `idmap`; the word without mappings means the container's own, see
    /// [`crate::spec::check`].
    fn settle_idmap(&mut self, mount: &Mount, index: usize) -> Result<(), SpecError> {
        let field = |name: &str| format!("mounts[{index}].{name}");
        let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
        if uids.is_empty() && gids.is_empty() {
            return self.only_bind(&field("options"), mount);
        }
        if uids.is_empty() || gids.is_empty() {
            return Err(SpecError::missing(field(if uids.is_empty() {
                "uidMappings"
            } else {
                "gidMappings"
            })));
        }
        self.idmap.get_or_insert(Idmap::Mount);
        self.only_bind(&field("uidMappings"), mount)
    }

    fn only_bind(&self, field: &str, mount: &Mount) -> Result<(), SpecError> {
        if self.idmap.is_some() && !matches!(self.kind, Kind::Bind { .. }) {
            let reason = "only bind mounts can be idmapped";
            return Err(SpecError::unsupported(field, &mount.kind, reason));
        }
        Ok(())
    }

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
        } else if option == "tmpcopyup" && self.kind == Kind::Tmpfs {
            self.copy_up = true;
        } else if let Some(reach) = idmap(option) {
            self.idmap = Some(reach);
        } else if matches!(option, "bind" | "rbind" | "defaults" | "") {
            return true;
        } else if is_data(self.kind, option) {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            self.data.push_str(option);
        } else {
            return false;
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

    #[test]
    fn idmap_needs_a_bind_and_mappings_of_both_kinds() {
        let own = parsed("bind", &["bind", "ridmap"]).expect("the container's");
        assert_eq!(own.idmap, Some(Idmap::Tree));
        assert!(parsed("tmpfs", &["idmap"]).is_err());
        let mapping = crate::spec::types::IdMapping {
            container_id: 0,
            host_id: 1000,
            size: 1,
        };
        let mut mount = Mount {
            kind: "bind".into(),
            source: "/s".into(),
            uid_mappings: vec![mapping.clone()],
            ..Mount::default()
        };
        let message = parse(&mount, 3).expect_err("no gids").to_string();
        assert!(message.contains("mounts[3].gidMappings"), "{message}");
        mount.gid_mappings = vec![mapping];
        assert_eq!(parse(&mount, 3).expect("both").idmap, Some(Idmap::Mount));
        mount.kind = "tmpfs".into();
        assert!(parse(&mount, 3).is_err());
    }
}
