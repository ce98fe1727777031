//! The command line that containerd's runtime v2 prescribes: Go-style flags, then an action.

use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start (or find) the serving shim and print its address.
    Start,
    /// Clean up after a shim that is gone.
    Delete,
    /// Print what the runtime can do (`-info`).
    Info,
    /// Print the version (`-v`).
    Version,
    /// Hold a sandbox's namespaces; how the serving shim runs this binary for the sandbox API.
    Hold,
    /// Serve the task API; how `start` runs this binary again.
    Serve,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// containerd's GRPC socket.
    pub(crate) address: String,
    pub(crate) bundle: String,
    /// Path of the socket that the serving shim answers on.
    pub(crate) socket: String,
    /// For `hold`: the network namespace to enter, and the sandbox's host name.
    pub(crate) netns: String,
    pub(crate) hostname: String,
    pub(crate) debug: bool,
    pub(crate) action: Action,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ArgsError {
    /// flag needs a value
    #[error("flag {0}: a value must follow")]
    MissingValue(String),
    /// flag is not known
    #[error("flag {0}: not known")]
    UnknownFlag(String),
    /// action is not known
    #[error("action {0:?}: must be start or delete")]
    UnknownAction(String),
    /// a flag that the action needs is absent
    #[error("flag -{0}: must not be empty")]
    Empty(&'static str),
}

impl Flags {
    /// Parse the arguments after the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Flags, ArgsError> {
        let mut flags = Flags {
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: String::new(),
            socket: String::new(),
            netns: String::new(),
            hostname: String::new(),
            debug: false,
            action: Action::Serve,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix('-') else {
                flags.action = match argument.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    "hold" => Action::Hold,
                    _ => return Err(ArgsError::UnknownAction(argument)),
                };
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "debug" => flags.debug = inline.as_deref() != Some("false"),
                "info" => flags.action = Action::Info,
                "v" | "version" => flags.action = Action::Version,
                "namespace" | "id" | "address" | "bundle" | "socket" | "netns" | "hostname"
                | "publish-binary" => {
                    let value = inline
                        .or_else(|| arguments.next())
                        .ok_or_else(|| ArgsError::MissingValue(argument.clone()))?;
                    match name {
                        "namespace" => flags.namespace = value,
                        "id" => flags.id = value,
                        "address" => flags.address = value,
                        "bundle" => flags.bundle = value,
                        "socket" => flags.socket = value,
                        "netns" => flags.netns = value,
                        "hostname" => flags.hostname = value,
                        _ => {} // events go over ttrpc, not through containerd's binary
                    }
                }
                _ => return Err(ArgsError::UnknownFlag(argument)),
            }
        }
        flags.check()?;
        Ok(flags)
    }

    fn check(&self) -> Result<(), ArgsError> {
        let needed: &[(&'static str, &str)] = match self.action {
            Action::Start | Action::Delete => &[("namespace", &self.namespace), ("id", &self.id)],
            Action::Serve => &[
                ("namespace", &self.namespace),
                ("id", &self.id),
                ("socket", &self.socket),
            ],
            Action::Hold => &[("id", &self.id)],
            Action::Info | Action::Version => &[],
        };
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(ArgsError::Empty(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, ArgsError> {
        Flags::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn parses_what_containerd_sends() {
        let flags =
            parse("-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id web -debug start")
                .unwrap();
        assert_eq!(flags.action, Action::Start);
        assert_eq!(
            (flags.namespace.as_str(), flags.id.as_str()),
            ("k8s.io", "web")
        );
        assert!(flags.debug);
    }

    #[test]
    fn takes_values_inline_and_double_dashes() {
        let flags = parse("--namespace=a --id=b --bundle=/x delete").unwrap();
        assert_eq!(flags.action, Action::Delete);
        assert_eq!(flags.bundle, "/x");
    }

    #[test]
    fn names_the_flag_that_is_wrong() {
        assert_eq!(parse("-namespace a start"), Err(ArgsError::Empty("id")));
        assert_eq!(
            parse("-namespace"),
            Err(ArgsError::MissingValue("-namespace".into()))
        );
        assert_eq!(
            parse("-colour red"),
            Err(ArgsError::UnknownFlag("-colour".into()))
        );
        assert_eq!(
            parse("-namespace a -id b stop"),
            Err(ArgsError::UnknownAction("stop".into()))
        );
    }
}
