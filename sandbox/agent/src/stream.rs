//! Carries bytes between a process's file and a connection, as fast as the slower of the two.

use std::fs::File;
use std::io::{self, Read, Write};

use caisson_wire::agent::Stdio;
use rustix::net::Shutdown;

use crate::error::AgentError;
use crate::server;
use crate::table::Table;

const CHUNK_BYTES: usize = 32 << 10;

/// Returns when the file or the connection has ended.
pub(crate) fn carry(
    table: &Table,
    connection: File,
    process: u64,
    file: Stdio,
) -> Result<(), AgentError> {
    let end = table.take(process, file)?;
    match file {
        // Dropping the write end is the process's end of file.
        Stdio::In => copy(&connection, &end),
        Stdio::Out | Stdio::Err => {
            copy(&end, &connection);
            finish(&connection);
        }
        Stdio::Console => {
            let clone = |file: &File| {
                file.try_clone()
                    .map_err(AgentError::step("duplicate", "a stream"))
            };
            let (from_host, to_console) = (clone(&connection)?, clone(&end)?);
            server::start("console", move || copy(&from_host, &to_console))?;
            copy(&end, &connection);
            finish(&connection);
        }
    }
    Ok(())
}

/// The host is told that there is nothing more; it may have gone.
fn finish(connection: &File) {
    rustix::net::shutdown(connection, Shutdown::Write).ok();
}

/// Until either side ends. A terminal whose other side is closed reads as EIO, which is its end of file.
fn copy(mut from: &File, mut to: &File) {
    let mut chunk = vec![0u8; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                if to.write_all(&chunk[..length]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
