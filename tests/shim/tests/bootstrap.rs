//! `start` as containerd 2.3 and later run it: a protobuf question on standard input and a protobuf
//! answer. No suite of Debian has such a containerd yet, so the test asks in its place.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_shim_tests::{SOON, binaries, eventually};
use containerd_shim_protos::api::{ConnectRequest, ConnectResponse, ShutdownRequest};
use containerd_shim_protos::protobuf::{CodedInputStream, CodedOutputStream, Message};
use containerd_shim_protos::ttrpc::{Client, Request};
use rustix::process::{Pid, Signal, kill_process};

fn params(fields: &[(u32, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut output = CodedOutputStream::vec(&mut bytes);
    for (field, value) in fields {
        output.write_string(*field, value).expect("a field");
    }
    output.flush().expect("the message");
    drop(output);
    bytes
}

fn call(client: &Client, service: &str, method: &str, message: &impl Message) -> Vec<u8> {
    let request = Request {
        service: service.to_owned(),
        method: method.to_owned(),
        payload: message.write_to_bytes().expect("the message"),
        timeout_nano: SOON.as_nanos() as i64,
        ..Request::default()
    };
    client.request(request).expect(method).payload
}

/// Removes the bundle, and ends the shim if the test failed before that.
struct Sweep(PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.0.join("shim.pid")).unwrap_or_default();
        let shim = pid.trim().parse().ok().and_then(Pid::from_raw);
        if let Some(shim) = shim.filter(|_| std::thread::panicking()) {
            let _already_gone = kill_process(shim, Signal::KILL);
        }
        let _failing_anyway = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn params_are_answered_with_a_result_and_task_v3() {
    let id = format!("bootstrap-{}", std::process::id());
    let bundle = std::env::temp_dir().join(&id);
    fs::create_dir_all(&bundle).expect("a bundle");
    let _swept = Sweep(bundle.clone());
    fs::write(bundle.join("config.json"), r#"{"ociVersion":"1.2.0"}"#).expect("config.json");
    let containerd = bundle.join("c.sock").to_string_lossy().into_owned();
    let mut child = Command::new(binaries().join("containerd-shim-caisson-v2"))
        .args([
            "-namespace",
            "default",
            "-address",
            &containerd,
            "-id",
            &id,
            "start",
        ])
        .env("TTRPC_ADDRESS", format!("{containerd}.ttrpc"))
        .env("MAX_SHIM_VERSION", "2")
        .current_dir(&bundle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the shim");
    let question = params(&[(1, &id), (2, "default"), (4, "v2.4.0"), (6, &containerd)]);
    let mut stdin = child.stdin.take().expect("the pipe");
    stdin.write_all(&question).expect("ask");
    drop(stdin);
    let output = child.wait_with_output().expect("the answer");
    assert!(output.status.success());

    let mut answer = CodedInputStream::from_bytes(&output.stdout);
    assert_eq!(answer.read_raw_tag_or_eof().expect("a tag"), Some(1 << 3));
    assert_eq!(answer.read_int32().expect("version"), 3);
    assert_eq!(
        answer.read_raw_tag_or_eof().expect("a tag"),
        Some(2 << 3 | 2)
    );
    let address = answer.read_string().expect("address");
    assert_eq!(
        answer.read_raw_tag_or_eof().expect("a tag"),
        Some(3 << 3 | 2)
    );
    assert_eq!(answer.read_string().expect("protocol"), "ttrpc");

    let client = Client::connect(&address).expect("connect to the shim");
    let mut pids = Vec::new();
    for service in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        let connected = call(&client, service, "Connect", &ConnectRequest::default());
        let connected = ConnectResponse::parse_from_bytes(&connected).expect("a response");
        pids.push(connected.shim_pid);
    }
    assert_eq!(pids[0], pids[1]);
    let shutdown = ShutdownRequest {
        id: id.clone(),
        ..ShutdownRequest::default()
    };
    // Another client, who is not asked, sees when the shim lets go.
    let idle = UnixStream::connect(address.trim_start_matches("unix://")).expect("connect");
    idle.set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout");
    call(&client, "containerd.task.v3.Task", "Shutdown", &shutdown);
    let still_open = (&idle).read(&mut [0]).expect_err("nothing to read yet");
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock);
    eventually("the shim is gone", || {
        !fs::exists(format!("/proc/{}/exe", pids[0])).unwrap_or(false)
    });
    let socket = address.trim_start_matches("unix://");
    assert!(!fs::exists(socket).unwrap_or(true), "{socket} is left");
}
