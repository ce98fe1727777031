//! `run`: create and start, and unless detached stay until the container ends.

use std::path::PathBuf;

use super::create::{self, Bundle, Terminal};
use super::{Context, delete, foreground, start};
use crate::RuntimeError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    #[command(flatten)]
    pub bundle: Bundle,
    /// AF_UNIX socket that receives the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Return once the container runs
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Keep the state after the container has ended
    #[arg(long)]
    pub keep: bool,
    /// Accepted for compatibility: orphans of a guest stay in its pid namespace
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<u8, RuntimeError> {
    let terminal = match (&arguments.console_socket, arguments.detach) {
        (None, false) => Terminal::Foreground,
        (socket, _) => Terminal::Detached(socket.as_deref()),
    };
    let (state, committed) = create::create(context, &arguments.id, &arguments.bundle, terminal)?;
    let entry = context.store.entry(&arguments.id)?;
    if let Err(error) = start::start(&entry) {
        let _lock = entry.lock()?;
        delete::destroy(context, &entry, &state)?;
        return Err(error);
    }
    if arguments.detach {
        return Ok(0);
    }
    let console = committed
        .console
        .filter(|_| terminal == Terminal::Foreground);
    let child = committed.child.id() as i32;
    let status = foreground::stay(child, state.init, console)?;
    if !arguments.keep {
        let _lock = entry.lock()?;
        delete::destroy(context, &entry, &entry.load()?)?;
    }
    Ok(status)
}
