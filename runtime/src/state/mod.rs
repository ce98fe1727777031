//! What is known of a container between two commands: `<root>/<id>/state.json`.
//!
//! [`Store`] is the root folder, [`Entry`] one container's folder, [`State`] its content. The file is
//! replaced atomically; whether a container runs is never read from it but derived from the processes it
//! names, so that a crash of any process leaves no lie behind.

mod id;
mod lock;
mod record;
mod store;

pub use id::{IdError, check_id};
pub use lock::Lock;
pub use record::{Phase, State, Status, boot_id};
pub use store::{Entry, Store};

use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("container does not exist: \"{id}\"")]
    NotFound { id: String },
    #[error("container with given ID already exists: \"{id}\"")]
    Exists { id: String },
    #[error("{path}: {step}: {source}")]
    File {
        path: String,
        step: &'static str,
        source: std::io::Error,
    },
    #[error("{path}: {reason}")]
    Corrupt { path: String, reason: String },
}

pub(crate) fn io(
    path: &Path,
    step: &'static str,
) -> impl FnOnce(std::io::Error) -> StateError + use<> {
    let path = path.display().to_string();
    move |source| StateError::File { path, step, source }
}
