//! A connection with one question about a container.

use std::fs::File;

use caisson_wire::agent::{self, Question, Report};

use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::clock;
use crate::error::AgentError;

pub(crate) fn answer(
    connection: &File,
    container: &str,
    question: &Question,
) -> Result<(), AgentError> {
    let report = Bundle::new(container)
        .and_then(|bundle| find(&Cgroup::of(&bundle), question))
        .unwrap_or_else(|error| Report::Failed {
            message: error.to_string(),
        });
    Ok(agent::write(&mut &*connection, &report)?)
}

fn find(cgroup: &Cgroup, question: &Question) -> Result<Report, AgentError> {
    match question {
        Question::Usage => Ok(Report::Usage {
            files: cgroup.usage(),
        }),
        Question::Limits(files) => cgroup.limit(files).map(|()| Report::Done),
        Question::SignalAll(signal) => {
            cgroup.signal(*signal);
            Ok(Report::Done)
        }
        Question::Awake { time_ns, entropy } => {
            clock::stir(entropy)?;
            clock::set(*time_ns).map(|()| Report::Done)
        }
    }
}
