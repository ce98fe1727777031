//! The machine is what the tests of the micro-VM tier count on.

use std::sync::atomic::AtomicBool;

use caisson_nested::{Hierarchy, Job};

/// All of it in one boot.
#[test]
fn has_kvm_cgroup2_a_writable_root_and_reports_the_status() {
    let results = tempfile::tempdir().expect("a directory");
    let script = "set -e
        test -c /dev/kvm && echo kvm
        test -e /dev/net/tun && echo tun
        test -e /dev/vhost-vsock && echo vhost-vsock
        grep -q memory /sys/fs/cgroup/cgroup.subtree_control && echo cgroup2
        touch /usr/written && echo overlay
        unshare --user --map-root-user true && echo userns
        echo \"$GREETING\" > \"$1/file\"
        exit 7";
    let job = Job::new(["sh", "-c", script, "sh"])
        .env("GREETING", "it's there")
        .results(results.path());
    let mut lines = Vec::new();
    let status = caisson_nested::run(
        &job.argument(results.path()),
        &AtomicBool::new(false),
        &mut |line| {
            println!("{line}");
            lines.push(line.to_owned());
        },
    )
    .expect("the machine reports");
    assert_eq!(status, 7, "{lines:?}");
    for word in ["kvm", "tun", "vhost-vsock", "cgroup2", "overlay", "userns"] {
        assert!(lines.iter().any(|line| line == word), "{word}: {lines:?}");
    }
    let written = std::fs::read_to_string(results.path().join("file")).expect("a result");
    assert_eq!(written, "it's there\n");
    assert!(!std::path::Path::new("/usr/written").exists());
}

/// systemd is the init, with either version of cgroups.
#[test]
fn runs_commands_under_systemd() {
    for (hierarchy, kind) in [
        (Hierarchy::Unified, "cgroup2fs"),
        (Hierarchy::Legacy, "tmpfs"),
    ] {
        let script = "cat /proc/1/comm; stat -f -c %T /sys/fs/cgroup; test -S /run/systemd/private";
        let job = Job::new(["sh", "-c", script]).under_systemd(hierarchy);
        let mut lines = Vec::new();
        let status = caisson_nested::run(&job, &AtomicBool::new(false), &mut |line| {
            lines.push(line.to_owned());
        })
        .expect("the machine reports");
        assert_eq!(
            (status, lines.as_slice()),
            (0, &["systemd".to_owned(), kind.to_owned()][..])
        );
    }
}
