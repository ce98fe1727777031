//! Files about the machine, /proc/sys and /sys.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{Stand, all_files};
use crate::proc::{Kind, Protection};

/// Directories that look like cgroups.
struct Cgroups {
    base: PathBuf,
    controllers: Vec<String>,
}

impl Cgroups {
    /// With these files: ("controller/file", content); the controller "v2" is the one directory of cgroup v2.
    fn new(test: &str, files: &[(&str, &str)]) -> Cgroups {
        let base = std::env::temp_dir().join(format!("caisson-{test}-{}", std::process::id()));
        let mut controllers = Vec::new();
        for (path, content) in files {
            let (controller, file) = path.split_once('/').unwrap();
            fs::create_dir_all(base.join(controller)).unwrap();
            fs::write(base.join(controller).join(file), content).unwrap();
            controllers.push(controller.to_owned());
        }
        controllers.dedup();
        Cgroups { base, controllers }
    }

    fn open(&self) -> Vec<(String, OwnedFd)> {
        let open = |name: &String| {
            (
                name.replace("v2", ""),
                File::open(self.base.join(name)).unwrap().into(),
            )
        };
        self.controllers.iter().map(open).collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_follows_a_v2_limit() {
    let stat = "anon 10485760\nfile 20971520\nactive_file 12582912\ninactive_file 8388608\nslab_reclaimable 1048576\nslab 2097152\n";
    let files = [
        ("v2/memory.max", "67108864\n"),
        ("v2/memory.current", "33554432\n"),
        ("v2/memory.stat", stat),
    ];
    let groups = Cgroups::new("memory-v2", &files);
    let stand = Stand::with_cgroups(Kind::Proc, groups.open());
    let text = stand.read("meminfo");
    assert_eq!(kilobytes(&text, "MemTotal:"), 65536);
    assert_eq!(kilobytes(&text, "MemFree:"), 32768);
    assert_eq!(
        kilobytes(&text, "MemAvailable:"),
        32768 + 12288 + 8192 + 1024
    );
    assert_eq!(kilobytes(&text, "AnonPages:"), 10240);
}

#[test]
fn memory_follows_a_v1_limit_in_sys_too() {
    let stat =
        "hierarchical_memory_limit 67108864\nhierarchical_memsw_limit 67108864\ntotal_rss 4096\n";
    let files = [
        ("memory/memory.stat", stat),
        ("memory/memory.usage_in_bytes", "1048576\n"),
    ];
    let groups = Cgroups::new("memory-v1", &files);
    let text = Stand::with_cgroups(Kind::Proc, groups.open()).read("meminfo");
    assert_eq!(
        (kilobytes(&text, "MemTotal:"), kilobytes(&text, "MemFree:")),
        (65536, 64512)
    );
    assert_eq!(kilobytes(&text, "SwapTotal:"), 0);
    let sys = Stand::with_cgroups(Kind::Sys(Protection::ReadOnly), groups.open());
    assert!(
        sys.read("devices/system/node/node0/meminfo")
            .contains("MemTotal:          65536 kB\n")
    );
}

#[test]
fn cpus_follow_set_and_quota() {
    let usage = "cpu user system\n0 5000000000 1000000000\n1 0 0\n";
    let files = [
        ("cpuset/cpuset.effective_cpus", "0-1\n"),
        ("cpu/cpu.cfs_quota_us", "50000\n"),
        ("cpu/cpu.cfs_period_us", "100000\n"),
        ("cpuacct/cpuacct.usage_all", usage),
    ];
    let groups = Cgroups::new("cpus", &files);
    let stand = Stand::with_cgroups(Kind::Proc, groups.open());
    assert_eq!(stand.read("cpuinfo").matches("processor\t").count(), 1);
    let stat = stand.read("stat");
    assert!(
        stat.contains("\ncpu0 500 0 100 ") && !stat.contains("\ncpu1 "),
        "{stat}"
    );
    let sys = Stand::with_cgroups(Kind::Sys(Protection::ReadOnly), groups.open());
    assert_eq!(sys.read("devices/system/cpu/online"), "0\n");
    assert!(!sys.path("devices/system/cpu/cpu1").exists());
}

#[test]
fn an_open_file_reads_fresh_after_seek_and_pread() {
    let stand = Stand::new(Kind::Proc);
    let mut file = File::open(stand.path("sys/kernel/random/uuid")).unwrap();
    let mut read = || {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), 37);
        text
    };
    assert_ne!(read(), read());
    let pread = || {
        let mut text = [0; 64];
        assert_eq!(file.read_at(&mut text, 0).unwrap(), 37);
        text
    };
    assert_ne!(pread(), pread());
}

#[test]
fn sysctls_follow_the_configuration() {
    let stand = Stand::new(Kind::Proc);
    assert_eq!(stand.read("sys/kernel/shmmax"), "4711\n");
    assert_eq!(stand.read("sys/kernel/osrelease"), "6.1.0-test\n");
    assert_eq!(stand.read("sys/kernel/hostname"), "testhost\n");
    let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert_eq!(stand.read("sys/net/core/somaxconn"), somaxconn);
    let error = fs::write(stand.path("sys/vm/swappiness"), "1").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    // The walker has no CAP_SYS_ADMIN.
    assert!(fs::write(stand.path("sys/kernel/hostname"), "other").is_err());
}

#[test]
fn sys_shows_cpus_and_interfaces() {
    let stand = Stand::new(Kind::Sys(Protection::ReadOnly));
    assert_eq!(
        stand.read("devices/system/cpu/cpu0/topology/core_id"),
        "0\n"
    );
    assert_eq!(stand.read("class/net/lo/address"), "00:00:00:00:00:00\n");
    assert_eq!(
        stand.read("class/net/lo/mtu"),
        fs::read_to_string("/sys/class/net/lo/mtu").unwrap()
    );
    let mut files = Vec::new();
    all_files(&stand.directory, &mut files);
    for path in files {
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let error = fs::create_dir(stand.path("x")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
}

#[test]
fn changes_of_the_tree_fail_as_on_linux() {
    let stand = Stand::new(Kind::Proc);
    let errno = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
    assert_eq!(errno(fs::create_dir(stand.path("x"))), Some(libc::ENOENT));
    assert_eq!(
        errno(File::create(stand.path("1/x")).map(drop)),
        Some(libc::ENOENT)
    );
    assert_eq!(
        errno(fs::remove_file(stand.path("version"))),
        Some(libc::EPERM)
    );
    assert_eq!(
        errno(fs::write(stand.path("version"), "x")),
        Some(libc::EIO)
    );
    assert_eq!(
        errno(std::os::unix::fs::chown(
            stand.path("1/maps"),
            Some(1),
            None
        )),
        Some(libc::EPERM)
    );
}

#[test]
fn every_thread_enters_the_guests_namespaces() {
    let stand = Stand::new(Kind::Proc);
    stand.mount.settle().unwrap();
    let threads = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let own = fs::read_link("/proc/self/ns/ipc").unwrap();
    let guest = fs::read_link(format!("/proc/{}/ns/ipc", stand.init)).unwrap();
    assert_ne!(own, guest);
    let inside =
        threads.filter(|thread| fs::read_link(thread.join("ns/ipc")).is_ok_and(|ipc| ipc == guest));
    assert_eq!(inside.count(), 2);
}
