//! Ctrl-C and a polite kill end the program that we are waiting for, not us: the error it leaves us with
//! unwinds through the guards that clean up.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

/// Keeps SIGINT, SIGTERM and SIGHUP from ending this process. Returns a flag that becomes true on the first.
pub(crate) fn catch() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot handle signals")?;
    }
    Ok(flag)
}
