//! The control socket, and the ways a machine ends.

use std::io::Read;
use std::time::Duration;

use caisson_vm_tests::guest::Guest;

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("control_pause_stats_stop", pause_stats_stop),
    ("control_shutdown_by_the_port", shutdown_by_the_port),
    ("control_reboot_ends_the_machine", reboot_ends_the_machine),
    ("control_panic_ends_the_machine", panic_ends_the_machine),
];

fn pause_stats_stop() {
    // Only a monitor that is not jailed can remove its sockets.
    let mut guest = Guest::boot(|config, _| config.jail = None);
    if guest.has_port() {
        let stats = guest.control("stats");
        let marks: Vec<_> = stats["marks"].as_array().into_iter().flatten().collect();
        assert_eq!(marks.len(), 2, "{stats}");
        assert_eq!(marks[0]["number"], 1);
        assert!(marks[1]["us"].as_u64() > marks[0]["us"].as_u64(), "{stats}");
        println!("boot marks: {}", stats["marks"]);
    }

    let entered = guest.control("stats")["entered_us"].as_u64();
    println!(
        "kernel entered {} us after the monitor's start",
        entered.expect("it runs")
    );

    assert_eq!(guest.control("pause")["ok"], true);
    assert_eq!(guest.control("stats")["paused"], true);
    let mut stream = guest.spawn_unanswered("echo woken");
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a time limit");
    assert!(stream.read(&mut [0]).is_err(), "a paused guest answered");
    assert_eq!(guest.control("resume")["ok"], true);
    assert_eq!(guest.run("echo awake"), "awake\n");

    assert!(guest.control("nonsense")["error"].is_string());
    assert_eq!(guest.control("stop")["ok"], true);
    assert_eq!(guest.wait().code(), Some(0));
    for name in ["vsock", "control"] {
        assert!(!guest.directory().join(name).exists(), "{name} is left");
    }
}

fn shutdown_by_the_port() {
    let mut guest = Guest::boot(|_, _| {});
    if !guest.has_port() {
        println!("the guest kernel has no CONFIG_DEVPORT: not tested");
        return;
    }
    drop(guest.spawn("/init mark 0"));
    assert_eq!(guest.wait().code(), Some(0));
}

fn reboot_ends_the_machine() {
    let mut guest = Guest::boot(|_, _| {});
    drop(guest.spawn("reboot -f"));
    assert_eq!(guest.wait().code(), Some(0));
}

fn panic_ends_the_machine() {
    let mut guest = Guest::boot(|_, _| {});
    drop(guest.spawn("echo c > /proc/sysrq-trigger"));
    assert!(guest.wait().code().is_some());
    assert!(
        guest.serial().contains("sysrq triggered crash"),
        "{}",
        guest.serial()
    );
}
