//! `do`: a command in a throw-away sandbox over a read-only view of the host.
//!
//! The view: every folder at the host's root, read-only with all that is mounted below, except those that are made
//! anew: /dev, /proc, /sys, and the writable, empty /run and /tmp. Files of the host can be read as far as the user
//! can who asks; nothing is written to them. There is no network but loopback unless asked for.

use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::create::Bundle;
use super::{Context, run as foreground};
use crate::RuntimeError;
use crate::spec::Spec;
use crate::spec::default;
use crate::spec::types::{Mount, User};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Use the host's network
    #[arg(long)]
    pub network: bool,
    /// Working directory; the caller's own if the sandbox has it
    #[arg(long)]
    pub cwd: Option<String>,
    /// UID[:GID]
    #[arg(long, short = 'u')]
    pub user: Option<String>,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// What the sandbox has of its own.
const OWN: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "lost+found"];
/// What a program needs to find others and to know its terminal.
const PASSED_ON: [&str; 6] = ["PATH", "TERM", "LANG", "LC_ALL", "HOME", "USER"];

/// The bundle's folder, removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Mounts exist in the sandbox alone; should one be left here, rmdir fails rather than emptying it.
        let root = self.0.join("rootfs");
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path())
                .or_else(|_| std::fs::remove_dir(entry.path()))
                .ok();
        }
        std::fs::remove_dir(root).ok();
        std::fs::remove_file(self.0.join("config.json")).ok();
        std::fs::remove_dir(&self.0).ok();
    }
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<u8, RuntimeError> {
    let id = format!("caisson-do-{}", std::process::id());
    let folder = std::env::temp_dir().join(&id);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(RuntimeError::file(&folder, "mkdir"))?;
    let scratch = Scratch(folder.clone());
    let root = folder.join("rootfs");
    std::fs::create_dir(&root).map_err(RuntimeError::file(&root, "mkdir"))?;
    let spec = spec(arguments, &root)?;
    let file = folder.join("config.json");
    std::fs::write(&file, json!(spec).to_string()).map_err(RuntimeError::file(&file, "write"))?;
    let arguments = foreground::Arguments {
        id,
        bundle: Bundle {
            path: folder,
            ..Bundle::default()
        },
        console_socket: None,
        detach: false,
        keep: false,
        no_subreaper: false,
    };
    let status = foreground::run(context, &arguments);
    drop(scratch);
    status
}

fn spec(arguments: &Arguments, root: &Path) -> Result<Spec, RuntimeError> {
    let mut spec = default::spec();
    spec.mounts.splice(0..0, view(root)?);
    for (index, place) in ["/run", "/tmp"].into_iter().enumerate() {
        spec.mounts.insert(index, writable(place));
    }
    spec.hostname = "caisson-do".into();
    spec.linux.masked_paths.clear();
    spec.linux.readonly_paths = vec!["/proc/sys".into()];
    if !crate::rootless::may_map_ids() {
        let own = spec.linux.namespaces.clone();
        default::make_rootless(&mut spec);
        let network = own
            .into_iter()
            .filter(|namespace| namespace.kind == "network");
        spec.linux.namespaces.extend(network);
    }
    if arguments.network {
        spec.linux
            .namespaces
            .retain(|namespace| namespace.kind != "network");
    }
    if let Some(process) = &mut spec.process {
        process.args = arguments.command.clone();
        process.terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        process.cwd = working_directory(arguments);
        process.env = PASSED_ON
            .iter()
            .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)))
            .collect();
        if let Some(user) = &arguments.user {
            let (uid, gid) = super::exec::user_of(user, 0)?;
            process.user = User {
                uid,
                gid,
                ..User::default()
            };
            process.capabilities = None;
        }
    }
    Ok(spec)
}

fn writable(destination: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: ["nosuid", "nodev", "mode=1777"].map(str::to_owned).to_vec(),
        ..Mount::default()
    }
}

/// Links at the host's root are made again, folders are bound.
fn view(root: &Path) -> Result<Vec<Mount>, RuntimeError> {
    let host = Path::new("/");
    let mut mounts = Vec::new();
    for entry in std::fs::read_dir(host).map_err(RuntimeError::file(host, "read"))? {
        let entry = entry.map_err(RuntimeError::file(host, "read"))?;
        let name = entry.file_name();
        let (path, inside) = (entry.path(), root.join(&name));
        let kind = entry
            .file_type()
            .map_err(RuntimeError::file(&path, "stat"))?;
        if OWN.iter().any(|own| name == *own) {
            continue;
        }
        if kind.is_symlink() {
            let target =
                std::fs::read_link(&path).map_err(RuntimeError::file(&path, "readlink"))?;
            std::os::unix::fs::symlink(target, &inside)
                .map_err(RuntimeError::file(&inside, "symlink"))?;
        } else if let Some(text) = path.to_str().filter(|_| kind.is_dir()) {
            mounts.push(Mount {
                destination: text.to_owned(),
                kind: "bind".into(),
                source: text.to_owned(),
                options: ["rbind", "rro", "rnosuid", "rslave"]
                    .map(str::to_owned)
                    .to_vec(),
                ..Mount::default()
            });
        }
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(mounts)
}

fn working_directory(arguments: &Arguments) -> String {
    if let Some(cwd) = &arguments.cwd {
        return cwd.clone();
    }
    let own = |path: &PathBuf| {
        let first = path.components().nth(1);
        first.is_some_and(|first| OWN.iter().any(|name| first.as_os_str() == *name))
    };
    std::env::current_dir()
        .ok()
        .filter(|path| !own(path))
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| "/".to_owned())
}
