//! `process` of config.json (or of `exec --process`) in the numbers the sandbox understands.

use caisson_wire::{CapabilitySets, ProcessSpec};

use super::types::Process;
use super::{SpecError, capability, rlimit};

/// Translate a checked process. Absent capabilities mean none, as the specification has it.
pub fn translate(from: &Process) -> Result<ProcessSpec, SpecError> {
    let capabilities = match &from.capabilities {
        Some(sets) => {
            capability::check(sets, "process.capabilities")?;
            capability::sets(sets)
        }
        None => CapabilitySets::default(),
    };
    Ok(ProcessSpec {
        args: from.args.clone(),
        env: from.env.clone(),
        cwd: from.cwd.clone(),
        uid: from.user.uid,
        gid: from.user.gid,
        additional_gids: from.user.additional_gids.clone(),
        umask: from.user.umask.unwrap_or(0o022),
        capabilities,
        no_new_privileges: from.no_new_privileges,
        rlimits: rlimit::limits(&from.rlimits, "process.rlimits")?,
        oom_score_adj: from.oom_score_adj,
        terminal: from.terminal,
    })
}

/// Every entry must be `NAME=value`, with a name.
pub fn environment(entries: &[String], field: &str) -> Result<(), SpecError> {
    for (index, entry) in entries.iter().enumerate() {
        if entry.find('=').is_none_or(|at| at == 0) {
            return Err(SpecError::invalid(
                format!("{field}[{index}]"),
                entry,
                "not of the form NAME=value",
            ));
        }
    }
    Ok(())
}
