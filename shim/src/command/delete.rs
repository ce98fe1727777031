//! `delete`: clean up after a shim that is gone. containerd runs this; whatever the shim was doing
//! when it died, nothing of the container may be left.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;

use crate::args::Flags;
use crate::bundle::{self, Config};
use crate::events::timestamp;
use crate::mount::unmount_rootfs;
use crate::options::Options;
use crate::reaper::{Exit, Reaper};
use crate::runtime::{Force, Runtime, RuntimeError};
use crate::service::PID_FILE;
use crate::{cgroup, socket};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let bundle = if flags.bundle.is_empty() {
        env::current_dir().context("current directory")?
    } else {
        PathBuf::from(&flags.bundle)
    };
    if !bundle::is_deleted(&bundle) {
        clean_up(flags, &bundle)?;
    }
    if let Some(dead) = socket::of_bundle(&bundle).filter(|socket| !socket::answers(socket)) {
        socket::remove(&dead);
    }
    let exit = Exit::killed();
    let pid = fs::read_to_string(bundle.join(PID_FILE))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let response = DeleteResponse {
        pid: pid.unwrap_or(0),
        exit_status: exit.status,
        exited_at: timestamp(exit.at),
        ..DeleteResponse::default()
    };
    let bytes = response.write_to_bytes().context("answer")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("standard output")
}

fn clean_up(flags: &Flags, bundle: &Path) -> anyhow::Result<()> {
    let reaper = Reaper::start().context("reaper")?;
    let runtime = Runtime::new(
        &Options::load(bundle),
        &flags.namespace,
        bundle,
        &flags.id,
        reaper,
    );
    let deleted = runtime.delete(Force::Yes);
    let config = Config::load(bundle).unwrap_or_default();
    cgroup::remove_leftovers(&config.linux.cgroups_path, &flags.id);
    unmount_rootfs(&bundle.join("rootfs"));
    match deleted {
        Ok(()) | Err(RuntimeError::NoSuchContainer(_)) => {}
        // Everything else is cleaned up; containerd logs what is said here.
        Err(error) => eprintln!("delete of {}: {error}", flags.id),
    }
    Ok(())
}
