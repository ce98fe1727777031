//! Guests that call at the same time are served by two threads, each on a processor of its own; a lone guest by one
//! thread that keeps to none.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use caisson_test_bundle::{Bundle, Config, Container, User, caisson};

/// Two loops of a call each until /one exists, then one until /none does.
const GUESTS: &str = "
loop() { while [ ! -e $1 ]; do :; done; }
loop /one & loop /one & wait
loop /none
";

/// The processors of each serving thread of process `pid`, as `Cpus_allowed_list` has them.
fn servers(pid: i64) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the app kernel's threads");
    let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).ok();
    threads
        .flatten()
        .filter_map(status)
        .filter(|status| status.starts_with("Name:\tcaisson-serve\n"))
        .filter_map(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            line.map(|list| list.trim().to_owned())
        })
        .collect()
}

fn wait_for(pid: i64, what: &str, reached: impl Fn(&[String]) -> bool) {
    let start = Instant::now();
    loop {
        let servers = servers(pid);
        if reached(&servers) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no {what}: {servers:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn guests_that_call_at_once_have_two_servers() {
    if thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        return;
    }
    let runtime = caisson();
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new("crowd", &image);
    let config = Config::new(&["sh", "-c", GUESTS], User::Root);
    let container = Container::new(&runtime, &bundle, &config);
    let mut run = container.spawn();
    let state = container.wait_for("running", Duration::from_secs(30));
    let pid = state["pid"].as_i64().expect("a pid");
    let own = fs::read_to_string("/proc/self/status").expect("this process' status");
    let all = own
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("processors")
        .trim();

    wait_for(pid, "second server", |servers| {
        servers.len() == 2 && servers[0] != servers[1] && !servers.iter().any(|list| list == all)
    });
    fs::write(bundle.rootfs().join("one"), "").expect("a file in the container's tree");
    wait_for(pid, "return to one server", |servers| {
        servers.len() == 1 && servers[0] == all
    });

    fs::write(bundle.rootfs().join("none"), "").expect("a file in the container's tree");
    let status = run.wait().expect("the runtime's end");
    assert!(status.success(), "{status}");
}
