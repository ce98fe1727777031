//! The process `caisson-vmm`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{Config, End, VmmError, machine};

/// Status of a machine whose guest crashed.
const CRASHED: u8 = 70;

/// Runs the machine of the configuration file (JSON) that is the only argument.
///
/// Status 0 when the guest shut down or reset its machine or the host stopped it, 70 when it crashed, and 1 with a
/// message when there was no machine.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: caisson-vmm CONFIG");
        return ExitCode::from(2);
    };
    match load(path.into()).and_then(|config| machine::run(&config)) {
        Ok(End::Shutdown | End::Reset | End::Stopped) => ExitCode::SUCCESS,
        Ok(End::TripleFault) => {
            eprintln!("caisson-vmm: the guest crashed (triple fault)");
            ExitCode::from(CRASHED)
        }
        Err(error) => {
            eprintln!("caisson-vmm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(path: PathBuf) -> Result<Config, VmmError> {
    let text = fs::read(&path).map_err(VmmError::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|source| VmmError::Json { path, source })
}
