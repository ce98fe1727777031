//! `do`: a command in a throw-away sandbox over a read-only view of the host.
//!
//! The view: every folder at the host's root, read-only with all that is mounted below, except those that are made
//! anew: /dev, /proc, /sys, and the writable, empty /run and /tmp. Files of the host can be read as far as the user
//! can who asks; nothing is written to them. There is no network but loopback unless asked for. Mounts that do not answer
//! are left out, and told.
//!
//! The sandbox lives no longer than the command; what a killed one leaves is removed by the next.

pub mod answering;

use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::create::{Bundle, Life};
use super::{Context, delete, run as foreground};
use crate::RuntimeError;
use crate::log::Level;
use crate::spec::Spec;
use crate::spec::default;
use crate::spec::types::{Mount, User};
use crate::state::Status;
use answering::Mounts;

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

/// How ids begin; the rest is the pid of the command.
const PREFIX: &str = "caisson-do-";
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
    sweep(context);
    let id = format!("{PREFIX}{}", std::process::id());
    let folder = std::env::temp_dir().join(&id);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(RuntimeError::file(&folder, "mkdir"))?;
    let scratch = Scratch(folder.clone());
    let root = folder.join("rootfs");
    std::fs::create_dir(&root).map_err(RuntimeError::file(&root, "mkdir"))?;
    let spec = spec(context, arguments, &root)?;
    let file = folder.join("config.json");
    std::fs::write(&file, json!(spec).to_string()).map_err(RuntimeError::file(&file, "write"))?;
    let arguments = foreground::Arguments {
        id,
        bundle: Bundle {
            path: folder,
            life: Life::Callers,
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

/// Remove what commands have left that were killed: their sandboxes ended with them.
fn sweep(context: &Context) {
    for state in context.store.list().unwrap_or_default() {
        let left = state.id.starts_with(PREFIX)
            && state.status() == Status::Stopped
            && !state.creator.is_alive();
        if !left {
            continue;
        }
        let removed = context
            .store
            .entry(&state.id)
            .map_err(RuntimeError::from)
            .and_then(|entry| {
                let _lock = entry.lock()?;
                delete::destroy(context, &entry, &state)
            });
        match removed {
            Ok(()) => drop(Scratch(state.bundle)),
            Err(error) => context.log.write(Level::Warning, &error.to_string()),
        }
    }
}

fn spec(context: &Context, arguments: &Arguments, root: &Path) -> Result<Spec, RuntimeError> {
    let mut spec = default::spec();
    spec.mounts.splice(0..0, view(context, root)?);
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
fn view(context: &Context, root: &Path) -> Result<Vec<Mount>, RuntimeError> {
    let host = Path::new("/");
    let table = Path::new("/proc/self/mountinfo");
    let table = std::fs::read_to_string(table).map_err(RuntimeError::file(table, "read"))?;
    let host_mounts = Mounts::parse(&table);
    let silent = host_mounts.silent(|point| !is_own(point));
    for point in &silent {
        let text = format!("do: {}: does not answer: left out", point.display());
        context.log.write(Level::Warning, &text);
    }
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
            match silent.iter().find(|point| point.starts_with(&path)) {
                None => mounts.push(bound(text, "rbind")),
                // In a user namespace nothing is bound without what covers parts of it.
                Some(point) if **point == path || !crate::rootless::may_map_ids() => {}
                Some(_) => {
                    mounts.push(bound(text, "bind"));
                    // A mount that another one hides has no path.
                    let below = host_mounts.below(&path, &silent).into_iter();
                    let seen = below.filter(|point| point.symlink_metadata().is_ok());
                    let named = seen.filter_map(Path::to_str);
                    mounts.extend(named.map(|point| bound(point, "bind")));
                }
            }
        }
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(mounts)
}

/// A part of the host's tree at its own place; `how` is `bind` or `rbind`.
fn bound(path: &str, how: &str) -> Mount {
    Mount {
        destination: path.to_owned(),
        kind: "bind".into(),
        source: path.to_owned(),
        options: [how, "rro", "rnosuid", "rslave"]
            .map(str::to_owned)
            .to_vec(),
        ..Mount::default()
    }
}

/// Whether `path` is in a folder that the sandbox has of its own.
fn is_own(path: &Path) -> bool {
    let first = path.components().nth(1);
    first.is_some_and(|first| OWN.iter().any(|name| first.as_os_str() == *name))
}

fn working_directory(arguments: &Arguments) -> String {
    if let Some(cwd) = &arguments.cwd {
        return cwd.clone();
    }
    std::env::current_dir()
        .ok()
        .filter(|path| !is_own(path))
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| "/".to_owned())
}
