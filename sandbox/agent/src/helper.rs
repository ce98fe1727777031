//! What is done through libcontainer, each in a process of its own that has a single thread.
//!
//! A helper is executed as `caisson-agent TASK ID NUMBER` with the files of the new process as its own. It
//! leaves the process's pid in `NUMBER.pid`, or what went wrong in `NUMBER.error`, in the container's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::{LinuxSeccomp, Spec};
use libcontainer::syscall::syscall::SyscallType;
use serde_json::Value;

use crate::bundle::{Bundle, STATE};
use crate::error::AgentError;
use crate::executor::Filtered;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Create,
    Start,
    Exec,
}

/// What libcontainer keeps of a container beside its state.
const CONFIG: &str = "youki_config.json";

const TASKS: [(Task, &str); 3] = [
    (Task::Create, "create"),
    (Task::Start, "start"),
    (Task::Exec, "exec"),
];

impl Task {
    pub(crate) fn named(name: &str) -> Option<Task> {
        let found = TASKS.iter().find(|(_, known)| *known == name);
        found.map(|(task, _)| *task)
    }

    fn name(self) -> &'static str {
        let found = TASKS.iter().find(|(task, _)| *task == self);
        found.map_or("", |(_, name)| name)
    }
}

/// Names of the files of one helper.
pub(crate) struct Files<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) number: u64,
}

impl Files<'_> {
    pub(crate) fn process(&self) -> String {
        format!("{}.json", self.number)
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.path("console")
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.bundle.folder().join(format!("{}.{kind}", self.number))
    }

    /// The helper's command line, without files.
    pub(crate) fn command(&self, task: Task) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(task.name())
            .arg(&self.bundle.id)
            .arg(self.number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The pid that a helper left.
    pub(crate) fn pid(&self) -> Result<i32, AgentError> {
        let path = self.path("pid");
        let text = fs::read_to_string(&path)
            .map_err(AgentError::step("read", path.display().to_string()))?;
        text.trim()
            .parse()
            .map_err(|_| AgentError::Container(format!("{}: \"{text}\"", path.display())))
    }

    /// Why a helper failed.
    pub(crate) fn failure(&self) -> AgentError {
        let text = fs::read_to_string(self.path("error"));
        AgentError::Container(text.unwrap_or_else(|_| "the helper ended without a word".into()))
    }

    /// Where libcontainer is to find the container's state for a further process. It makes none in a container whose
    /// program has not begun, where hooks run: that one's state is copied, and says there that it runs.
    fn state_for_exec(&self) -> Result<PathBuf, String> {
        const FILE: &str = "state.json";
        let id = &self.bundle.id;
        let path = Path::new(STATE).join(id).join(FILE);
        let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read(&path).map_err(|error| said(&error))?;
        let mut state: Value = serde_json::from_slice(&text).map_err(|error| said(&error))?;
        if state["status"] != "created" {
            return Ok(STATE.into());
        }
        state["status"] = "running".into();
        let copy = self.path("state");
        let folder = copy.join(id);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::copy(Path::new(STATE).join(id).join(CONFIG), folder.join(CONFIG)))
            .and_then(|_| fs::write(folder.join(FILE), state.to_string()))
            .map_err(|error| said(&error))?;
        Ok(copy)
    }
}

/// The helper itself.
pub(crate) fn run(task: Task, mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let (id, number) = (arguments.next(), arguments.next());
    let bundle = id.and_then(|id| Bundle::new(&id).ok());
    let number = number.and_then(|number| number.parse().ok());
    let (Some(bundle), Some(number)) = (bundle, number) else {
        return ExitCode::from(2);
    };
    // What libcontainer forks must not ignore what we, as every Rust program, do.
    caisson_sys::signal::default_sigpipe();
    let files = Files {
        bundle: &bundle,
        number,
    };
    match act(task, &files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Without the file the agent says that there was no word.
            fs::write(files.path("error"), message).ok();
            ExitCode::FAILURE
        }
    }
}

fn act(task: Task, files: &Files<'_>) -> Result<(), String> {
    let said = |error: libcontainer::error::LibcontainerError| chain(&error);
    if task == Task::Start {
        let folder = PathBuf::from(STATE).join(&files.bundle.id);
        let mut container = Container::load(folder).map_err(said)?;
        return container.start().map_err(said);
    }
    let folder = files.bundle.folder();
    let root = match task {
        Task::Exec => files.state_for_exec()?,
        Task::Create | Task::Start => STATE.into(),
    };
    let console = Some(files.console()).filter(|path| path.exists());
    let builder = ContainerBuilder::new(files.bundle.id.clone(), SyscallType::default())
        .with_root_path(root)
        .map_err(said)?
        .with_pid_file(Some(files.path("pid")))
        .map_err(said)?
        .with_console_socket(console);
    if task == Task::Create {
        let made = builder.as_init(&folder).with_systemd(false);
        made.with_detach(true).build().map(drop).map_err(said)
    } else {
        let profile = profile(&folder)?;
        let made = builder.with_executor(Filtered { profile }).as_tenant();
        let made = made.with_process(Some(folder.join(files.process())));
        made.with_detach(true).build().map(drop).map_err(said)
    }
}

/// `linux.seccomp` of the container's config.json.
fn profile(folder: &Path) -> Result<Option<LinuxSeccomp>, String> {
    let spec = Spec::load(folder.join("config.json")).map_err(|error| chain(&error))?;
    let linux = spec.linux().as_ref();
    Ok(linux.and_then(|linux| linux.seccomp().clone()))
}

/// An error with its causes: libcontainer's outermost messages say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
