//! The sandbox process, from its execution to the app kernel's main loop and its end.
//!
//! It must never outlive a `create` that did not commit it, and never keep a path to the host's tree.

use std::os::fd::{AsFd, OwnedFd};

use caisson_kernel::{Boot, Held, NamespaceKind, Prepared, Termination};
use caisson_wire::BootReply;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::entrance::{self, Belongings, Entered};
use super::message::{Description, Down, Up};
use super::namespaces::{self, Joined};
use super::{devices, lend, subscriber};
use crate::RuntimeError;
use crate::cgroup;
use crate::fault;
use crate::namespace::Origin;
use crate::rootfs::{KernelMounts, Lent, Nodes, Plan as TreePlan, Tree};
use crate::spec::{home, memory_policy, seccomp};
use crate::tier::edges;
use crate::tier::life::{die_with, watch};

/// `caisson-kernel ID BOOT_FD PARENT_PID [ENTERED]`: never returns.
pub fn main(arguments: impl Iterator<Item = String>) -> ! {
    let Some(start) = Start::from(arguments) else {
        eprintln!("caisson-kernel is started by caisson create only");
        std::process::exit(1);
    };
    // Threads that serve /proc must not wait for themselves, nor any thread for a file that guests have put there.
    caisson_sys::allocator::use_one_arena();
    let Start {
        id,
        boot,
        parent,
        belongings,
    } = start;
    match live(&id, &boot, parent, belongings) {
        Ok(Termination::Exited(code)) => std::process::exit(code),
        Ok(Termination::Signaled(signal)) => edges::die_by(signal),
        Err(error) => {
            // Nobody listens any more once the container has been created.
            caisson_wire::send(
                boot.as_fd(),
                &BootReply::Failed {
                    message: error.to_string(),
                },
                &[],
            )
            .ok();
            std::process::exit(1);
        }
    }
}

struct Start {
    id: String,
    boot: OwnedFd,
    parent: i32,
    /// What the first execution left to this one, which is in the container's user namespace.
    belongings: Option<Belongings>,
}

impl Start {
    fn from(mut arguments: impl Iterator<Item = String>) -> Option<Start> {
        let id = arguments.next()?;
        let boot = arguments.next()?.parse().ok()?;
        let parent = arguments.next()?.parse().ok()?;
        let (boot, belongings) = match arguments.next() {
            None => (edges::take_inherited(boot)?, None),
            Some(text) => {
                let entered: Entered = serde_json::from_str(&text).ok()?;
                let (boot, belongings) = entered.take(boot)?;
                (boot, Some(belongings))
            }
        };
        Some(Start {
            id,
            boot,
            parent,
            belongings,
        })
    }
}

fn live(
    id: &str,
    boot: &OwnedFd,
    parent: i32,
    belongings: Option<Belongings>,
) -> Result<Termination, RuntimeError> {
    die_with(parent)?;
    let (message, fds) = caisson_wire::receive::<Down>(boot.as_fd())?;
    let mut fds = fds.into_iter();
    if let (Down::Enter(entrance), None) = (&message, &belongings) {
        let user = fds.next().ok_or(RuntimeError::SandboxDied)?;
        return Err(entrance::enter(entrance, &user, boot, id, parent));
    }
    let (Down::Build(description), Some(control), Some(life_line)) =
        (message, fds.next(), fds.next())
    else {
        return Err(RuntimeError::SandboxDied);
    };
    let strace = description
        .strace
        .and_then(|scope| Some((fds.next()?, scope)));
    let log = description
        .log
        .and_then(|format| Some((format, fds.next()?)));
    if let Some((format, log)) = log {
        subscriber::install(log.into(), format);
    }
    let (cgroups, lent) = match &description.lent {
        Some(loan) => lend::receive(loan, &mut fds).ok_or(RuntimeError::SandboxDied)?,
        None => (description.cgroup.guest_files()?, Lent::default()),
    };
    let preserved = fds.collect();
    if belongings.is_none() {
        // Before there are threads, see `join_as_kernel`.
        description.cgroup.join_as_kernel()?;
        fault::point("sandbox.joined");
    }
    detach()?;
    let Settled {
        join,
        oom_score_adj,
        held,
    } = settle(&description, belongings)?;
    let nodes = if held.host_mounts.is_some() {
        Nodes::Bound
    } else {
        Nodes::Made
    };
    fault::point("sandbox.namespaces");
    let loopback = (description.namespaces.network == Origin::New)
        .then(namespaces::start_loopback)
        .transpose()?;
    let prepared = Prepared::new(held).map_err(sandbox)?;
    let tree = Tree::assemble(&TreePlan {
        spec: &description.spec,
        bundle: &description.bundle,
        kernel: &Mounts(&prepared),
        cgroup: &description.cgroup,
        lent: &lent,
        nodes,
    })?;
    drop(lent);
    let mut kernel_boot = plan(&description, boot, control, join)?;
    kernel_boot.guest_cgroups = cgroups;
    kernel_boot.strace = strace;
    kernel_boot.preserved = preserved;
    let init = &mut kernel_boot.process;
    init.oom_score_adj = init.oom_score_adj.or(Some(oom_score_adj));
    home::complete(&mut init.env, init.uid, tree.root());
    if let Some(thread) = loopback {
        let done = thread.join().unwrap_or(Err(rustix::io::Errno::IO));
        done.map_err(RuntimeError::step("bring lo up"))?;
    }
    fault::point("sandbox.mounted");
    caisson_wire::send(boot.as_fd(), &Up::Mounted, &[])?;
    let (Down::GoOn, _) = caisson_wire::receive::<Down>(boot.as_fd())? else {
        return Err(RuntimeError::SandboxDied);
    };
    let mut hook_state = description.hook_state.clone();
    hook_state["pid"] = std::process::id().into();
    crate::hooks::run(
        "createContainer",
        &description.spec.hooks.create_container,
        &hook_state,
    )?;
    tree.enter()?;
    fault::point("sandbox.entered");
    watch(life_line)?;
    caisson_kernel::run(prepared, kernel_boot).map_err(sandbox)
}

fn sandbox(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Sandbox {
        message: error.to_string(),
    }
}

/// What comes of being in all namespaces.
struct Settled {
    /// What the guest has to join.
    join: Vec<(NamespaceKind, OwnedFd)>,
    /// What the guest gets unless another value is asked for.
    oom_score_adj: i32,
    /// What the app kernel has from before.
    held: Held,
}

/// Be in all namespaces.
fn settle(
    description: &Description,
    belongings: Option<Belongings>,
) -> Result<Settled, RuntimeError> {
    let (pid, oom_score_adj, mut held, joined) = match belongings {
        Some(own) => (own.pid, own.oom_score_adj, own.held, Joined::Already),
        None => (None, spare_from_oom(), Held::default(), Joined::Not),
    };
    let own = crate::user_namespace::own_ids()?;
    if !own.are_the_hosts() {
        held.host_mounts = Some(namespaces::keep_host_mounts()?);
    }
    let join = namespaces::enter(description, joined, pid)?;
    Ok(Settled {
        join,
        oom_score_adj,
        held,
    })
}

/// A container that is out of memory should lose a guest process, not the app kernel. Returns our value as it was.
pub(super) fn spare_from_oom() -> i32 {
    const FILE: &str = "/proc/self/oom_score_adj";
    /// -1000 would be "never".
    const LAST: &str = "-999";
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    let before = text.trim().parse().unwrap_or(0);
    // Hosts without CAP_SYS_RESOURCE do not permit it; there the larger process goes first.
    std::fs::write(FILE, LAST).ok();
    before
}

/// A session of its own, and deaf to what a terminal or an init system sends to whole groups. The signals are
/// blocked rather than ignored: a guest must inherit neither, and resets its mask.
fn detach() -> Result<(), RuntimeError> {
    rustix::process::setsid().map_err(RuntimeError::step("setsid"))?;
    rustix::thread::set_name(c"caisson-kernel").map_err(RuntimeError::step("PR_SET_NAME"))?;
    rustix::process::chdir("/").map_err(RuntimeError::step("chdir"))?;
    let deaf_to = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGWINCH,
    ];
    let set: SigSet = deaf_to.into_iter().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).map_err(RuntimeError::step("sigprocmask"))
}

/// Everything the app kernel is told, opened while the host's tree is still there.
fn plan(
    description: &Description,
    boot: &OwnedFd,
    control: OwnedFd,
    join: Vec<(NamespaceKind, OwnedFd)>,
) -> Result<Boot, RuntimeError> {
    let spec = &description.spec;
    let process = spec.process.as_ref();
    let size = process
        .and_then(|process| process.console_size.clone())
        .unwrap_or_default();
    let console = description
        .process
        .terminal
        .then_some(caisson_kernel::ConsoleSize {
            rows: size.height as u16,
            columns: size.width as u16,
        });
    let names = rustix::system::uname();
    Ok(Boot {
        id: description.id.clone(),
        hostname: names.nodename().to_string_lossy().into_owned(),
        domainname: names.domainname().to_string_lossy().into_owned(),
        process: description.process.clone(),
        control,
        boot: boot.try_clone().map_err(RuntimeError::step("dup"))?,
        console,
        guest_cgroups: Vec::new(),
        cgroup_dirs: description.cgroup.directories()?,
        join,
        devices: devices::rules(&cgroup::devices::rules(spec)),
        sysctl: spec
            .linux
            .sysctl
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        readonly_root: spec.root.as_ref().is_some_and(|root| root.readonly),
        covers: [&spec.linux.masked_paths, &spec.linux.readonly_paths]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        transport: description.transport,
        strace: None,
        preserved: Vec::new(),
        memory_policy: memory_policy::translate(&spec.linux.memory_policy)?,
        profile: seccomp::profile(spec)?,
        personality: spec.linux.personality(),
    })
}

/// Lets the mount tree ask the app kernel for its file systems.
struct Mounts<'a>(&'a Prepared);

impl KernelMounts for Mounts<'_> {
    fn mount_proc(&self, target: &std::path::Path) -> Result<(), String> {
        self.0.mount_proc(target).map_err(|error| error.to_string())
    }

    fn mount_sys(&self, target: &std::path::Path, read_only: bool) -> Result<(), String> {
        self.0
            .mount_sys(target, read_only)
            .map_err(|error| error.to_string())
    }
}
