//! `create`: from a bundle to a container that waits for `start`.
//!
//! Every step has its undo: whatever fails, no process, cgroup, socket or folder is left.

use std::path::{Path, PathBuf};

use super::Context;
use crate::RuntimeError;
use crate::cgroup::{Cgroup, CgroupError, devices, host::Host, limits};
use crate::fault;
use crate::hooks;
use crate::log::Level;
use crate::process::ProcessId;
use crate::rootfs::{RootfsError, cgroups};
use crate::spec::schedule::{self, Which};
use crate::spec::types::Resources;
use crate::spec::{self, Spec, process};
use crate::state::{Entry, Phase, State, Status};
use crate::tier::{Blueprint, Committed, Kind, Newborn};
use crate::{console, inherited, namespace, net_devices, systemd};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the new container
    pub id: String,
    #[command(flatten)]
    pub bundle: Bundle,
    /// AF_UNIX socket that receives the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
}

/// What `create` and `run` have in common.
#[derive(Debug, Default, clap::Args)]
pub struct Bundle {
    /// Folder with config.json
    #[arg(long = "bundle", short = 'b', default_value = ".", value_name = "DIR")]
    pub path: PathBuf,
    /// Write the pid of the sandbox to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Pass N more descriptors to the container: 3, 4 and so on
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,
    /// Accepted for compatibility: where the root cannot be pivoted (a ramdisk), create fails all the same
    #[arg(long)]
    pub no_pivot: bool,
    /// Accepted for compatibility: guests have no keyrings
    #[arg(long, hide = true)]
    pub no_new_keyring: bool,
    /// How long the sandbox lives; no option says it
    #[arg(skip)]
    pub life: Life,
}

/// How long a sandbox lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// As long as its container.
    #[default]
    Own,
    /// No longer than the process that created it, however that ends.
    Callers,
}

/// Where the terminal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal<'a> {
    /// The caller goes away: a terminal needs a socket.
    Detached(Option<&'a Path>),
    /// The caller relays it.
    Foreground,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let terminal = Terminal::Detached(arguments.console_socket.as_deref());
    create(context, &arguments.id, &arguments.bundle, terminal).map(drop)
}

/// Create a container; its sandbox is a child of the calling process.
pub fn create(
    context: &Context,
    id: &str,
    bundle: &Bundle,
    terminal: Terminal<'_>,
) -> Result<(State, Committed), RuntimeError> {
    crate::state::check_id(id).map_err(crate::state::StateError::from)?;
    let folder = std::fs::canonicalize(&bundle.path)
        .map_err(RuntimeError::file(&bundle.path, "--bundle"))?;
    let mut spec = spec::load(&folder)?;
    if !context.rootless {
        devices::deny_by_default(&mut spec);
    }
    check_terminal(&spec, terminal)?;
    check_rootfs(&spec, &folder)?;
    let in_config = |error: spec::SpecError| error.in_file(&folder.join("config.json"));
    let init = spec
        .process
        .as_ref()
        .ok_or_else(|| in_config(spec::SpecError::missing("process")))?;
    let tier = context.sandbox.tier();
    if context.sandbox == Kind::Vm && !crate::rootless::may_map_ids() {
        let reason = "needs root: an ordinary user cannot confine the monitor of a virtual machine";
        return Err(RuntimeError::option("--sandbox", "vm", reason));
    }
    tier.check(&spec).map_err(in_config)?;
    if let Some(sets) = &init.capabilities {
        let unknown: Vec<&str> = spec::capability::unknown(sets).into_iter().collect();
        if !unknown.is_empty() {
            // In runc's words.
            let names = unknown.join(" ");
            let text = format!(
                "process.capabilities: ignoring unknown or unavailable capabilities: [{names}]"
            );
            context.log.write(Level::Warning, &text);
        }
    }
    for (field, place) in cgroups::asked_writable(&spec.mounts) {
        let text = format!("{field}: \"{place}\": cgroups are mounted read-only");
        context.log.write(Level::Warning, &text);
    }
    let listening = inherited::listening();
    let preserved = inherited::take(listening.saturating_add(bundle.preserve_fds))?;
    let mut process = process::translate(init).map_err(in_config)?;
    process
        .env
        .extend(inherited::listening_environment(listening));
    systemd::check(&spec).map_err(in_config)?;
    let namespaces = namespace::plan(&spec, &context.store).map_err(in_config)?;
    net_devices::check(&spec, &namespaces.network, context.rootless).map_err(in_config)?;
    let host = discover(context)?;
    let cgroup = plan_cgroup(context, &host, &spec, id)?;
    let creator = ProcessId::current().ok_or(RuntimeError::SandboxDied)?;
    let (entry, _lock) = context.store.create(id)?;
    fault::point("create.folder");
    let strace = context.debugging.strace(&spec).map_err(in_config)?;
    let transport = context.debugging.transport()?;
    let mut state = State {
        id: id.to_owned(),
        tier: tier.name().to_owned(),
        bundle: folder,
        created: crate::time::now(),
        phase: Phase::Creating,
        boot_id: crate::state::boot_id(),
        creator,
        sandbox: None,
        init: None,
        cgroup,
        transport,
        spec,
    };
    let mut undo = Undo {
        context,
        entry: &entry,
        sandbox: context.sandbox,
        cgroup: None,
        hooked: None,
        pid_file: None,
    };
    state.cgroup.check_vacant()?;
    entry.save(&state)?;
    fault::point("create.state");
    let limited = on_host(&state.spec, tier.on_host(&state.spec.linux.resources));
    let placeholder = if context.rootless && state.spec.linux.cgroups_path.is_empty() {
        state.cgroup.create_where_permitted(&host)?;
        None
    } else {
        state.cgroup.create(&host, &limited, id)?
    };
    fault::point("create.cgroup");
    undo.cgroup = Some(state.cgroup.clone());
    limits::apply(&state.cgroup, &limited.linux.resources)?;
    devices::apply(&state.cgroup, &devices::rules(&state.spec))?;
    fault::point("create.limits");
    let strace = match strace {
        Some(scope) => Some((context.debugging.open_log(&context.store, id)?, scope)),
        None => None,
    };
    let blueprint = Blueprint {
        entry: &entry,
        state: &state,
        namespaces,
        process,
        strace,
        log: context.log.for_sandbox()?,
        preserved,
    };
    let newborn = tier.create(&blueprint, &mut |sandbox| {
        let known = State {
            sandbox: Some(sandbox),
            ..state.clone()
        };
        undo.hooked = Some(known.clone());
        fault::point("create.mounted");
        net_devices::give(&known.spec.linux, sandbox)?;
        run_hooks(&known)
    })?;
    // The sandbox is where it belongs.
    drop(placeholder);
    if let Some(init) = &state.spec.process {
        schedule::apply(init, newborn.init.pid, Which::Init)?;
    }
    fault::point("create.created");
    (state.sandbox, state.init) = (Some(newborn.sandbox), Some(newborn.init));
    state.phase = Phase::Created;
    let committed = finish(&entry, &state, bundle, terminal, newborn, &mut undo)?;
    undo.disarm();
    Ok((state, committed))
}

/// The configuration with the limits that the host's cgroups get.
fn on_host(spec: &Spec, resources: Resources) -> Spec {
    let mut spec = spec.clone();
    spec.linux.resources = resources;
    spec
}

/// The host's cgroups. An ordinary user can do without any.
fn discover(context: &Context) -> Result<Host, RuntimeError> {
    match Host::discover() {
        Err(CgroupError::None) if context.rootless => Ok(Host::without()),
        other => Ok(other?),
    }
}

/// Without a path in config.json an ordinary user's containers are beside the caller's own cgroup, which is where it may
/// have been given some room.
fn plan_cgroup(
    context: &Context,
    host: &Host,
    spec: &Spec,
    id: &str,
) -> Result<Cgroup, RuntimeError> {
    let mut linux = spec.linux.clone();
    if context.rootless && linux.cgroups_path.is_empty() {
        linux.cgroups_path = host.beside_own(id);
    }
    Ok(Cgroup::plan(host, &linux, id, context.cgroups)?)
}

fn finish(
    entry: &Entry,
    state: &State,
    bundle: &Bundle,
    terminal: Terminal<'_>,
    newborn: Newborn,
    undo: &mut Undo<'_>,
) -> Result<Committed, RuntimeError> {
    if let (Some(master), Terminal::Detached(Some(socket))) = (&newborn.console, terminal) {
        console::send(socket, master)?;
    }
    if let Some(path) = &bundle.pid_file {
        undo.pid_file = Some(path.clone());
        write_pid(path, newborn.sandbox.pid)?;
    }
    fault::point("create.pid-file");
    entry.save(state)?;
    fault::point("create.saved");
    match bundle.life {
        Life::Own => newborn.commit(),
        Life::Callers => newborn.tie(),
    }
}

/// Written aside and renamed, so that a watcher never reads half a number.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<(), RuntimeError> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let result =
        std::fs::write(&aside, pid.to_string()).and_then(|()| std::fs::rename(&aside, path));
    if result.is_err() {
        std::fs::remove_file(&aside).ok();
    }
    result.map_err(RuntimeError::file(path, "--pid-file"))
}

fn run_hooks(state: &State) -> Result<(), RuntimeError> {
    let hooks = &state.spec.hooks;
    if hooks.prestart.is_empty() && hooks.create_runtime.is_empty() {
        return Ok(());
    }
    let document = state.for_hooks(Status::Creating);
    hooks::run("prestart", &hooks.prestart, &document)?;
    Ok(hooks::run(
        "createRuntime",
        &hooks.create_runtime,
        &document,
    )?)
}

fn check_terminal(spec: &Spec, terminal: Terminal<'_>) -> Result<(), RuntimeError> {
    let wanted = spec
        .process
        .as_ref()
        .is_some_and(|process| process.terminal);
    let option = "--console-socket";
    match terminal {
        Terminal::Detached(None) if wanted => Err(RuntimeError::option(
            option,
            "",
            "needed: config.json: process.terminal is true and nobody else relays it",
        )),
        Terminal::Detached(Some(path)) if !wanted => Err(RuntimeError::option(
            option,
            path.display(),
            "config.json: process.terminal is not true",
        )),
        _ => Ok(()),
    }
}

fn check_rootfs(spec: &Spec, bundle: &Path) -> Result<(), RuntimeError> {
    let path = bundle.join(
        spec.root
            .as_ref()
            .map(|root| root.path.as_path())
            .unwrap_or(Path::new("")),
    );
    let fail = |source| RootfsError::Root {
        path: path.display().to_string(),
        source,
    };
    let meta = std::fs::metadata(&path).map_err(fail)?;
    if !meta.is_dir() {
        return Err(fail(std::io::Error::from_raw_os_error(libc::ENOTDIR)).into());
    }
    Ok(())
}

/// Takes back what an unfinished `create` has done. The sandbox itself ends with its life line, before this.
struct Undo<'a> {
    context: &'a Context,
    entry: &'a Entry,
    sandbox: Kind,
    cgroup: Option<Cgroup>,
    /// Set once hooks may have run: then poststop hooks run as well.
    hooked: Option<State>,
    pid_file: Option<PathBuf>,
}

impl Undo<'_> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let warn = |message: String| self.context.log.write(Level::Warning, &message);
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup
                .kill_all(&|pid| self.sandbox.tier().unblock(pid))
                .and_then(|()| cgroup.remove())
        {
            warn(error.to_string());
        }
        if let Some(state) = &self.hooked {
            if let Err(error) = self.sandbox.tier().clean(self.entry, state) {
                warn(error.to_string());
            }
            let document = state.for_hooks(Status::Stopped);
            for error in hooks::run_all("poststop", &state.spec.hooks.poststop, &document) {
                warn(error.to_string());
            }
        }
        if let Some(path) = &self.pid_file {
            // It may never have been written.
            std::fs::remove_file(path).ok();
        }
        if let Err(error) = self.entry.remove() {
            warn(error.to_string());
        }
    }
}
