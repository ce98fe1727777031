//! Runs a program quietly and keeps its output for the error message.

use std::process::{Command, Stdio};

use crate::ImageError;

/// How much of a failed program's output an error carries.
const TAIL_BYTES: usize = 4000;

/// Runs `command` to its end; its output is returned, or shown in the error.
pub(crate) fn run(command: &mut Command) -> Result<String, ImageError> {
    let program = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ImageError::Spawn {
            program: program.clone(),
            source,
        })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let text = stdout + &String::from_utf8_lossy(&output.stderr);
    let mut start = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    Err(ImageError::Failed {
        program,
        status: output.status,
        output: text[start..].to_owned(),
    })
}
