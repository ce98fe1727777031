//! What the app kernel keeps for guests that come and go, it gives up when they have gone and nothing happens any more.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use caisson_test_bundle::{Bundle, Config, Container, User, caisson};

/// Shells that each make a child; then quiet, until somebody writes to the fifo.
const GUEST: &str = "
mkfifo /fifo
for n in $(seq 40); do sh -c '/bin/true; exit 0'; done
: > /done
read line < /fifo
";

/// How often process `pid` has the file of this inode open.
fn opened(pid: i64, inode: u64) -> usize {
    let descriptors =
        fs::read_dir(format!("/proc/{pid}/fd")).expect("the app kernel's descriptors");
    descriptors
        .flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .filter(|file| file.is_file() && file.ino() == inode)
        .count()
}

#[test]
fn programs_of_processes_that_have_ended_are_closed() {
    let runtime = caisson();
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new("quiet", &image);
    let config = Config::new(&["sh", "-c", GUEST], User::Root);
    let container = Container::new(&runtime, &bundle, &config);
    let mut run = container.spawn();
    let state = container.wait_for("running", Duration::from_secs(30));
    let pid = state["pid"].as_i64().expect("a pid");
    let shell = fs::metadata(bundle.rootfs().join("bin/busybox")).expect("the program of all");

    let start = Instant::now();
    let wait_for = |what: &str, reached: &dyn Fn() -> bool| {
        while !reached() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for("the shells do not end", &|| {
        bundle.rootfs().join("done").exists()
    });
    // One for the shell that waits, a few for what is under way.
    wait_for("programs stay open", &|| opened(pid, shell.ino()) <= 4);

    fs::write(bundle.rootfs().join("fifo"), "go\n").expect("a writer");
    let status = run.wait().expect("the runtime's end");
    assert!(status.success(), "{status}");
}
