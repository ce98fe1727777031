//! What can go wrong in the guest.

use std::io;

use caisson_wire::WireError;
use caisson_wire::agent::Stdio;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("{step} {what}: {source}")]
    Step {
        step: &'static str,
        what: String,
        source: io::Error,
    },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the host speaks version {0} of the agent's messages, not {ours}", ours = caisson_wire::agent::VERSION)]
    Version(u32),
    #[error("container id \"{0}\" cannot be a file name")]
    Id(String),
    #[error("{0}: not a limit of a control group")]
    Limit(String),
    /// libcontainer's own words.
    #[error("{0}")]
    Container(String),
    #[error("network: {0}")]
    Network(caisson_network::NetworkError),
    /// a network device has no interface
    #[error("{0}: no interface is there")]
    NoInterface(String),
    #[error("container {0} does not run, but its namespaces are to be joined")]
    NoContainer(String),
    #[error("process {0} does not exist")]
    NoProcess(u64),
    #[error("process {process} has no {file:?}, or it is connected already")]
    NoFile { process: u64, file: Stdio },
}

impl AgentError {
    /// For `map_err` on what was done with `what`.
    pub(crate) fn step<E: Into<io::Error>>(
        step: &'static str,
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> AgentError {
        let what = what.into();
        move |source| AgentError::Step {
            step,
            what,
            source: source.into(),
        }
    }
}
