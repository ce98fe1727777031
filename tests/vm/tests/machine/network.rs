//! The pod's network in the guest: interfaces, addresses and routes, and that they carry something.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Case;
use crate::container::Bundle;

/// With `CAISSON_GUEST`, as all containers.
pub(crate) const CASES: &[Case] = &[
    ("network::is_the_pods", is_the_pods),
    ("network::made_by_cni", made_by_cni),
    (
        "network::made_after_the_container",
        made_after_the_container,
    ),
    ("network::is_given_back", is_given_back),
    ("network::of_the_host_is_refused", of_the_host_is_refused),
];

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output();
    let output = output.expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A named network namespace, removed with everything in it.
pub(crate) struct Namespace(&'static str);

impl Namespace {
    pub(crate) fn new(name: &'static str) -> Namespace {
        run(&format!(
            "ip netns add {name} && ip -n {name} link set lo up"
        ));
        Namespace(name)
    }

    pub(crate) fn run(&self, command: &str) -> String {
        run(&format!("ip netns exec {} {command}", self.0))
    }

    /// In a container's config.json.
    pub(crate) fn join(&self, config: &mut Value) {
        let path = format!("/run/netns/{}", self.0);
        set_network(config, &json!({"type": "network", "path": path}));
    }

    /// No taps and no traffic control.
    pub(crate) fn assert_clean(&self) {
        let links = self.run("ip link");
        assert!(!links.contains("caisson"), "{links}");
        let disciplines = self.run("tc qdisc");
        assert!(!disciplines.contains("ingress"), "{disciplines}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip")
            .args(["netns", "delete", self.0])
            .status();
        drop(deleted);
    }
}

pub(crate) fn set_network(config: &mut Value, namespace: &Value) {
    let namespaces = config["linux"]["namespaces"]
        .as_array_mut()
        .expect("namespaces");
    namespaces.retain(|one| one["type"] != "network");
    namespaces.push(namespace.clone());
    // What a pod's network is seen by.
    let bounding = json!(["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_KILL"]);
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = bounding.clone();
    }
}

/// Serve one connection: everything that comes is sent back.
fn echo(address: &str) -> thread::JoinHandle<u64> {
    let listener = TcpListener::bind(address).expect("a port");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the guest connects");
        let mut other = stream.try_clone().expect("a second handle");
        std::io::copy(&mut stream, &mut other).unwrap_or(0)
    })
}

fn is_the_pods() {
    let pod = Namespace::new("vmpod");
    run(
        "ip link add vmhost0 mtu 1400 type veth peer name eth0 netns vmpod mtu 1400
         ip link add vmhost1 mtu 9000 type veth peer name net1 netns vmpod mtu 9000
         ip address add 10.77.0.1/24 dev vmhost0; ip address add fd77::1/64 dev vmhost0 nodad
         ip address add 10.78.0.1/24 dev vmhost1
         ip link set vmhost0 up; ip link set vmhost1 up",
    );
    for set in [
        "link set eth0 address 02:00:00:77:00:02 up",
        "link set net1 up",
        "address add 10.77.0.2/24 brd + dev eth0",
        "address add fd77::2/64 dev eth0 nodad",
        "address add 10.78.0.2/24 dev net1",
        "route add default via 10.77.0.1 dev eth0 src 10.77.0.2",
        "route add 203.0.113.0/24 via 169.254.1.1 dev net1 onlink",
        "-6 route add default via fd77::1 dev eth0",
        "neigh add 169.254.1.1 lladdr 02:00:00:00:00:99 dev net1 nud permanent",
    ] {
        pod.run(&format!("ip {set}"));
    }
    let bundle = Bundle::new(&["sleep", "1000"], |config| pod.join(config));
    bundle.create(&["vm-net"]);
    bundle.done(&["start", "vm-net"]);
    let inside = |script: &str| bundle.done(&["exec", "vm-net", "sh", "-c", script]);
    let seen = inside("ip address; ip route; ip -6 route; ip neigh");
    for wanted in [
        "eth0",
        "mtu 1400",
        "02:00:00:77:00:02",
        "inet 10.77.0.2/24 brd 10.77.0.255",
        "inet6 fd77::2/64",
        "net1",
        "mtu 9000",
        "default via 10.77.0.1 dev eth0",
        "src 10.77.0.2",
        "203.0.113.0/24 via 169.254.1.1 dev net1 onlink",
        "default via fd77::1 dev eth0",
        "169.254.1.1 dev net1 lladdr 02:00:00:00:00:99",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    let pings = inside(
        "ping -c 2 -W 20 10.77.0.1 && ping -c 2 -W 20 -s 8000 10.78.0.1 && ping6 -c 2 -W 20 fd77::1 && \
         ping -c 2 127.0.0.1",
    );
    assert_eq!(pings.matches(" 0% packet loss").count(), 4, "{pings}");
    carries(&inside);
    // The stack of the pod's own namespace hears nothing of it.
    let heard = pod.run("cat /proc/net/snmp");
    let datagrams = heard.lines().filter(|line| line.starts_with("Udp:")).nth(1);
    assert!(
        datagrams.is_some_and(|line| line.starts_with("Udp: 0 ")),
        "{heard}"
    );
    bundle.done(&["delete", "-f", "vm-net"]);
    bundle.assert_nothing_left("vm-net");
    pod.assert_clean();
}

/// Both ways, over IPv4 and IPv6, by TCP and UDP.
fn carries(inside: &dyn Fn(&str) -> String) {
    for address in ["10.77.0.1", "10.78.0.1", "fd77::1"] {
        let literal = if address.contains(':') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        let host = echo(&format!("{literal}:7000"));
        let script = format!(
            "head -c 4000000 /dev/urandom > /dev/shm/data; (cat /dev/shm/data; sleep 2) | nc {address} 7000 | \
             head -c 4000000 | md5sum; md5sum < /dev/shm/data"
        );
        let sums = inside(&script);
        let lines: Vec<_> = sums.lines().collect();
        assert!(
            lines.len() == 2 && lines[0] == lines[1],
            "{address}: {sums}"
        );
        host.join().expect("the host's end");
    }
    let server = thread::spawn(|| name_server("10.77.0.1:53"));
    let answer = inside("nslookup caisson.test 10.77.0.1");
    assert!(answer.contains("198.51.100.7"), "{answer}");
    server.join().expect("the name server");
    speeds(inside);
}

/// Answer one question for an IPv4 address, and refuse others before it.
fn name_server(address: &str) {
    let socket = UdpSocket::bind(address).expect("a port");
    let limit = Some(Duration::from_secs(60));
    socket.set_read_timeout(limit).expect("a time limit");
    loop {
        let mut data = [0; 512];
        let (length, from) = socket.recv_from(&mut data).expect("a question");
        let mut answer = data[..length].to_vec();
        // The question ends with its type, 1 for an IPv4 address, and its class.
        let is_asked = answer[length - 4..length - 2] == [0, 1];
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        if is_asked {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 51, 100, 7]);
        }
        socket.send_to(&answer, from).expect("its way back");
        if is_asked {
            return;
        }
    }
}

/// How fast it is depends on the machine: that is for the reader.
fn speeds(inside: &dyn Fn(&str) -> String) {
    const BYTES: u64 = 8 << 20;
    for (what, script) in [
        (
            "guest to host",
            format!("head -c {BYTES} /dev/zero | nc 10.78.0.1 7002"),
        ),
        (
            "host to guest",
            "nc 10.78.0.1 7002 < /dev/null | wc -c".to_owned(),
        ),
    ] {
        let listener = TcpListener::bind("10.78.0.1:7002").expect("a port");
        let sends = what.starts_with("host");
        let host = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the guest connects");
            let start = Instant::now();
            let mut chunk = vec![0u8; 1 << 20];
            let mut total = 0;
            if sends {
                for _ in 0..BYTES >> 20 {
                    stream.write_all(&chunk).expect("the guest reads");
                }
                return (BYTES, start.elapsed());
            }
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                total += length as u64;
            }
            (total, start.elapsed())
        });
        let said = inside(&script);
        let (total, time) = host.join().expect("the host's end");
        assert_eq!(total, BYTES, "{said}");
        let speed = total as f64 / time.as_secs_f64() / 1e6;
        println!("{what}: {speed:.0} MB/s over a tap of MTU 9000");
    }
}

/// A bridge with addresses from a range, as nodes have it.
fn made_by_cni() {
    let pod = Namespace::new("vmcni");
    let folder = caisson_vm_tests::guest::scratch();
    let configuration = json!({
        "cniVersion": "0.4.0", "name": "vm", "type": "bridge", "bridge": "vmbr0", "isGateway": true,
        "ipam": {
            "type": "host-local", "dataDir": folder.path(), "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "10.79.0.0/24"}], [{"subnet": "fd79::/64"}]],
        },
    });
    let path = folder.path().join("net.conf");
    fs::write(&path, configuration.to_string()).expect("the configuration");
    let cni = |command: &str| {
        run(&format!(
            "CNI_COMMAND={command} CNI_CONTAINERID=vm CNI_NETNS=/run/netns/vmcni CNI_IFNAME=eth0 \
             CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge < {}",
            path.display()
        ))
    };
    cni("ADD");
    let script = "ip -4 address show eth0; ip -6 address show eth0; ping -c 1 -W 20 10.79.0.1; ping6 -c 1 -W 20 fd79::1";
    let bundle = Bundle::new(&["sh", "-c", script], |config| pod.join(config));
    let seen = bundle.done(&["run", "vm-cni"]);
    assert!(
        seen.contains("10.79.0.2/24") && seen.contains("fd79::2/64"),
        "{seen}"
    );
    assert_eq!(seen.matches(" 0% packet loss").count(), 2, "{seen}");
    bundle.assert_nothing_left("vm-cni");
    pod.assert_clean();
    cni("DEL");
    run("ip link delete vmbr0");
}

/// As `ctr run --cni` does it: into the namespace of the process that was created.
fn made_after_the_container() {
    let script = "ip link; ping -c 1 -W 20 10.76.0.1";
    let bundle = Bundle::new(&["sh", "-c", script], |config| {
        set_network(config, &json!({"type": "network"}));
    });
    let log = fs::File::create(bundle.path("said")).expect("a file");
    bundle.create_with(&["--pid-file", "pid", "vm-late"], log);
    let pid = fs::read_to_string(bundle.path("pid")).expect("the pid");
    run(&format!(
        "ip link add vmlate0 mtu 1300 type veth peer name eth0 netns {pid} mtu 1300
         ip address add 10.76.0.1/24 dev vmlate0; ip link set vmlate0 up
         nsenter -t {pid} -n ip address add 10.76.0.2/24 dev eth0
         nsenter -t {pid} -n ip link set eth0 up",
    ));
    bundle.done(&["start", "vm-late"]);
    bundle.wait_for_status("vm-late", "stopped");
    let seen = fs::read_to_string(bundle.path("said")).expect("its output");
    assert!(
        seen.contains("mtu 1300") && seen.contains(" 0% packet loss"),
        "{seen}"
    );
    bundle.done(&["delete", "vm-late"]);
    bundle.assert_nothing_left("vm-late");
    // Nobody makes one: then there is nothing but `lo`.
    let bundle = Bundle::new(&["ls", "/sys/class/net"], |config| {
        set_network(config, &json!({"type": "network"}));
    });
    assert_eq!(bundle.done(&["run", "vm-alone"]), "lo\n");
}

/// Also by those that are killed.
fn is_given_back() {
    let pod = Namespace::new("vmkill");
    run("ip link add vmkill0 type veth peer name eth0 netns vmkill");
    pod.run("ip link set eth0 up");
    let bundle = Bundle::new(&["sleep", "1000"], |config| pod.join(config));
    bundle.create(&["--pid-file", "pid", "vm-back"]);
    assert!(pod.run("tc qdisc").contains("ingress"));
    let pid = fs::read_to_string(bundle.path("pid")).expect("the pid");
    let monitor = run(&format!("cat /proc/{pid}/task/{pid}/children"));
    // The monitor alone: its sandbox takes the rest back.
    run(&format!("kill -9 {monitor}"));
    bundle.wait_for_status("vm-back", "stopped");
    pod.assert_clean();
    bundle.done(&["delete", "vm-back"]);
    // Both: `delete` does.
    bundle.create(&["--pid-file", "pid", "vm-back"]);
    let pid = fs::read_to_string(bundle.path("pid")).expect("the pid");
    run(&format!("kill -9 {pid}"));
    bundle.wait_for_status("vm-back", "stopped");
    bundle.done(&["delete", "vm-back"]);
    bundle.assert_nothing_left("vm-back");
    pod.assert_clean();
}

fn of_the_host_is_refused() {
    let bundle = Bundle::new(&["true"], |config| {
        set_network(
            config,
            &json!({"type": "network", "path": "/proc/1/ns/net"}),
        );
    });
    let output = bundle.run(&["run", "vm-host"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("host's network"),
        "{said}"
    );
    bundle.assert_nothing_left("vm-host");
}
