//! `hold`: the process that keeps a sandbox's namespaces while no container runs; how `serve` runs this
//! binary for the sandbox API, which has no pause container.
//!
//! Run once to make the namespaces, it runs itself again as pid 1 of the new pid namespace, tells that
//! process's pid and ends. The second one ends when its standard input does, which is the shim's end.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, wait};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use signal_hook::consts::{SIGCHLD, SIGTERM};

use crate::args::Flags;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    if rustix::process::getpid().is_init() {
        return hold();
    }
    if !flags.netns.is_empty() {
        let netns = File::open(&flags.netns).with_context(|| format!("open {}", flags.netns))?;
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter {}", flags.netns))?;
    }
    let new = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
    unshare(new).context("unshare")?;
    if !flags.hostname.is_empty() {
        rustix::system::sethostname(flags.hostname.as_bytes()).context("sethostname")?;
    }
    let held = Command::new(std::env::current_exe().context("path of this program")?)
        .args(["-id", &flags.id, "hold"])
        .current_dir("/")
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("run the holding process")?;
    print!("{}", held.id());
    std::io::stdout().flush().context("standard output")
}

/// Collect the children of others, until the shim is gone.
fn hold() -> anyhow::Result<()> {
    let (waker, child_ended) = UnixStream::pair().context("socketpair")?;
    waker.set_nonblocking(true).context("O_NONBLOCK")?;
    child_ended.set_nonblocking(true).context("O_NONBLOCK")?;
    signal_hook::low_level::pipe::register(SIGCHLD, waker).context("SIGCHLD")?;
    // As pid 1 it would not even notice.
    signal_hook::flag::register_conditional_shutdown(
        SIGTERM,
        0,
        std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)),
    )
    .context("SIGTERM")?;
    let stdin = std::io::stdin();
    loop {
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&child_ended, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        let mut notice = [0; 64];
        while matches!(rustix::io::read(&child_ended, &mut notice), Ok(n) if n > 0) {}
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
}
