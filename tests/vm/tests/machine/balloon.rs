//! Memory that comes back to the host.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use caisson_vm_tests::guest::{Guest, PATIENCE};

use crate::Case;

pub(crate) const CASES: &[Case] = &[("balloon", balloon)];

fn balloon() {
    let guest = Guest::boot(|config, _| config.memory_mib = 256);
    // Free pages are reported by themselves, about two seconds after they were freed.
    let used =
        guest.run("dd if=/dev/zero of=/tmp/big bs=1M count=100 2>/dev/null; wc -c < /tmp/big");
    assert_eq!(used, "104857600\n");
    let full = resident_mib(&guest);
    assert!(full > 100, "{full} MiB");
    assert_eq!(
        guest.run("rm /tmp/big; echo 3 > /proc/sys/vm/drop_caches"),
        ""
    );
    wait(
        || resident_mib(&guest) < full - 60,
        "freed memory to come back",
    );

    // On request.
    let answer = guest.request("{\"op\": \"balloon\", \"mib\": 64}");
    assert_eq!(answer["ok"], true);
    wait(
        || guest.control("stats")["balloon"]["actual_mib"] == 64,
        "the balloon to be inflated",
    );
    assert_eq!(guest.run("echo alive"), "alive\n");
}

pub(crate) fn resident_mib(guest: &Guest) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", guest.pid())).expect("a process");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("VmRSS")
        / 1024
}

pub(crate) fn wait(mut done: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "no end of waiting for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
