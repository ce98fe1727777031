//! A network interface at a tap.

use std::process::Command;

use caisson_vm_tests::guest::Guest;
use caisson_vmm::Tap;

use crate::Case;

pub(crate) const CASES: &[Case] = &[("net", net)];

const TAP: &str = "vmtest0";

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("ip runs");
    assert!(status.success(), "ip {arguments}");
}

fn net() {
    ip(&format!("tuntap add {TAP} mode tap vnet_hdr"));
    ip(&format!("address add 192.0.2.1/24 dev {TAP}"));
    ip(&format!("link set {TAP} mtu 1400 up"));
    let guest = Guest::boot(|config, _| {
        config.taps.push(Tap {
            name: TAP.to_owned(),
            mac: "02:00:00:00:00:07".to_owned(),
            mtu: Some(1400),
        });
    });
    let interface = guest.run("ip link show eth0");
    assert!(interface.contains("02:00:00:00:00:07"), "{interface}");
    assert!(interface.contains("mtu 1400"), "{interface}");
    let up = guest.run("exec 2>&1; ip address add 192.0.2.2/24 dev eth0 && ip link set eth0 up && ip link set lo up && echo up");
    assert_eq!(up, "up\n");
    let ping = guest.run("ping -c 3 -W 20 192.0.2.1 2>&1");
    assert!(ping.contains("3 packets received"), "{ping}");

    // Segments far larger than the MTU go both ways.
    let listener = std::net::TcpListener::bind("192.0.2.1:7000").expect("a port");
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the guest connects");
        let mut other = stream.try_clone().expect("a second handle");
        std::io::copy(&mut stream, &mut other).expect("an echo")
    });
    let sums = guest.run(
        "head -c 4000000 /dev/urandom > /tmp/data; (cat /tmp/data; sleep 1) | nc 192.0.2.1 7000 | head -c 4000000 | \
         md5sum; md5sum < /tmp/data",
    );
    let lines: Vec<_> = sums.lines().collect();
    assert_eq!(lines.len(), 2, "{sums}");
    assert_eq!(lines[0], lines[1]);
    let stats = guest.control("stats");
    assert_eq!(stats["devices"][1]["errors"], 0, "{stats}");
    drop(guest);
    host.join().expect("the host's end");
    ip(&format!("link delete {TAP}"));
}
