//! Running for an ordinary user: whether that is the case, where the state is then, and by which rules ids are mapped.
//! As runc has it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use caisson_sys::credentials;

use crate::RuntimeError;

/// `--rootless`: whether having no access to cgroups is to be borne.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Rootless {
    True,
    False,
    /// Where the caller is not the host's root
    #[default]
    Auto,
}

impl Rootless {
    pub fn applies(self) -> bool {
        match self {
            Rootless::True => true,
            Rootless::False => false,
            Rootless::Auto => !is_root() || in_user_namespace(),
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn in_user_namespace() -> bool {
    crate::user_namespace::own_ids().is_ok_and(|ids| !ids.are_the_hosts())
}

/// Whether this process may give any ids to a user namespace of its making.
pub fn may_map_ids() -> bool {
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    credentials::capabilities()
        .is_ok_and(|(effective, _)| effective & (SETGID | SETUID) == SETGID | SETUID)
}

/// Where the state is without `--root`: below `XDG_RUNTIME_DIR` for ordinary users, and for the root of a user
/// namespace unless it calls itself root. The folder gets the sticky bit there, so that cleaners of such places leave
/// it alone.
pub fn default_root() -> Result<PathBuf, RuntimeError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let named_root = std::env::var_os("USER").is_some_and(|user| user == "root");
    let own = !is_root() || in_user_namespace() && !named_root;
    let Some(runtime) = runtime.filter(|_| own) else {
        return Ok(PathBuf::from("/run/caisson"));
    };
    let root = PathBuf::from(runtime).join("caisson");
    std::fs::create_dir_all(&root).map_err(RuntimeError::file(&root, "mkdir"))?;
    let mode = std::fs::Permissions::from_mode(0o1700);
    std::fs::set_permissions(&root, mode).map_err(RuntimeError::file(&root, "chmod"))?;
    Ok(root)
}
