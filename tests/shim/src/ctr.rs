//! Running `ctr`, with a limit of time and without a way to hang a test.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Tier;

/// No call takes as long as this with an application kernel.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub struct Ctr {
    pub(crate) program: PathBuf,
    pub address: String,
    pub(crate) namespace: &'static str,
}

/// What a program did.
#[derive(Debug)]
pub struct Output {
    /// Its exit status; none if it was killed, by us because it took too long.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    arguments: Vec<String>,
}

impl Output {
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// # Panics
    /// If the status is not zero.
    pub fn success(self) -> Output {
        self.status_is(0)
    }

    /// # Panics
    /// If the status is another.
    pub fn status_is(self, status: i32) -> Output {
        let (out, err) = (self.stdout_text(), self.stderr_text());
        assert_eq!(
            self.status,
            Some(status),
            "{:?}\nstdout: {out}\nstderr: {err}",
            self.arguments
        );
        self
    }
}

impl Ctr {
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--address", &self.address, "--namespace", self.namespace]);
        command.args(arguments);
        command
    }

    /// Run without input.
    ///
    /// # Panics
    /// If `ctr` cannot be run.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, &[])
    }

    /// Run with a terminal, which script(1) makes; its input ends at once.
    ///
    /// # Panics
    /// If `script` cannot be run.
    pub fn run_in_terminal(&self, arguments: &[&str]) -> Output {
        let program = self.program.to_string_lossy();
        let words = [&*program, "--address", &self.address]
            .into_iter()
            .chain(arguments.iter().copied());
        let line: Vec<String> = words.map(|word| format!("'{word}'")).collect();
        let mut command = Command::new("script");
        command.args(["-qec", &line.join(" "), "/dev/null"]);
        finish(command, arguments, &[])
    }

    /// Run with `input` on standard input, and then its end.
    ///
    /// # Panics
    /// If `ctr` cannot be run.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        finish(self.command(arguments), arguments, input)
    }
}

fn finish(mut command: Command, arguments: &[&str], input: &[u8]) -> Output {
    command.stdin(if input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctr: apt-get install containerd");
    let stdin = child.stdin.take().map(|mut stdin| {
        let input = input.to_owned();
        // The program may end without reading all of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let status = wait(&mut child, Tier::current().patience(LIMIT));
    let collect = |reader: Option<JoinHandle<Vec<u8>>>| {
        reader.and_then(|r| r.join().ok()).unwrap_or_default()
    };
    let output = Output {
        status: status.and_then(|status| status.code()),
        stdout: collect(stdout),
        stderr: collect(stderr),
        arguments: arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect(),
    };
    drop(stdin.map(JoinHandle::join));
    output
}

fn read_all(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what the test looks at.
        drop(stream.read_to_end(&mut bytes));
        bytes
    })
}

/// The exit of `child`; after `limit` it is killed, and there is none.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                drop(child.kill());
                drop(child.wait());
                return None;
            }
        }
    }
}
