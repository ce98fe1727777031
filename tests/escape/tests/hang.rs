//! A sandbox whose server of /proc waits for itself, deaf to SIGKILL, is still ended by `delete --force`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use caisson_escape_tests::{Sandbox, Tracee};
use caisson_test_bundle::{Bundle, User, caisson};

/// The smallest buffer into which /dev/fuse gives a request, FUSE_MIN_READ_BUFFER.
const REQUEST_BYTES: u64 = 8192;

/// Threads of `pid` with this name.
fn threads(pid: i32, name: &str) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    entries
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The thread's descriptor of /dev/fuse.
fn device(pid: i32, tid: i32) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/task/{tid}/fd")).expect("descriptors");
    entries
        .flatten()
        .find(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("fuse")))
        .and_then(|entry| entry.file_name().to_str()?.parse().ok())
        .expect("a descriptor of /dev/fuse")
}

/// State letters of the threads that `pid` still has, without its first one, which stays until it is waited for.
fn others(pid: i32) -> Vec<char> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str() != Some(&pid.to_string()))
        .filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        })
        .collect()
}

#[test]
fn a_sandbox_that_waits_for_itself_can_be_deleted() {
    let runtime = caisson();
    let image = caisson_images::busybox().expect("the busybox image");
    let bundle = Bundle::new("hang", &image);
    let sandbox = Sandbox::start(&runtime, &bundle, User::Root);
    let kernel = sandbox.kernel;
    let [asking, answering] = threads(kernel, "caisson-proc")[..] else {
        panic!("not two servers of /proc");
    };
    let answers = Tracee::stop(answering, false).expect("stop a server");
    let asks = Tracee::stop(asking, false).expect("stop the other server");
    let at_cwd = libc::AT_FDCWD.cast_unsigned().into();
    asks.release_into_call(
        libc::SYS_openat,
        [at_cwd, 0, 0, 0, 0, 0],
        "/proc/version",
        1,
    )
    .expect("openat in a server");
    // Once its request has been taken the asking thread cannot be killed any more.
    let device = device(kernel, answering);
    let taken = answers
        .call(libc::SYS_read, [device, 0, REQUEST_BYTES, 0, 0, 0], "", 1)
        .expect("read in a server");
    assert!(taken > 0, "read of /dev/fuse: {taken}");

    let start = Instant::now();
    let mut command = sandbox.delete_command();
    let ending = thread::spawn(move || command.status());
    answers.wait_killed();
    let status = ending.join().expect("a thread").expect("caisson delete");
    assert!(status.success(), "caisson delete --force: {status}");
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        start.elapsed()
    );
    assert_eq!(others(kernel), [], "threads of the app kernel");
}
