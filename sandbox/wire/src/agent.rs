//! Messages between the host side of a micro-VM and the agent, which is PID 1 of its guest.
//!
//! They travel over stream connections to the agent's port [`PORT`], each as its length (32 bits, little
//! endian) and a JSON document. The first message of a connection is an [`Opening`], which says what it is for:
//!
//! * a *session* ([`Opening::Create`], [`Opening::Exec`]) owns one process: [`Order`]s down, [`Report`]s up,
//!   and when the connection ends before the process, the process is killed;
//! * a *stream* ([`Opening::Stream`]) carries the bytes of one of the process's files and nothing else; its end
//!   is the end of the file, and a side that does not read stops the other from writing;
//! * a *question* ([`Opening::Ask`]) is answered by one [`Report`].
//!
//! To the host, what the agent says is hostile: lengths are checked before anything is allocated.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::WireError;
use crate::network::Network;

/// Where the agent listens, for vsock(7).
pub const PORT: u32 = 1024;

/// Version of these messages; the agent refuses others.
pub const VERSION: u32 = 3;

/// By which the agent finds the file system of the host's shares, and where it mounts it.
pub const SHARES_TAG: &str = "caisson";
pub const SHARES: &str = "/run/shares";

/// Largest message down: a config.json with a large environment.
pub const MAX_DOWN_BYTES: usize = crate::MAX_MESSAGE_BYTES;
/// Largest message up: nothing but a message for the user is of any length.
pub const MAX_UP_BYTES: usize = 64 << 10;

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Opening {
    /// Make the container; its program waits for [`Order::Start`].
    Create(Create),
    /// Start one more process in the container.
    Exec(Exec),
    /// Connect to a file of the process that a [`Report::Ready`] named. Once for each file.
    Stream { process: u64, file: Stdio },
    /// One question about a container, or one change to it; the answer is the only message up.
    Ask {
        container: String,
        question: Question,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What it uses: [`Report::Usage`].
    Usage,
    /// Write these files of its control group, in this order: [`Report::Done`].
    Limits(Vec<(String, String)>),
    /// Send a signal to all of its processes: [`Report::Done`].
    SignalAll(i32),
    /// The machine did not run for a while. The host's time in nanoseconds since 1970, and bytes that no other
    /// machine was given: [`Report::Done`].
    Awake { time_ns: u64, entropy: Vec<u8> },
}

/// The files of a container's control group (v2) that [`Report::Usage`] holds, as far as the guest has them.
pub const USAGE_FILES: [&str; 11] = [
    "cpu.stat",
    "io.stat",
    "memory.current",
    "memory.events",
    "memory.max",
    "memory.peak",
    "memory.stat",
    "memory.swap.current",
    "memory.swap.max",
    "pids.current",
    "pids.max",
];

/// The files of a container's control group that [`Question::Limits`] and [`Create`] may name.
pub const LIMIT_FILES: [&str; 10] = [
    "cgroup.freeze",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "memory.low",
    "memory.max",
    "memory.swap.max",
    "pids.max",
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Create {
    pub version: u32,
    pub id: String,
    /// config.json as the guest is to see it.
    pub config: Value,
    /// Files of [`LIMIT_FILES`] for its control group, in this order.
    pub limits: Vec<(String, String)>,
    pub root: Root,
    /// Whether the machine has the file system of shares.
    pub shares: bool,
    /// The machine's, which its first container brings.
    pub network: Option<Network>,
    /// Whose namespaces it is to have: containers by kinds (`ipc`, `pid`, `uts`).
    #[serde(default)]
    pub joined: BTreeMap<String, String>,
    /// The host's time, in nanoseconds since 1970.
    pub time_ns: u64,
}

/// Where a container's root file system is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// In the share of that name.
    Share { name: String },
    /// On a block device, `/dev/vda`.
    Device { path: String, read_only: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    pub container: String,
    /// `process` of config.json.
    pub process: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    In,
    Out,
    Err,
    /// Both ways, of a process with a terminal.
    Console,
}

/// From the host, in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The machine has another network than [`Create::network`] said.
    Network(Network),
    /// Let the container's program begin.
    Start,
    /// Send a signal to the process.
    Signal(i32),
    /// The terminal has another size.
    Resize { rows: u16, columns: u16 },
}

/// From the agent, in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The process stands; its files can be connected to under this number.
    Ready { process: u64 },
    /// The container's program has begun.
    Started,
    /// The kernel has killed processes of the container for memory, this many so far.
    OutOfMemory { kills: u64 },
    /// The text of [`USAGE_FILES`].
    Usage { files: BTreeMap<String, String> },
    /// What was asked for is done.
    Done,
    /// The last message of a session.
    Ended(Ended),
    /// The last message of a session that came to nothing; for the user.
    Failed { message: String },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Exited(u8),
    Signaled(u8),
}

impl Ended {
    /// Linux has no others, whatever an agent says.
    pub fn is_possible(self) -> bool {
        matches!(self, Ended::Exited(_) | Ended::Signaled(1..=64))
    }
}

/// Write one message.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), WireError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_DOWN_BYTES {
        return Err(WireError::TooLarge(body.len()));
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(to.write_all(&frame).and_then(|()| to.flush())?)
}

/// Read one message of at most `limit` bytes; [`WireError::Closed`] at the end of the connection.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, limit: usize) -> Result<T, WireError> {
    let mut header = [0u8; 4];
    fill(from, &mut header)?;
    let length = u32::from_le_bytes(header) as usize;
    if length > limit {
        return Err(WireError::TooLarge(length));
    }
    let mut body = vec![0u8; length];
    fill(from, &mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), WireError> {
    from.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            WireError::Closed
        } else {
            error.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent<T: Serialize>(message: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, message).expect("a vector takes everything");
        bytes
    }

    #[test]
    fn messages_survive_the_way() {
        for report in [
            Report::Ready { process: 7 },
            Report::Ended(Ended::Signaled(9)),
            Report::Failed {
                message: "no".into(),
            },
        ] {
            let bytes = sent(&report);
            assert_eq!(
                read::<Report>(&mut bytes.as_slice(), MAX_UP_BYTES).expect("whole"),
                report
            );
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_allocation() {
        let lie = u32::MAX.to_le_bytes();
        let outcome = read::<Report>(&mut lie.as_slice(), MAX_UP_BYTES);
        assert!(matches!(outcome, Err(WireError::TooLarge(_))));
    }

    #[test]
    fn signals_that_do_not_exist_are_noticed() {
        assert!(Ended::Signaled(64).is_possible() && Ended::Exited(255).is_possible());
        assert!(!Ended::Signaled(0).is_possible() && !Ended::Signaled(65).is_possible());
    }

    proptest! {
        #[test]
        fn whatever_an_agent_writes_is_a_message_or_an_error(bytes: Vec<u8>) {
            let mut from = bytes.as_slice();
            // Every message read takes four bytes or more, so this ends.
            while read::<Report>(&mut from, MAX_UP_BYTES).is_ok() {}
        }

        #[test]
        fn a_message_that_is_cut_off_is_an_error(cut in 0usize..20, process: u64) {
            let bytes = sent(&Report::Ready { process });
            let short = &bytes[..bytes.len() - 1 - cut.min(bytes.len() - 1)];
            prop_assert!(matches!(
                read::<Report>(&mut &short[..], MAX_UP_BYTES),
                Err(WireError::Closed)
            ));
        }

        #[test]
        fn numbers_survive_the_way(rows: u16, columns: u16, signal: i32) {
            for order in [Order::Resize { rows, columns }, Order::Signal(signal)] {
                let bytes = sent(&order);
                prop_assert_eq!(read::<Order>(&mut bytes.as_slice(), 1 << 10).expect("whole"), order);
            }
        }
    }
}
