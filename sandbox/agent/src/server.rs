//! Takes connections from the host, one thread each.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use caisson_wire::agent::{self, MAX_DOWN_BYTES, Opening, PORT};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, listen, socket,
};

use crate::error::AgentError;
use crate::table::Table;
use crate::{answer, session, stream};

/// Small: a session's thread holds nothing large on its stack.
const STACK_BYTES: usize = 256 << 10;

/// Calls `ready` once the host can connect, and never returns but with an error.
pub(crate) fn serve(ready: impl FnOnce()) -> Result<(), AgentError> {
    let fail = |step| AgentError::step::<nix::Error>(step, format!("vsock port {PORT}"));
    let listener = socket(
        AddressFamily::Vsock,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(fail("socket for"))?;
    let address = VsockAddr::new(libc_any(), PORT);
    bind(listener.as_raw_fd(), &address).map_err(fail("bind"))?;
    listen(&listener, Backlog::new(64).unwrap_or(Backlog::MAXCONN)).map_err(fail("listen at"))?;

    let table = Arc::new(Table::default());
    let reaper = Arc::clone(&table);
    start("reaper", move || reaper.reap_for_ever())?;
    ready();
    loop {
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(number) => {
                let connection = own(number);
                let table = Arc::clone(&table);
                // Without a thread the connection ends, which tells the host.
                if let Err(error) = start("connection", move || converse(&table, connection)) {
                    eprintln!("caisson-agent: {error}");
                }
            }
            Err(nix::Error::EINTR | nix::Error::ECONNABORTED) => {}
            Err(errno) => return Err(fail("accept at")(errno)),
        }
    }
}

/// VMADDR_CID_ANY.
const fn libc_any() -> u32 {
    u32::MAX
}

#[expect(unsafe_code, reason = "accept4 of nix returns a bare number")]
fn own(number: i32) -> File {
    // SAFETY: the kernel has just made the descriptor for us; nobody else knows its number.
    File::from(unsafe { OwnedFd::from_raw_fd(number) })
}

pub(crate) fn start(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<(), AgentError> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map(drop)
        .map_err(AgentError::step("start thread", name))
}

fn converse(table: &Arc<Table>, mut connection: File) {
    let outcome = match agent::read::<Opening>(&mut connection, MAX_DOWN_BYTES) {
        Ok(Opening::Create(create)) => session::create(table, &connection, &create),
        Ok(Opening::Exec(exec)) => session::exec(table, &connection, &exec),
        Ok(Opening::Ask {
            container,
            question,
        }) => answer::answer(&connection, &container, &question),
        Ok(Opening::Stream { process, file }) => stream::carry(table, connection, process, file),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        eprintln!("caisson-agent: {error}");
    }
}
