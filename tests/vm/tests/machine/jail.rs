//! What a running monitor has given up, seen from outside.

use std::fs;

use caisson_vm_tests::guest::{Guest, JAILED};

use crate::Case;

pub(crate) const CASES: &[Case] = &[("jail", jail)];

fn jail() {
    let guest = Guest::boot(|config, _| config.vcpus = 2);
    let process = format!("/proc/{}", guest.pid());
    let mut threads = 0;
    for thread in fs::read_dir(format!("{process}/task")).expect("its threads") {
        let path = thread.expect("a thread").path().join("status");
        let status = fs::read_to_string(path).expect("its status");
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
                .unwrap_or_default()
        };
        let uid = [JAILED.to_string().as_str(); 4].join(" ");
        let none = "0000000000000000";
        let found = [
            "Seccomp",
            "NoNewPrivs",
            "Uid",
            "Gid",
            "Groups",
            "CapPrm",
            "CapEff",
            "CapInh",
            "CapAmb",
        ]
        .map(field);
        assert_eq!(
            found,
            ["2", "1", &uid, &uid, "", none, none, none, none],
            "{status}"
        );
        threads += 1;
    }
    assert_eq!(threads, 3, "two virtual CPUs and the devices");
    // The empty root and the directory of the sockets.
    let mounts = fs::read_to_string(format!("{process}/mountinfo")).expect("its mounts");
    assert_eq!(mounts.lines().count(), 2, "{mounts}");
    assert!(mounts.lines().all(|line| line.contains(" ro,")), "{mounts}");
    for namespace in ["mnt", "net", "ipc", "uts"] {
        let of = |process: &str| {
            fs::read_link(format!("{process}/ns/{namespace}")).expect("a namespace")
        };
        assert_ne!(of(&process), of("/proc/self"), "{namespace}");
    }
    assert_eq!(guest.run("echo alive"), "alive\n");
    println!(
        "the monitor besides the guest's RAM: {} KiB",
        overhead_kib(&process)
    );
}

/// Proportional size of all mappings but those of the guest's RAM, which is the only large one.
fn overhead_kib(process: &str) -> u64 {
    const LARGE_KIB: u64 = 64 << 10;
    let maps = fs::read_to_string(format!("{process}/smaps")).expect("its mappings");
    let (mut sum, mut size) = (0, 0);
    for line in maps.lines() {
        let value = |name: &str| {
            let (value, _) = line.strip_prefix(name)?.trim().split_once(' ')?;
            value.parse::<u64>().ok()
        };
        size = value("Size:").unwrap_or(size);
        if let Some(pss) = value("Pss:")
            && size < LARGE_KIB
        {
            sum += pss;
        }
    }
    sum
}
