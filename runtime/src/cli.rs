//! The command line: runc's, as far as engines and people use it.

use std::path::PathBuf;
use std::process::ExitCode;

use caisson_wire::{TraceScope, TransportKind};
use clap::{Args, Parser, Subcommand};

use crate::RuntimeError;
use crate::cgroup::Manager;
use crate::commands::{
    self, checkpoint, create, delete, r#do, events, exec, features, install, kill, list, pause, ps,
    resume, run, spec, start, state, update,
};
use crate::debugging::Debugging;
use crate::log::{Format, Level, Log};
use crate::rootless::Rootless;
use crate::spec::default::OCI_VERSION;
use crate::systemd;
use crate::tier::Kind;

/// OCI sandbox runtime: containers whose system calls a user-space kernel serves.
#[derive(Debug, Parser)]
#[command(
    name = "caisson",
    version,
    disable_help_subcommand = true,
    // As with runc the last one counts: engines put options of their own behind those that they were configured with.
    args_override_self = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Folder for the state of containers [default: /run/caisson, for ordinary users $XDG_RUNTIME_DIR/caisson]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// What new containers run in
    #[arg(long, value_enum, default_value_t = Kind::Kernel, value_name = "TIER")]
    pub sandbox: Kind,
    /// Write the log to this file instead of stderr
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub log_format: Format,
    /// Log more
    #[arg(long)]
    pub debug: bool,
    /// Let systemd make the cgroups; linux.cgroupsPath is then SLICE:PREFIX:NAME
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// How system calls reach the app kernel of a new container; by default whatever the host supports
    #[arg(long, value_enum, value_name = "KIND")]
    pub transport: Option<Transport>,
    /// Log the system calls of a new container: those that the app kernel serves or refuses, or all
    #[arg(
        long,
        value_enum,
        value_name = "CALLS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "served"
    )]
    pub strace: Option<Strace>,
    /// Where --strace writes; by default ID.strace.log in --root
    #[arg(long, value_name = "FILE", requires = "strace")]
    pub strace_log: Option<PathBuf>,
    /// Do without cgroups where they cannot be used
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "MODE",
        ignore_case = true
    )]
    pub rootless: Rootless,
    /// Accepted for compatibility
    #[arg(long, value_name = "PATH", hide = true)]
    pub criu: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    Notify,
    Ptrace,
}

impl From<Transport> for TransportKind {
    fn from(transport: Transport) -> TransportKind {
        match transport {
            Transport::Notify => TransportKind::Notify,
            Transport::Ptrace => TransportKind::Ptrace,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Strace {
    Served,
    All,
}

impl From<Strace> for TraceScope {
    fn from(strace: Strace) -> TraceScope {
        match strace {
            Strace::Served => TraceScope::Served,
            Strace::All => TraceScope::All,
        }
    }
}

impl Global {
    /// What was asked for beside the bundle.
    pub fn debugging(&self) -> Debugging {
        Debugging {
            transport: self.transport.map(TransportKind::from),
            strace: self.strace.map(TraceScope::from),
            strace_log: self.strace_log.clone(),
        }
    }

    pub fn log(&self) -> Log {
        Log {
            file: self.log.clone(),
            format: self.log_format,
            debug: self.debug,
        }
    }

    /// Options that would change where a container ends up are refused rather than ignored.
    pub fn check(&self) -> Result<(), RuntimeError> {
        if !self.systemd_cgroup || systemd::is_running() {
            return Ok(());
        }
        let reason = "systemd does not run on this host";
        Err(RuntimeError::option("--systemd-cgroup", "true", reason))
    }

    pub fn cgroups(&self) -> Manager {
        if self.systemd_cgroup {
            Manager::Systemd
        } else {
            Manager::Files
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a container from a bundle; its program waits for `start`
    Create(create::Arguments),
    /// Start the program of a created container
    Start(start::Arguments),
    /// Print the state of a container as JSON
    State(state::Arguments),
    /// Send a signal to a container (SIGTERM unless named)
    Kill(kill::Arguments),
    /// Delete a container and everything it holds
    Delete(delete::Arguments),
    /// Create and start a container
    Run(run::Arguments),
    /// Run another process in a container
    Exec(exec::Arguments),
    /// List the processes of a container
    Ps(ps::Arguments),
    /// List containers
    List(list::Arguments),
    /// Write a default config.json
    Spec(spec::Arguments),
    /// Print as JSON what this runtime supports
    Features(features::Arguments),
    /// Say whether this host can run sandboxes, and how
    Check(crate::commands::check::Arguments),
    /// Suspend all processes of a container
    Pause(pause::Arguments),
    /// Resume a paused container
    Resume(resume::Arguments),
    /// Change the limits of a container
    Update(update::Arguments),
    /// Print resource usage as JSON lines
    Events(events::Arguments),
    /// Run a command in a throw-away sandbox over a read-only view of this host
    Do(r#do::Arguments),
    /// Set up containerd or CRI-O of this node, or take that back
    Install(install::Arguments),
    /// Not supported
    Checkpoint(checkpoint::Arguments),
    /// Not supported
    Restore(checkpoint::Arguments),
}

/// Parse the command line; help, version and usage errors are printed here.
pub fn parse() -> Result<Cli, ExitCode> {
    // runc spells it -v, and prints the version of the specification as well.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "-v" || first == "--version")
    {
        let version = env!("CARGO_PKG_VERSION");
        return Err(printed(commands::print(&format!(
            "caisson version {version}\nspec: {OCI_VERSION}\n"
        ))));
    }
    Cli::try_parse().map_err(|error| {
        if error.use_stderr() {
            // Nobody is left to tell when that cannot be written to.
            error.print().ok();
            return ExitCode::FAILURE;
        }
        printed(commands::print(&error.render().to_string()))
    })
}

/// The exit status after something was printed, or an error that says why it was not.
fn printed(result: Result<(), RuntimeError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Log::default().write(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_id() {
        let cli = Cli::try_parse_from([
            "caisson",
            "create",
            "c1",
            "--bundle",
            "/b",
            "--pid-file",
            "/p",
        ])
        .expect("parses");
        assert!(
            matches!(cli.command, Command::Create(arguments) if arguments.id == "c1" && arguments.bundle.path.as_os_str() == "/b")
        );
        let cli = Cli::try_parse_from(["caisson", "delete", "c1", "--force"]).expect("parses");
        assert!(matches!(cli.command, Command::Delete(arguments) if arguments.force));
    }

    #[test]
    fn strace_needs_no_value_and_takes_none_of_the_next_word() {
        let cli = Cli::try_parse_from(["caisson", "--strace", "--transport=ptrace", "list"])
            .expect("parses");
        assert_eq!(cli.global.strace, Some(Strace::Served));
        assert_eq!(cli.global.transport, Some(Transport::Ptrace));
        let cli = Cli::try_parse_from(["caisson", "--strace=all", "list"]).expect("parses");
        assert_eq!(cli.global.strace, Some(Strace::All));
        assert!(Cli::try_parse_from(["caisson", "--strace-log", "/x", "list"]).is_err());
        assert!(Cli::try_parse_from(["caisson", "--transport=kvm", "list"]).is_err());
    }

    #[test]
    fn the_last_of_an_option_counts_and_lists_grow() {
        let line = [
            "caisson", "--root", "/a", "--root", "/b", "exec", "-e", "A=1", "-e", "B=2", "c1",
            "true",
        ];
        let cli = Cli::try_parse_from(line).expect("parses");
        assert_eq!(cli.global.root, Some("/b".into()));
        let Command::Exec(arguments) = cli.command else {
            panic!("not exec")
        };
        assert_eq!(arguments.env, ["A=1", "B=2"]);
    }

    #[test]
    fn exec_leaves_the_programs_own_options_alone() {
        let line = ["caisson", "exec", "-t", "c1", "ls", "-t", "--process", "x"];
        let cli = Cli::try_parse_from(line).expect("parses");
        let Command::Exec(arguments) = cli.command else {
            panic!("not exec")
        };
        assert!(arguments.tty && arguments.process.is_none());
        assert_eq!(arguments.command, ["ls", "-t", "--process", "x"]);
    }

    #[test]
    fn kill_takes_signals_as_runc_does() {
        let cli = Cli::try_parse_from(["caisson", "kill", "--all", "c1", "9"]).expect("parses");
        assert!(
            matches!(cli.command, Command::Kill(arguments) if arguments.all && arguments.signal == "9")
        );
    }
}
