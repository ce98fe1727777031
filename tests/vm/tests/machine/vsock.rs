//! Stream sockets in both directions.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;

use caisson_vm_tests::guest::Guest;

use crate::Case;

pub(crate) const CASES: &[Case] = &[("vsock", vsock)];

/// All in one boot.
fn vsock() {
    let guest = Guest::boot(|_, _| {});
    a_closed_port_is_refused(&guest);
    large_data_comes_back_whole(&guest);
    many_streams_at_once(&guest);
    the_guest_connects_to_the_host(&guest);
}

fn a_closed_port_is_refused(guest: &Guest) {
    assert!(guest.connect(4444).is_err());
    assert_eq!(guest.run("echo still here"), "still here\n");
    // The guest's connect to a port of the host where nobody listens.
    assert!(
        guest
            .run("/init connect 999 < /dev/null; echo $?")
            .ends_with("1\n")
    );
}

/// More than all buffers on the way, in both directions at once.
fn large_data_comes_back_whole(guest: &Guest) {
    let data: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n as u16).to_le_bytes())
        .collect();
    let mut stream = guest.spawn("exec cat");
    let mut writer = stream.try_clone().expect("a second handle");
    let sent = data.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).expect("the guest takes all of it");
        writer.shutdown(Shutdown::Write).expect("a live stream");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("it comes back");
    sender.join().expect("the sender ends");
    assert_eq!(received.len(), data.len());
    assert!(received == data, "the data differs");
}

fn many_streams_at_once(guest: &Guest) {
    let streams: Vec<_> = (0..30)
        .map(|number| {
            (
                number,
                guest.spawn(&format!("read word; echo {number} $word")),
            )
        })
        .collect();
    for (number, mut stream) in streams.into_iter().rev() {
        writeln!(stream, "word{number}").expect("the guest reads");
        let mut output = String::new();
        stream.read_to_string(&mut output).expect("text");
        assert_eq!(output, format!("{number} word{number}\n"));
    }
}

fn the_guest_connects_to_the_host(guest: &Guest) {
    let mut path = guest.directory().join("vsock").into_os_string();
    path.push("_5000");
    let listener = UnixListener::bind(&path).expect("a port of the host");
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("the jailed may connect");
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the guest connects");
        let mut request = String::new();
        stream.read_to_string(&mut request).expect("text");
        write!(stream, "host got {request}").expect("the guest reads");
    });
    assert_eq!(guest.run("echo hi | /init connect 5000"), "host got hi\n");
    host.join().expect("the host's end");
}
