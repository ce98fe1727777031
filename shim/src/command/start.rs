//! `start`: bring up the serving shim for a container, or find the one of its pod, and print its
//! address. containerd runs this in the bundle.

use std::env;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::args::Flags;
use crate::bootstrap::Form;
use crate::bundle::Config;
use crate::socket::{self, Bound};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let form = Form::asked_for(&flags.id).context("standard input")?;
    let bundle = env::current_dir().context("current directory")?;
    // A sandbox has no config.json.
    let config = match bundle.join("config.json").exists() {
        true => Config::load(&bundle)?,
        false => Config::default(),
    };
    let group = config.group().unwrap_or(&flags.id);
    let socket = socket::path(&flags.address, &flags.namespace, group);
    let address = socket::address(&socket);
    socket::sweep();
    match socket::bind(&socket).with_context(|| format!("listen at {address}"))? {
        Bound::Taken => {}
        Bound::New(listener) => {
            if let Err(error) = serve(flags, &socket, listener) {
                socket::remove(&socket);
                return Err(error);
            }
        }
    }
    write_atomically(&bundle.join(socket::ADDRESS_FILE), &address)?;
    let answer = form.answer(&address).context("answer")?;
    let mut stdout = std::io::stdout();
    stdout.write_all(&answer).context("standard output")?;
    stdout.flush().context("standard output")
}

/// Run ourselves again to serve. The listening socket is the new process's standard input, so that
/// containerd can connect before it is up; it must not hold containerd's pipes open.
fn serve(flags: &Flags, socket: &Path, listener: UnixListener) -> anyhow::Result<()> {
    let program = env::current_exe().context("path of this program")?;
    let mut command = Command::new(&program);
    command
        .arg0(crate::tier::own_name())
        .args([
            "-namespace",
            &flags.namespace,
            "-id",
            &flags.id,
            "-address",
            &flags.address,
        ])
        .arg("-socket")
        .arg(socket)
        // One malloc arena: each of glibc's costs memory for as long as the shim sleeps.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if flags.debug {
        command.arg("-debug");
    }
    command.process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("run {}", program.display()))?;
    adjust_oom_score(child.id());
    write_atomically(Path::new("shim.pid"), &child.id().to_string())?;
    // A shim that is dead already will not remove its socket, and containerd, which will not reach
    // it, does not run `delete` for it.
    match child.try_wait() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => anyhow::bail!("the shim ended at once: {status}"),
        Err(error) => Err(error).context("look at the shim"),
    }
}

/// A shim should be killed for memory rather than containerd, but hardly before a container.
fn adjust_oom_score(pid: u32) {
    let parent = fs::read_to_string(format!(
        "/proc/{}/oom_score_adj",
        std::os::unix::process::parent_id()
    ));
    let Some(score) = parent.ok().and_then(|text| text.trim().parse::<i32>().ok()) else {
        return;
    };
    // Without the right to lower it, the shim keeps what it inherited.
    let _not_permitted = fs::write(
        format!("/proc/{pid}/oom_score_adj"),
        (score + 1).min(1000).to_string(),
    );
}

fn write_atomically(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut temporary = PathBuf::from(path);
    temporary.as_mut_os_string().push(".tmp");
    fs::write(&temporary, text).with_context(|| format!("write {}", temporary.display()))?;
    fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))
}
