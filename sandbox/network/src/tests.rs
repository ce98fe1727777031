//! On the host's kernel, in network namespaces of threads. They need root, `ip` and busybox.

use std::process::Command;

use caisson_sys::namespace::{Namespaces, unshare};
use caisson_wire::network::{Interface, Network};

use crate::{NetworkError, connect, disconnect, probe, read, write};

/// Run in a new network namespace.
fn alone<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        unshare(Namespaces::NET).expect("unshare");
        ip("link set lo up");
        body()
    });
    thread.join().expect("the test's thread")
}

/// A child is in the network namespace of the thread that makes it.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An Ethernet interface with nothing at its other end.
fn ethernet(name: &str) {
    ip(&format!("tuntap add {name} mode tap"));
}

fn index(name: &str) -> u32 {
    let line = ip(&format!("-o link show {name}"));
    let number = line.split(':').next().and_then(|text| text.parse().ok());
    number.expect("a number")
}

/// Without numbers of interfaces and without flags that a copy has.
fn shown() -> String {
    let mut shown = String::new();
    for what in [
        "-o addr show",
        "-4 route show table all",
        "-6 route show table all",
        "neigh show nud permanent",
        "-4 rule show",
        "-6 rule show",
    ] {
        let mut lines: Vec<String> = ip(what)
            .lines()
            .filter(|line| !line.contains("table local"))
            .map(|line| {
                let words = line.split_whitespace();
                let skipped = if what.starts_with("-o") { 1 } else { 0 };
                let words = words.skip(skipped).filter(|word| *word != "nodad");
                words.collect::<Vec<_>>().join(" ")
            })
            .collect();
        lines.sort();
        shown += &format!("{what}\n{}\n", lines.join("\n"));
    }
    shown
}

#[test]
fn what_a_pod_has_is_what_a_guest_gets() {
    let (network, pod) = alone(|| {
        // Numbers that the guest's interfaces will not have.
        for name in ["gone0", "eth0", "net1"] {
            ethernet(name);
        }
        ip("link delete gone0");
        ip("link set eth0 address 02:00:00:00:00:01 mtu 1400 up");
        ip("link set net1 address 02:00:00:00:00:02 up");
        for set in [
            "addr add 10.1.2.3/24 brd 10.1.2.255 dev eth0",
            "addr add 10.9.9.9/32 dev lo",
            "addr add 169.254.7.7/32 dev net1 scope link",
            "addr add 192.0.2.5/24 dev net1",
            "addr add 2001:db8::5/64 dev eth0 nodad",
            "addr add 2001:db8:1::1/128 dev net1 nodad",
            "route add default via 10.1.2.1 dev eth0 src 10.1.2.3 mtu lock 1300",
            "route add 198.51.100.0/24 via 169.254.1.1 dev net1 onlink",
            "route add 203.0.113.0/24 dev eth0 scope link metric 77",
            "route add blackhole 203.0.113.128/25",
            "route add unreachable 2001:db8:dead::/48",
            "route add 2001:db8:2::/48 via 2001:db8::1 dev eth0",
            "route add default via fe80::1 dev eth0",
            "route add default via 10.1.2.1 dev eth0 table 100",
            "rule add from 10.1.2.3 table 100 priority 512",
            "neigh add 10.1.2.1 lladdr 02:00:00:00:00:aa dev eth0 nud permanent",
            "neigh add fe80::1 lladdr 02:00:00:00:00:aa dev eth0 nud permanent",
            // Somebody has put another route in its place.
            "route delete 192.0.2.0/24 dev net1",
            "route add 192.0.2.1 dev net1 scope link",
        ] {
            ip(set);
        }
        (read().expect("read"), shown())
    });
    let names: Vec<_> = network.interfaces.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["eth0", "net1"]);
    let (guest, again) = alone(move || {
        // The kernel's names stand in the way of the pod's.
        for name in ["net1", "eth0"] {
            ethernet(name);
        }
        let devices = [index("net1"), index("eth0")];
        write(&network, &devices).expect("write");
        let links = ip("-o link show");
        assert!(
            links.contains("eth0: ")
                && links.contains("mtu 1400")
                && links.contains("02:00:00:00:00:01"),
            "{links}"
        );
        let seen = shown();
        (seen, read().expect("read"))
    });
    assert_eq!(pod, guest.replace(" noprefixroute", ""));
    assert_eq!(again.interfaces.len(), 2);
}

#[test]
fn a_namespace_with_nothing_but_lo_is_an_empty_network() {
    let network = alone(|| read().expect("read"));
    assert_eq!(network.interfaces, []);
    alone(move || write(&network, &[]).expect("write"));
    let one = Network {
        interfaces: vec![Interface::default()],
        ..Network::default()
    };
    let error = alone(move || write(&one, &[]).expect_err("no device"));
    assert!(matches!(error, NetworkError::NoInterface(_)), "{error}");
}

/// Kernels here may lack it; then that is said.
#[test]
fn what_the_kernel_lacks_for_machines_is_named() {
    match alone(|| (probe(), probe())) {
        (Ok(()), again) => assert!(
            matches!(again, Err(NetworkError::Occupied { .. })),
            "{again:?}"
        ),
        (Err(error), _) => {
            let said = error.to_string();
            assert!(
                said.starts_with("lo: ") && said.contains("needs CONFIG_NET_"),
                "{said}"
            );
        }
    }
}

/// A namespace at the far end of an interface, removed with what is in it.
struct FarEnd(String);

impl FarEnd {
    /// With the other end of `device`, which gets this address.
    fn new(device: &str, address: &str) -> FarEnd {
        let end = FarEnd(format!("caisson-{device}-{}", std::process::id()));
        ip(&format!("netns add {}", end.0));
        ip(&format!("link add {device} type veth peer name far"));
        ip(&format!("link set far netns {}", end.0));
        ip(&format!("-n {} address add {address}/24 dev far", end.0));
        ip(&format!("-n {} link set far up", end.0));
        end
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.0));
    }
}

/// Between two ends that can reach each other by nothing else. Kernels may lack what it takes, see above.
#[test]
fn frames_go_from_one_to_the_other_and_back() {
    alone(|| {
        let outside = FarEnd::new("eth0", "10.0.0.1");
        let _guest = FarEnd::new("caisson0", "10.0.0.2");
        ip("link set eth0 up");
        let network = read().expect("read");
        let mut interfaces = network.interfaces.iter();
        let eth0 = interfaces.find(|one| one.name == "eth0").expect("eth0");
        match connect(eth0, "caisson0") {
            Err(NetworkError::Unsupported { .. }) => return,
            other => other.expect("connect"),
        }
        let ping = "netns exec {} busybox ping -c 2 -w 10 10.0.0.2".replace("{}", &outside.0);
        assert!(ip(&ping).contains(" 0% packet loss"));
        disconnect().expect("disconnect");
    });
}
