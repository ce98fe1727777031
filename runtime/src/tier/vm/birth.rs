//! The sandbox process, from its execution to its end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use caisson_wire::agent::{Create, Ended, Opening, Root, VERSION};
use caisson_wire::network::Network;

use super::files::ROOT_IMAGE;
use super::life::{Life, Machine, Terminal, block_signals};
use super::message::{Description, Down, Rootfs, Up};
use super::monitor::Monitor;
use super::session::Session;
use super::{guest, member, namespaces, network, usage};
use crate::tier::edges;
use crate::tier::life::{die_with, watch};
use crate::{RuntimeError, hooks};

/// `caisson-vm ID BOOT_FD PARENT_PID`, and the program of the guest that it stands for.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let mut next = || arguments.next().unwrap_or_default();
    let (_id, boot, parent) = (next(), next(), next());
    let boot = boot.parse().ok().and_then(edges::take_inherited);
    let (Some(boot), Ok(parent)) = (boot, parent.parse()) else {
        eprintln!("caisson-vm is started by caisson create only");
        return ExitCode::FAILURE;
    };
    end(&boot, live(&boot, parent))
}

/// End as the guest's process ended. Whoever waits for the boot socket hears of an error.
pub(super) fn end(boot: &OwnedFd, outcome: Result<Ended, RuntimeError>) -> ExitCode {
    match outcome {
        Ok(Ended::Exited(code)) => ExitCode::from(code),
        Ok(Ended::Signaled(signal)) => edges::die_by(signal.into()),
        Err(error) => {
            let message = match error {
                RuntimeError::Sandbox { message } => message,
                other => other.to_string(),
            };
            // Nobody listens any more once the process has begun; then it ends as one does that is killed.
            let failed = Up::Failed { message };
            if caisson_wire::send(boot.as_fd(), &failed, &[]).is_err() {
                edges::die_by(libc::SIGKILL);
            }
            ExitCode::FAILURE
        }
    }
}

fn live(boot: &OwnedFd, parent: i32) -> Result<Ended, RuntimeError> {
    die_with(parent)?;
    let (message, fds) = caisson_wire::receive::<Down>(boot.as_fd())?;
    let mut fds = fds.into_iter();
    let (Down::Build(description), Some(control), Some(life_line)) =
        (message, fds.next(), fds.next())
    else {
        return Err(RuntimeError::SandboxDied);
    };
    // Before there are threads, see `join_as_kernel`.
    description.cgroup.join_as_kernel()?;
    rustix::process::setsid().map_err(RuntimeError::step("setsid"))?;
    rustix::process::chdir("/").map_err(RuntimeError::step("chdir"))?;
    block_signals()?;
    namespaces::enter(&description.namespaces)?;
    usage::prepare(&description.folder)?;
    if let Some(membership) = &description.membership {
        return member::live(boot, &description, membership, control, life_line);
    }
    if let Rootfs::Image { source, .. } = &description.rootfs {
        guest::root_image(source, &description.folder.join(ROOT_IMAGE))?;
    }
    caisson_wire::send(boot.as_fd(), &Up::Mounted, &[])?;
    let (Down::GoOn, _) = caisson_wire::receive::<Down>(boot.as_fd())? else {
        return Err(RuntimeError::SandboxDied);
    };
    create_container(&description)?;
    let network = network::PodNetwork::read(&description.namespaces.network)?;
    let monitor = Monitor::start(&description, network.taps())?;
    let mut machine = Machine {
        monitor,
        network,
        folder: description.folder.clone(),
    };
    let terminal = description.terminal.map(Terminal::open).transpose()?;
    let session = Session::open(
        &description.folder,
        &Opening::Create(request(&description, Some(machine.network.for_guest()))),
        Duration::from_secs(description.boot_limit_s),
        &mut || machine.ended(),
    )?;
    machine.network.connect()?;
    machine.monitor.settle(&description.cgroup)?;
    let (master, slave) = terminal.map(|both| (both.master, both.slave)).unzip();
    let life = Life::begin(session, slave)?.counting(&description.folder);
    life.serve(control)?;
    watch(life_line)?;
    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    caisson_wire::send(boot.as_fd(), &Up::Ready, &fds)?;
    drop(fds);
    drop(master);
    life.follow(Some(&mut machine))
}

/// Run the createContainer hooks, in the namespaces that the host has of the container. What they mount is seen by
/// the guest, whose shares are made afterwards, and not by the host.
pub(super) fn create_container(description: &Description) -> Result<(), RuntimeError> {
    if description.create_container.is_empty() {
        return Ok(());
    }
    namespaces::leave_mounts()?;
    let mut state = description.hook_state.clone();
    state["pid"] = std::process::id().into();
    let hooks = &description.create_container;
    Ok(hooks::run("createContainer", hooks, &state)?)
}

pub(super) fn request(description: &Description, network: Option<Network>) -> Create {
    Create {
        version: VERSION,
        id: description.id.clone(),
        config: description.config.clone(),
        limits: description.limits.clone(),
        root: match &description.rootfs {
            Rootfs::Shared => Root::Share {
                name: description.shares[0].name.clone(),
            },
            Rootfs::Image { read_only, .. } => Root::Device {
                path: "/dev/vda".to_owned(),
                read_only: *read_only,
            },
        },
        shares: !description.shares.is_empty(),
        network,
        joined: BTreeMap::new(),
        time_ns: usage::now_ns(),
    }
}
