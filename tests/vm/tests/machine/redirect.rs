//! An interface and a tap that are connected, on the kernel of a host that has the parts.

use std::process::Command;

use caisson_network::{NetworkError, connect, disconnect, read};
use caisson_sys::namespace::{Namespaces, unshare};

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("redirect::until_it_is_taken_back", until_it_is_taken_back),
    ("redirect::leaves_others_alone", leaves_others_alone),
];

/// Run in a new network namespace.
fn alone(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(Namespaces::NET).expect("unshare");
        body();
    });
    thread.join().expect("the test's thread");
}

/// A child is in the network namespace of the thread that makes it.
fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output();
    let output = output.expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn interface(name: &str) -> caisson_wire::network::Interface {
    let network = read().expect("read");
    let mut found = network.interfaces.into_iter();
    found.find(|one| one.name == name).expect("the interface")
}

fn until_it_is_taken_back() {
    alone(|| {
        run("ip link add eth0 mtu 1400 type veth peer name outside && ip link set eth0 up");
        run("ip tuntap add caisson0 mode tap");
        let eth0 = interface("eth0");
        connect(&eth0, "caisson0").expect("connect");
        let filters = run("tc filter show dev eth0 ingress");
        assert!(filters.contains("Redirect to device caisson0"), "{filters}");
        let filters = run("tc filter show dev caisson0 ingress");
        assert!(filters.contains("Redirect to device eth0"), "{filters}");
        let tap = run("ip address show caisson0");
        assert!(
            tap.contains("mtu 1400") && tap.contains("UP") && !tap.contains("inet6"),
            "{tap}"
        );
        // Another machine must not take the frames of this one.
        run("ip tuntap add caisson1 mode tap");
        let error = connect(&eth0, "caisson1").expect_err("occupied");
        assert!(matches!(error, NetworkError::Occupied { .. }), "{error}");
        // A machine that was killed with everything that belongs to it.
        run("ip link delete caisson0");
        connect(&eth0, "caisson1").expect("connect in place of the dead one");
        disconnect().expect("disconnect");
        let disciplines = run("tc qdisc show");
        assert!(!disciplines.contains("ingress"), "{disciplines}");
        disconnect().expect("nothing is no error");
    });
}

fn leaves_others_alone() {
    alone(|| {
        run("ip link add eth0 type veth peer name outside && ip tuntap add caisson0 mode tap");
        run("tc qdisc add dev eth0 clsact");
        let eth0 = interface("eth0");
        let error = connect(&eth0, "caisson0").expect_err("occupied");
        let said = error.to_string();
        assert!(said.contains("eth0") && said.contains("clsact"), "{said}");
        disconnect().expect("disconnect");
        assert!(run("tc qdisc show").contains("clsact"));
        let error = connect(&eth0, "nothing0").expect_err("no tap");
        assert!(error.to_string().contains("nothing0"), "{error}");
    });
}
