//! A container with a terminal: the master side comes over a console socket, and a script is typed.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::Container;

/// Waits until `expect` has come since the last step, then types `send`.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub expect: &'static str,
    pub send: &'static str,
}

/// The master side of a container's terminal.
#[derive(Debug)]
pub struct Console {
    master: File,
    /// All that came so far.
    pub transcript: String,
    seen: usize,
}

impl Console {
    /// Starts the container detached (`run -d --console-socket`) and takes its terminal.
    ///
    /// # Panics
    /// If the runtime fails or sends no terminal within 10 seconds.
    #[must_use]
    pub fn run(container: &Container<'_>, bundle: &std::path::Path) -> Console {
        let path: PathBuf = bundle.join("console.sock");
        let listener = UnixListener::bind(&path)
            .unwrap_or_else(|error| panic!("bind {}: {error}", path.display()));
        let output = container
            .command("run")
            .args(["--detach", "--console-socket"])
            .arg(&path)
            .arg("--bundle")
            .arg(bundle)
            .arg(container.id())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(File::create(bundle.join("run.err")).expect("create run.err"))
            .status()
            .expect("execute the runtime");
        let errors = std::fs::read_to_string(bundle.join("run.err")).unwrap_or_default();
        assert!(
            output.success(),
            "run --detach --console-socket: {output}: {errors}"
        );
        assert!(
            ready(&listener, Duration::from_secs(10)),
            "no connection on the console socket"
        );
        let (stream, _) = listener.accept().expect("accept on the console socket");
        assert!(
            ready(&stream, Duration::from_secs(10)),
            "nothing on the console socket"
        );
        let master = take_descriptor(&stream);
        Console {
            master: File::from(master),
            transcript: String::new(),
            seen: 0,
        }
    }

    /// Types the script.
    ///
    /// # Errors
    /// With what was expected and the transcript so far, if something does not come within `limit`.
    pub fn play(&mut self, script: &[Step], limit: Duration) -> Result<(), String> {
        for step in script {
            let start = Instant::now();
            loop {
                if let Some(at) = self.transcript[self.seen..].find(step.expect) {
                    self.seen += at + step.expect.len();
                    break;
                }
                if start.elapsed() > limit {
                    return Err(format!(
                        "{:?} did not come; so far:\n{}",
                        step.expect, self.transcript
                    ));
                }
                if !self.read_some(Duration::from_millis(100)) {
                    return Err(format!(
                        "end of file before {:?}; so far:\n{}",
                        step.expect, self.transcript
                    ));
                }
            }
            if step.send.starts_with(char::is_control) {
                // The line before was echoed, but its program may not have started yet.
                std::thread::sleep(Duration::from_millis(300));
            }
            self.master
                .write_all(step.send.as_bytes())
                .map_err(|error| format!("type {:?}: {error}", step.send))?;
        }
        Ok(())
    }

    /// Reads until the last process has closed the terminal.
    pub fn finish(&mut self, limit: Duration) {
        let start = Instant::now();
        while start.elapsed() < limit && self.read_some(Duration::from_millis(100)) {}
    }

    /// False at the end of the terminal's life (EIO, as Linux reports it).
    fn read_some(&mut self, limit: Duration) -> bool {
        if !ready(&self.master, limit) {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.transcript
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
            _ => false,
        }
    }
}

fn ready(source: &impl rustix::fd::AsFd, limit: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut entries = [PollFd::new(source, PollFlags::IN)];
    poll(&mut entries, Some(&timeout)).is_ok_and(|count| count > 0)
}

fn take_descriptor(stream: &impl rustix::fd::AsFd) -> OwnedFd {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .expect("recvmsg");
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .expect("a terminal on the console socket")
}
