//! Measures our monitor beside QEMU's microvm, each with the same guest, and a share beside an image as a container's
//! root: `xtask bench` runs this in the nested machine.
//!
//! Prints a line `result WHAT COLUMN VALUE` for each figure, in the unit that `WHAT` ends with. `CAISSON_BIN` is the
//! monitor (the runtime is one under that name), `CAISSON_GUEST` the folder with kernel and agent.

mod root;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use caisson_vm_tests::guest::{JAILED, initial_ramdisk, scratch};
use caisson_vmm::{Config, Disk, Jail, Serial, Tap, Vsock};
use serde_json::{Value, json};

/// A guest that does not come so far by then never will.
const PATIENCE: Duration = Duration::from_secs(150);
const MEMORY_MIB: u32 = 256;
/// The mapping of the guest's memory is the only one as large.
const LARGE_KIB: u64 = 100 << 10;
const CMDLINE: &str = "console=ttyS0 quiet reboot=k panic=-1 noxsaves mitigations=off";
const TAP: &str = "vmbench0";
const DISK_MIB: usize = 32;
const NET_BYTES: usize = 16 << 20;
const TO_HOST: u16 = 7001;
const FROM_HOST: u16 = 7002;
/// The agent's port, and its marks in `stats` of the control socket.
const AGENT_PORT: u32 = 1024;
const ROUNDS: usize = 3;

/// What the guest does once it is up. Its clock is the host's, through KVM.
fn script() -> String {
    let disk_bytes = DISK_MIB << 20;
    format!(
        "now() {{ /init now; }}\n\
         told() {{ echo bench $1 $2 $(($(now) - $began)); }}\n\
         began=$(now); dd if=/dev/vda of=/dev/null bs=1M count={DISK_MIB} iflag=direct 2>/dev/null; told read {disk_bytes}\n\
         began=$(now); dd if=/dev/zero of=/dev/vda bs=1M count={DISK_MIB} oflag=direct 2>/dev/null; told write {disk_bytes}\n\
         ip address add 192.0.2.2/24 dev eth0 && ip link set eth0 up\n\
         head -c {NET_BYTES} /dev/zero | nc 192.0.2.1 {TO_HOST}\n\
         began=$(now); nc 192.0.2.1 {FROM_HOST} </dev/null >/dev/null; told received {NET_BYTES}\n\
         echo bench done\n"
    )
}

fn main() {
    let directory = scratch();
    ip(&format!("tuntap add {TAP} mode tap vnet_hdr"));
    ip(&format!("address add 192.0.2.1/24 dev {TAP}"));
    ip(&format!("link set {TAP} up"));
    let ramdisk = directory.path().join("initrd");
    fs::write(&ramdisk, initial_ramdisk(directory.path(), Some(&script()))).expect("the ramdisk");
    let disk = directory.path().join("disk");
    fs::write(&disk, vec![0x5a; DISK_MIB << 20]).expect("the disk");
    for round in 0..ROUNDS {
        let order = [Kind::Ours, Kind::Qemu];
        for kind in if round % 2 == 0 {
            order
        } else {
            [Kind::Qemu, Kind::Ours]
        } {
            Machine::start(kind, directory.path()).measure();
        }
        marks(directory.path());
    }
    ip(&format!("link delete {TAP}"));
    root::measure();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Qemu,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ours => "caisson",
            Kind::Qemu => "qemu",
        }
    }
}

fn result(what: &str, kind: Kind, value: f64) {
    println!("result {what} {} {value:.3}", kind.name());
}

/// A guest with a disk and an interface.
struct Machine {
    kind: Kind,
    serial: PathBuf,
    process: Child,
    began: Instant,
}

impl Machine {
    fn start(kind: Kind, directory: &Path) -> Machine {
        let serial = directory.join("serial");
        // The one before may have left one.
        fs::remove_file(&serial).ok();
        let mut command = match kind {
            Kind::Ours => monitor(&config(directory, &directory.join("initrd")), directory),
            Kind::Qemu => qemu(directory, &serial),
        };
        let began = Instant::now();
        let process = command.stdin(Stdio::null()).spawn();
        Machine {
            kind,
            serial,
            process: process.expect("the monitor runs"),
            began,
        }
    }

    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let said = fs::read(&self.serial).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            if said.contains(text) {
                return said;
            }
            let ended = self.process.try_wait().expect("our child");
            assert!(
                ended.is_none() && self.began.elapsed() < PATIENCE,
                "{}: no {text:?} ({ended:?}): {said}",
                self.kind.name()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn measure(mut self) {
        let listen = |port| TcpListener::bind(("192.0.2.1", port)).expect("a port");
        let (up, down) = (listen(TO_HOST), listen(FROM_HOST));
        self.wait_for("init: ready");
        let kind = self.kind;
        result(
            "start to init, ms",
            kind,
            milliseconds(self.began.elapsed()),
        );
        let to_host = thread::spawn(move || {
            let (mut stream, _) = up.accept().expect("the guest connects");
            let began = Instant::now();
            let bytes = std::io::copy(&mut stream, &mut std::io::sink()).expect("all of it");
            assert_eq!(bytes, NET_BYTES as u64);
            began.elapsed()
        });
        let from_host = thread::spawn(move || {
            let (mut stream, _) = down.accept().expect("the guest connects");
            stream.write_all(&vec![0; NET_BYTES]).expect("all of it");
        });
        let speed = |time: Duration| NET_BYTES as f64 / 1e6 / time.as_secs_f64();
        let said = self.wait_for("bench done");
        let measured = |what: &str| {
            let line = said
                .lines()
                .find_map(|line| line.trim().strip_prefix(&format!("bench {what} ")));
            let mut numbers = line.unwrap_or_default().split(' ').map(str::parse::<f64>);
            let (Some(Ok(bytes)), Some(Ok(ns))) = (numbers.next(), numbers.next()) else {
                panic!("no figure for {what}: {said}");
            };
            bytes * 1e3 / ns.max(1.0)
        };
        result("block read, MB/s", kind, measured("read"));
        result("block write, MB/s", kind, measured("write"));
        result(
            "net to host, MB/s",
            kind,
            speed(to_host.join().expect("up")),
        );
        from_host.join().expect("down");
        result("net from host, MB/s", kind, measured("received"));
        let pid = self.process.id();
        result("memory beside the guest's, MiB", kind, overhead_mib(pid));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn guest_file(name: &str) -> PathBuf {
    let folder = std::env::var_os("CAISSON_GUEST").expect("CAISSON_GUEST is set");
    Path::new(&folder).join(name)
}

fn config(directory: &Path, initrd: &Path) -> Config {
    Config {
        kernel: guest_file("vmlinux"),
        initrd: Some(initrd.to_owned()),
        cmdline: CMDLINE.to_owned(),
        memory_mib: MEMORY_MIB,
        growth_mib: 0,
        vcpus: 1,
        disks: vec![Disk {
            path: directory.join("disk"),
            read_only: false,
            serial: String::new(),
        }],
        vsock: None,
        fs: None,
        taps: vec![Tap {
            name: TAP.to_owned(),
            mac: "02:00:00:00:00:08".to_owned(),
            mtu: None,
        }],
        serial: Serial::File(directory.join("serial")),
        control: None,
        jail: Some(Jail {
            uid: JAILED,
            gid: JAILED,
        }),
    }
}

/// The runtime, which is the monitor under this name.
fn monitor(config: &Config, directory: &Path) -> Command {
    let path = directory.join("config.json");
    let text = serde_json::to_vec(config).expect("a configuration is JSON");
    fs::write(&path, text).expect("the configuration is written");
    let mut command = Command::new(std::env::var_os("CAISSON_BIN").expect("CAISSON_BIN is set"));
    command.arg0("caisson-vmm").arg(path);
    command
}

fn qemu(directory: &Path, serial: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-M", "microvm,acpi=off,pic=off,pit=off,rtc=off"])
        .args(["-accel", "kvm", "-cpu", "host", "-smp", "1", "-m"])
        .arg(format!("{MEMORY_MIB}M"))
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-append", CMDLINE, "-serial"])
        .arg(format!("file:{}", serial.display()))
        .arg("-kernel")
        .arg(guest_file("vmlinux"))
        .arg("-initrd")
        .arg(directory.join("initrd"))
        .arg("-drive")
        .arg(format!(
            "id=disk,file={},format=raw,if=none",
            directory.join("disk").display()
        ))
        .args(["-device", "virtio-blk-device,drive=disk", "-netdev"])
        .arg(format!(
            "tap,id=net,ifname={TAP},script=no,downscript=no,vhost=off"
        ))
        .args(["-device", "virtio-net-device,netdev=net"]);
    command
}

/// The way to a container's agent: kernel and ramdisk of the runtime.
fn marks(directory: &Path) {
    let mut config = config(directory, &guest_file("initrd"));
    config.taps.clear();
    config.vsock = Some(Vsock {
        cid: 3,
        socket: directory.join("vsock"),
    });
    config.control = Some(directory.join("control"));
    let began = Instant::now();
    let process = monitor(&config, directory).stdin(Stdio::null()).spawn();
    let machine = Machine {
        kind: Kind::Ours,
        serial: directory.join("serial"),
        process: process.expect("the monitor runs"),
        began,
    };
    while !answers(&directory.join("vsock")) {
        assert!(began.elapsed() < PATIENCE, "no agent");
        thread::sleep(Duration::from_millis(2));
    }
    result(
        "start to the agent's answer, ms",
        Kind::Ours,
        milliseconds(began.elapsed()),
    );
    let stats = stats(&directory.join("control"));
    let mark = |what: &str, microseconds: &Value| {
        if let Some(microseconds) = microseconds.as_f64() {
            result(what, Kind::Ours, microseconds / 1e3);
        }
    };
    mark("start to the kernel's entry, ms", &stats["entered_us"]);
    for entry in stats["marks"].as_array().into_iter().flatten() {
        match entry["number"].as_u64() {
            Some(1) => mark(
                "start to the first instruction outside the kernel, ms",
                &entry["us"],
            ),
            Some(2) => mark("start to the agent's readiness, ms", &entry["us"]),
            _ => {}
        }
    }
    drop(machine);
    for name in ["vsock", "control"] {
        fs::remove_file(directory.join(name)).ok();
    }
}

fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "CONNECT {AGENT_PORT}")?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"OK ")
    };
    ask().unwrap_or(false)
}

fn stats(socket: &Path) -> Value {
    let mut stream = UnixStream::connect(socket).expect("the control socket");
    writeln!(stream, "{}", json!({"op": "stats"})).expect("the monitor reads");
    let mut answer = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|count| count == 1) && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    serde_json::from_slice(&answer).expect("an answer in JSON")
}

/// Proportional size of all mappings but those of the guest's memory.
fn overhead_mib(pid: u32) -> f64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("its mappings");
    let (mut sum_kib, mut size) = (0, 0);
    for line in maps.lines() {
        let value = |name: &str| {
            let (value, _) = line.strip_prefix(name)?.trim().split_once(' ')?;
            value.parse::<u64>().ok()
        };
        size = value("Size:").unwrap_or(size);
        if let Some(pss) = value("Pss:").filter(|_| size < LARGE_KIB) {
            sum_kib += pss;
        }
    }
    sum_kib as f64 / 1024.0
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("ip runs");
    assert!(status.success(), "ip {arguments}");
}
