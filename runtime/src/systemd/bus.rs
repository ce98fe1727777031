//! A connection to systemd's manager: its private socket, which needs no message bus, or the system bus.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::SystemdError;
use super::message::{self, Call, Kind, PREFIX_BYTES, Properties, Received, Writer};

/// systemd's own socket, for root alone, and the system bus.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// How long systemd may take to answer or to finish a job.
const PATIENCE: Duration = Duration::from_secs(30);

const MANAGER: Call<'static> = Call {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "",
    signature: "",
};

const BUS: Call<'static> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
    signature: "",
};

/// Where a unit that systemd was asked about stands.
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

#[derive(Debug)]
pub(super) struct Manager {
    stream: UnixStream,
    serial: u32,
    /// Jobs that ended before anybody waited for them.
    ended: Vec<(String, String)>,
}

impl Manager {
    pub(super) fn connect() -> Result<Manager, SystemdError> {
        let (stream, on_bus) = match UnixStream::connect(PRIVATE) {
            Ok(stream) => (stream, false),
            Err(_) => {
                let connected = UnixStream::connect(SYSTEM_BUS);
                (connected.map_err(SystemdError::io("connect"))?, true)
            }
        };
        let mut manager = Manager {
            stream,
            serial: 0,
            ended: Vec::new(),
        };
        manager
            .authenticate()
            .map_err(SystemdError::io("authenticate"))?;
        if on_bus {
            manager.call(
                &Call {
                    member: "Hello",
                    ..BUS
                },
                Writer::default(),
            )?;
            let mut rule = Writer::default();
            rule.text(
                "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
            );
            let add = Call {
                member: "AddMatch",
                signature: "s",
                ..BUS
            };
            manager.call(&add, rule)?;
            manager.call(
                &Call {
                    member: "Subscribe",
                    ..MANAGER
                },
                Writer::default(),
            )?;
        }
        Ok(manager)
    }

    /// SASL's EXTERNAL: the kernel says who we are.
    fn authenticate(&mut self) -> io::Result<()> {
        let timeout = Some(PATIENCE);
        self.stream.set_read_timeout(timeout)?;
        self.stream.set_write_timeout(timeout)?;
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        write!(self.stream, "\0AUTH EXTERNAL {hex}\r\n")?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 1024 {
                return Err(io::Error::other("an endless answer"));
            }
        }
        if !line.starts_with(b"OK ") {
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// Start a unit that exists only while systemd runs, and wait until it has.
    pub(super) fn start_transient(
        &mut self,
        unit: &str,
        properties: &Properties,
    ) -> Result<(), SystemdError> {
        let call = Call {
            member: "StartTransientUnit",
            signature: "ssa(sv)a(sa(sv))",
            ..MANAGER
        };
        let body = || {
            let mut body = Writer::default();
            body.text(unit);
            body.text("replace");
            body.properties(properties);
            body.no_structures();
            body
        };
        let job = match self.call(&call, body()) {
            // What is left of a unit of that name that has failed.
            Err(SystemdError::Refused { error, .. }) if error == UNIT_EXISTS => {
                self.named("ResetFailedUnit", unit, false).ok();
                self.call(&call, body())?
            }
            other => other?,
        };
        self.wait(&job, "start", unit)
    }

    /// Stop a unit and wait until it has; one that is gone is fine.
    pub(super) fn stop(&mut self, unit: &str) -> Result<(), SystemdError> {
        match self.named("StopUnit", unit, true) {
            Ok(job) => self.wait(&job, "stop", unit)?,
            Err(SystemdError::Refused { error, .. }) if error == NO_SUCH_UNIT => return Ok(()),
            Err(error) => return Err(error),
        }
        // A scope whose processes were killed counts as failed and would be kept for that.
        self.named("ResetFailedUnit", unit, false).ok();
        Ok(())
    }

    /// Change properties for as long as systemd runs.
    pub(super) fn set(&mut self, unit: &str, properties: &Properties) -> Result<(), SystemdError> {
        let call = Call {
            member: "SetUnitProperties",
            signature: "sba(sv)",
            ..MANAGER
        };
        let mut body = Writer::default();
        body.text(unit);
        body.bool(true);
        body.properties(properties);
        self.call(&call, body).map(drop)
    }

    fn named(
        &mut self,
        member: &str,
        unit: &str,
        with_mode: bool,
    ) -> Result<Received, SystemdError> {
        let mut body = Writer::default();
        body.text(unit);
        if with_mode {
            body.text("replace");
        }
        let signature = if with_mode { "ss" } else { "s" };
        self.call(
            &Call {
                member,
                signature,
                ..MANAGER
            },
            body,
        )
    }

    fn call(&mut self, call: &Call<'_>, body: Writer) -> Result<Received, SystemdError> {
        self.serial += 1;
        let serial = self.serial;
        let bytes = call.encode(serial, body);
        self.stream
            .write_all(&bytes)
            .map_err(SystemdError::io("send"))?;
        let limit = Instant::now() + PATIENCE;
        loop {
            let received = self.receive(limit)?;
            if received.reply_to != serial {
                continue;
            }
            if received.kind == Kind::Error as u8 {
                return Err(SystemdError::Refused {
                    call: call.member.to_owned(),
                    error: received.error,
                    reason: received.arguments.into_iter().next().unwrap_or_default(),
                });
            }
            return Ok(received);
        }
    }

    /// Wait for the end of the job that the answer names.
    fn wait(
        &mut self,
        answer: &Received,
        verb: &'static str,
        unit: &str,
    ) -> Result<(), SystemdError> {
        let job = answer.arguments.first().cloned().unwrap_or_default();
        let limit = Instant::now() + PATIENCE;
        loop {
            let ended = self.ended.iter().find(|(ended, _)| *ended == job);
            match ended.map(|(_, result)| result.as_str()) {
                Some("done" | "skipped") => return Ok(()),
                Some(result) => {
                    return Err(SystemdError::Job {
                        verb,
                        unit: unit.to_owned(),
                        result: result.to_owned(),
                    });
                }
                None => self.receive(limit)?,
            };
        }
    }

    /// The next message; ends of jobs are noted.
    fn receive(&mut self, limit: Instant) -> Result<Received, SystemdError> {
        let left = limit.saturating_duration_since(Instant::now());
        let read = |stream: &mut UnixStream| -> io::Result<Received> {
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let mut bytes = vec![0; PREFIX_BYTES];
            stream.read_exact(&mut bytes)?;
            let mut prefix = [0; PREFIX_BYTES];
            prefix.copy_from_slice(&bytes);
            bytes.resize(PREFIX_BYTES + message::rest_bytes(&prefix)?, 0);
            stream.read_exact(&mut bytes[PREFIX_BYTES..])?;
            message::decode(&bytes)
        };
        let received = read(&mut self.stream).map_err(SystemdError::io("receive"))?;
        if received.kind == Kind::Signal as u8
            && received.member == "JobRemoved"
            && let [_, job, _, result] = received.arguments.as_slice()
        {
            self.ended.push((job.clone(), result.clone()));
        }
        Ok(received)
    }
}
