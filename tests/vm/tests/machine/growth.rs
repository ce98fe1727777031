//! Memory that a machine gets while it runs, and gives back.

use caisson_vm_tests::guest::Guest;
use serde_json::{Value, json};

use crate::Case;
use crate::balloon::{resident_mib, wait};
use crate::container::Bundle;
use crate::kernel;

/// For the machine alone.
pub(crate) const CASES: &[Case] = &[
    ("growth_machine", machine),
    ("growth_costs_nothing_before", costs_nothing_before),
];
/// With containers in it.
pub(crate) const CONTAINER_CASES: &[Case] = &[
    ("growth_update", || update(None)),
    ("growth_update_debian", || {
        if let Some(annotations) = kernel::annotations() {
            update(Some(annotations));
        }
    }),
];

fn total_mib(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|value| value.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("MemTotal")
        / 1024
}

fn machine() {
    let guest = Guest::boot(|config, _| {
        config.memory_mib = 192;
        config.growth_mib = 512;
    });
    if !guest
        .run("ls /sys/bus/virtio/drivers")
        .contains("virtio_mem")
    {
        println!("the guest kernel has no CONFIG_VIRTIO_MEM: not tested");
        return;
    }
    let total = || total_mib(&guest.run("cat /proc/meminfo"));
    let ask = |mib: u32| guest.request(&format!("{{\"op\": \"memory\", \"mib\": {mib}}}"));
    let actual = || guest.control("stats")["memory"]["actual_mib"].clone();
    let before = total();
    assert_eq!(ask(192 + 256)["ok"], true);
    wait(|| actual() == 192 + 256, "two blocks");
    wait(|| total() > before + 240, "the guest to use them");

    // More than there was before, on a tmpfs that may be as large as that.
    let used = guest.run(
        "mount -o remount,size=90% /tmp 2>/dev/null || mount -t tmpfs -o size=90% tmpfs /tmp; \
         dd if=/dev/zero of=/tmp/big bs=1M count=250 2>/dev/null; wc -c < /tmp/big",
    );
    assert_eq!(used, "262144000\n");
    let full = resident_mib(&guest);
    assert!(full > 250, "{full} MiB");

    assert_eq!(
        guest.run("rm /tmp/big; echo 3 > /proc/sys/vm/drop_caches"),
        ""
    );
    assert_eq!(ask(192)["ok"], true);
    wait(|| actual() == 192, "all blocks to come back");
    wait(|| total() <= before, "the guest to be as small as before");
    wait(|| resident_mib(&guest) < full - 150, "the host to have it");
    assert_eq!(guest.run("echo alive"), "alive\n");
    let refused = ask(192 + 513);
    assert!(
        refused["error"]
            .as_str()
            .is_some_and(|words| words.contains("704")),
        "{refused}"
    );
    let stats = guest.control("stats");
    for device in stats["devices"].as_array().into_iter().flatten() {
        assert_eq!(device["errors"], 0, "{stats}");
    }
}

/// 64 GiB that may come beside none.
fn costs_nothing_before() {
    let costs = |growth_mib: u32| {
        let guest = Guest::boot(|config, _| {
            config.memory_mib = 192;
            config.growth_mib = growth_mib;
        });
        let stats = guest.control("stats");
        let entered_us = stats["entered_us"].as_u64().expect("it runs");
        let free = guest.run("grep MemAvailable /proc/meminfo");
        (resident_mib(&guest), entered_us, free)
    };
    let (without, with) = (costs(0), costs(64 << 10));
    println!("resident MiB, microseconds to the kernel, guest: {without:?} and {with:?}");
    assert!(with.0 < without.0 + 8, "{without:?} and {with:?}");
}

fn update(annotations: Option<Value>) {
    let bundle = Bundle::new(&["sleep", "1000"], |config| {
        if let Some(annotations) = annotations {
            config["annotations"] = annotations;
        }
        config["linux"]["resources"]["memory"] = json!({"limit": 128 << 20});
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.push(json!({
            "destination": "/big", "type": "tmpfs", "source": "tmpfs", "options": ["size=500m"]
        }));
    });
    bundle.create(&["vm-grow"]);
    bundle.done(&["start", "vm-grow"]);
    let guest = |script: &str| bundle.done(&["exec", "vm-grow", "sh", "-c", script]);
    if !guest("ls /sys/bus/virtio/drivers").contains("virtio_mem") {
        println!("the guest kernel has no CONFIG_VIRTIO_MEM: not tested");
        bundle.done(&["delete", "--force", "vm-grow"]);
        return;
    }
    let total = || total_mib(&guest("cat /proc/meminfo"));
    let before = total();
    assert!(before < 210, "{before} MiB");
    bundle.done(&["update", "--memory", "400m", "vm-grow"]);
    let grown = total();
    assert!(grown > 400 && grown < 600, "{grown} MiB");
    let used = guest("dd if=/dev/zero of=/big/file bs=1M count=300 2>/dev/null; wc -c < /big/file");
    assert_eq!(used, "314572800\n");
    guest("rm /big/file");

    // Of its one processor a half, and no second one.
    bundle.done(&["update", "--cpu-quota", "50000", "vm-grow"]);
    assert_eq!(guest("cat /sys/fs/cgroup/cpu.max"), "50000 100000\n");
    let output = bundle.run(&["update", "--cpu-quota", "150000", "vm-grow"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("linux.resources.cpu.quota") && said.contains("150000"),
        "{said}"
    );

    bundle.done(&["update", "--memory", "128m", "vm-grow"]);
    wait(|| total() <= before, "the guest to give its memory back");

    let output = bundle.run(&["update", "--memory", "100t", "vm-grow"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("linux.resources.memory.limit"),
        "{said}"
    );
    bundle.done(&["delete", "--force", "vm-grow"]);
    bundle.assert_nothing_left("vm-grow");
}
