//! `update`: change limits of a container that exists.

use std::path::{Path, PathBuf};

use super::Context;
use crate::RuntimeError;
use crate::cgroup::limits;
use crate::spec::load;
use crate::spec::types::{Pids, Resources};
use crate::state::Status;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    /// File with a `linux.resources` object, - for standard input; the other options are then ignored
    #[arg(long, short = 'r', value_name = "FILE")]
    pub resources: Option<PathBuf>,
    #[arg(long)]
    pub blkio_weight: Option<u16>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    #[arg(long)]
    pub cpu_share: Option<u64>,
    #[arg(long)]
    pub cpuset_cpus: Option<String>,
    #[arg(long)]
    pub cpuset_mems: Option<String>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<i64>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    #[arg(long, allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let entry = context.store.entry(&arguments.id)?;
    let _lock = entry.lock()?;
    let state = entry.load()?;
    let status = state.status();
    if matches!(status, Status::Stopped | Status::Creating) {
        return Err(RuntimeError::WrongStatus {
            action: "update",
            status,
        });
    }
    Ok(limits::apply(&state.cgroup, &wanted(arguments)?)?)
}

fn wanted(arguments: &Arguments) -> Result<Resources, RuntimeError> {
    match &arguments.resources {
        Some(path) if path == Path::new("-") => {
            return Ok(load::parse(std::io::stdin().lock(), "standard input")?);
        }
        Some(path) => return Ok(load::document(path)?),
        None => {}
    }
    let mut resources = Resources::default();
    resources.block_io.weight = arguments.blkio_weight;
    resources.cpu.period = arguments.cpu_period;
    resources.cpu.quota = arguments.cpu_quota;
    resources.cpu.shares = arguments.cpu_share;
    resources.cpu.cpus = arguments.cpuset_cpus.clone().unwrap_or_default();
    resources.cpu.mems = arguments.cpuset_mems.clone().unwrap_or_default();
    resources.memory.limit = arguments.memory;
    resources.memory.reservation = arguments.memory_reservation;
    resources.memory.swap = arguments.memory_swap;
    resources.pids = arguments
        .pids_limit
        .map(|limit| Pids { limit: Some(limit) });
    Ok(resources)
}
