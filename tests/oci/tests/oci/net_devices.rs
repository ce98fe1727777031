//! `linux.netDevices`: devices of a network namespace that stands for the host's.

use std::process::{Command, Stdio};

use caisson_oci_tests::{Bundle, Done};
use serde_json::json;

/// Run `caisson arguments` in a new network namespace that `before` has set up, and `after` in there.
fn in_network(bundle: &Bundle, before: &str, arguments: &[&str], after: &str) -> Done {
    let caisson = bundle.command(arguments);
    let script = format!(
        "set -e; ip link set lo up; {before}; set +e; \"$0\" \"$@\"; status=$?; {after}; exit $status"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]);
    command.arg(caisson.get_program()).args(caisson.get_args());
    command.stdin(Stdio::null()).current_dir(&bundle.folder);
    Done::from(command.output().expect("unshare"))
}

const DEVICES: &str = "ip link add v0 type veth peer name v1; ip tuntap add t0 mode tap; \
    ip addr add 192.0.2.7/24 brd + dev v0; ip addr add 2001:db8::7/64 dev v0 nodad; ip link set v0 up; \
    ip addr add 169.254.3.3/16 dev t0 scope link; ip addr add 198.51.100.1/32 dev t0";

const SHOW: &str = "busybox ip -o addr | busybox awk '{print $2, $3, $4}' | busybox grep -v fe80; busybox ip link show eth7";

#[test]
fn devices_become_the_containers_with_names_and_addresses() {
    for mapped in [false, true] {
        let mut bundle = Bundle::new(SHOW);
        if mapped {
            bundle.map_ids();
        }
        bundle.config["linux"]["netDevices"] = json!({"v0": {"name": "eth7"}, "t0": {}});
        let after = "ip link show t0 || echo gone; ip link show v0 || echo gone; while ip link show v1 >/dev/null; do sleep 0.1; done";
        let done = in_network(&bundle, DEVICES, &["run", &bundle.id], after).succeeded();
        let lines: Vec<&str> = done.stdout.lines().collect();
        for line in [
            "eth7 inet 192.0.2.7/24",
            "eth7 inet6 2001:db8::7/64",
            "t0 inet 198.51.100.1/32",
        ] {
            assert!(lines.contains(&line), "{line}: {}", done.stdout);
        }
        assert!(!done.stdout.contains("169.254"), "{}", done.stdout);
        assert!(
            done.stdout.contains("eth7") && done.stdout.contains("UP"),
            "{}",
            done.stdout
        );
        // What is virtual ends with the container, and takes its other end along.
        assert!(done.stdout.ends_with("gone\n"), "{}", done.stdout);
        bundle.assert_nothing_left();
    }
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    let tries = [
        (
            json!({"none0": {}}),
            &["linux.netDevices.none0", "No such device"][..],
        ),
        (json!({"t0": {}, "none0": {}}), &["linux.netDevices.none0"]),
        (
            json!({"v0": {"name": "lo"}}),
            &["linux.netDevices.v0", "move to the container as lo"],
        ),
        (json!({"lo": {"name": "l1"}}), &["linux.netDevices.lo"]),
        (
            json!({"v0": {"name": "a/b"}}),
            &["linux.netDevices.v0.name", "a/b"],
        ),
        (
            json!({"v0": {"name": "x"}, "t0": {"name": "x"}}),
            &["linux.netDevices.v0.name", "another"],
        ),
    ];
    for (devices, parts) in tries {
        let mut bundle = Bundle::new("true");
        bundle.config["linux"]["netDevices"] = devices;
        let after = "ip -o link show t0 | cut -d: -f2";
        let done = in_network(&bundle, DEVICES, &["run", &bundle.id], after).refused(parts);
        assert_eq!(done.stdout, " t0\n", "{parts:?}");
        bundle.assert_nothing_left();
    }
    let mut bundle = Bundle::new("true");
    bundle.config["linux"]["netDevices"] = json!({"v0": {}});
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut();
    namespaces
        .expect("namespaces")
        .retain(|one| one["type"] != "network");
    let done = in_network(&bundle, DEVICES, &["run", &bundle.id], "true");
    done.refused(&["linux.netDevices", "the host's network namespace"]);
}
