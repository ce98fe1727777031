//! Linux's own FUSE client in front of the server, as in a guest but without one: /dev/fuse in the place of the monitor's
//! socket. Needs root, /dev/fuse and gcc.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use caisson_share::Server;
use caisson_sys::namespace::{Namespaces, unshare};
use caisson_wire::share::{AnswerHeader, Coherence, MAX_FUSE_BYTES, Order, RequestHeader};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

/// Longer than a guest believes anything of a container's root file system.
const BELIEVED: Duration = Duration::from_millis(1200);

/// As many as the program has.
const THREADS: usize = 4;

/// A mount of a server with shares, in a mount namespace of the calling thread's and its children's.
struct Client {
    folder: tempfile::TempDir,
    asked: Arc<Asked>,
}

/// How many requests there were of each kind.
type Asked = [AtomicUsize; 64];

impl Client {
    /// The share `own` is like a container's root file system, `live` like a volume of it.
    fn new(descriptors: usize) -> Client {
        unshare(Namespaces::MOUNT).expect("a mount namespace needs root");
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .expect("private");
        // The server names descriptors in there.
        std::env::set_current_dir("/proc/self/fd").expect("/proc");
        let folder = tempfile::tempdir().expect("a directory");
        let server = Arc::new(Server::new(descriptors));
        let asked: Arc<Asked> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
        for (name, coherence) in [("own", Coherence::Own), ("live", Coherence::Live)] {
            let host = folder.path().join("host").join(name);
            fs::create_dir_all(&host).expect("a directory");
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let root = rustix::fs::open(&host, flags, Mode::empty()).expect("the directory");
            let name = name.to_owned();
            let order = Order::Add { name, coherence };
            server.obey(order, Some(root)).expect("a share");
        }
        let guest = folder.path().join("guest");
        fs::create_dir(&guest).expect("a directory");
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = Arc::new(device.expect("/dev/fuse"));
        // What a guest's virtio-fs sets by itself.
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            device.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).expect("no zero byte");
        mount("server", &guest, "fuse", MountFlags::empty(), &*options).expect("a FUSE mount");
        for _ in 0..THREADS {
            let (device, server) = (Arc::clone(&device), Arc::clone(&server));
            let asked = Arc::clone(&asked);
            thread::spawn(move || serve(&device, &server, &asked));
        }
        Client { folder, asked }
    }

    /// As the host sees it.
    fn host(&self, name: &str) -> PathBuf {
        self.folder.path().join("host").join(name)
    }

    /// As the guest does.
    fn guest(&self, name: &str) -> PathBuf {
        self.folder.path().join("guest").join(name)
    }

    /// How many requests of this kind, `FUSE_*` of linux/fuse.h, a script makes that is run in the guest's view of a share.
    fn cost(&self, share: &str, kind: usize, script: &str) -> usize {
        let asked = || self.asked[kind].load(Ordering::Relaxed);
        let before = asked();
        let status = Command::new("sh")
            .args(["-c", script])
            .current_dir(self.guest(share))
            .status();
        assert!(status.expect("sh runs").success(), "{script}");
        asked() - before
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The scratch directory can be removed when nothing is mounted in it.
        unmount(self.folder.path().join("guest"), UnmountFlags::DETACH).ok();
    }
}

fn serve(device: &File, server: &Server, asked: &Asked) {
    let room = MAX_FUSE_BYTES as u32;
    let mut message = vec![0; MAX_FUSE_BYTES];
    let mut device_out = device;
    loop {
        let length = match rustix::io::read(device, &mut message[..]) {
            Ok(length) => length,
            // Aborted before it was read.
            Err(Errno::INTR | Errno::NOENT) => continue,
            Err(_) => return,
        };
        if let Some(count) = asked.get(usize::from(message[4])) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let header = RequestHeader { tag: 1, room };
        let packet = [&header.to_bytes(), &message[..length]].concat();
        let answer = server.serve(&packet, Vec::new()).expect("an answer");
        let (_, answer) = AnswerHeader::split(&answer).expect("a header");
        if !answer.is_empty() {
            // Fails for whom nobody waits any more.
            device_out.write_all(answer).ok();
        }
    }
}

fn program(name: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vm/guest");
    let program = folder.join(name);
    let compiled = Command::new("gcc")
        .args(["-O1", "-static", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(source.join(format!("{name}.c")))
        .status();
    assert!(compiled.expect("gcc runs").success());
    program
}

#[test]
fn what_linux_promises_of_files() {
    let client = Client::new(1024);
    let program = program("files", client.folder.path());
    for share in ["own", "live"] {
        let output = Command::new(&program).arg(client.guest(share)).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "done\n", "{share}");
        let left = fs::read_dir(client.host(share)).expect("the share").count();
        assert_eq!(left, 0, "{share}");
    }
}

/// A tree of more files than the server has descriptors, written and read through it.
#[test]
fn a_tree_larger_than_the_servers_table() {
    let client = Client::new(164);
    let script = "set -e; cd \"$0\"; for d in $(seq 20); do mkdir $d; for f in $(seq 40); do echo $d/$f > $d/$f; done; done; \
        find . -type f | wc -l; cat */* | wc -l; mv 1 one; cat one/40; exec 3< 2/2; rm 2/2; ls -lR . > /dev/null; cat <&3; \
        cat */* | wc -l; cp -a . ../own/copy; diff -r . ../own/copy; rm -r ./*; ls -A | wc -l";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(client.guest("live"))
        .output()
        .expect("sh runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "800\n800\n1/40\n2/2\n799\n0\n");
    assert_eq!(
        fs::read_to_string(client.host("own").join("copy/3/3"))
            .ok()
            .as_deref(),
        Some("3/3\n")
    );
}

/// Directories stay themselves, or what a guest has mounted on them would go.
#[test]
fn what_is_mounted_in_a_share_stays() {
    let client = Client::new(164);
    for share in ["own", "live"] {
        let place = client.guest(share).join("place");
        fs::create_dir(&place).expect("a directory");
        mount("tmpfs", &place, "tmpfs", MountFlags::empty(), None).expect("a mount");
        fs::write(place.join("mounted"), "").expect("a file");
        let parent = client.guest(share);
        for number in 0..300 {
            fs::write(parent.join(number.to_string()), "").expect("a file");
        }
        thread::sleep(BELIEVED);
        assert_eq!(fs::read_dir(&parent).expect("the share").count(), 301);
        assert!(place.join("mounted").exists(), "{share}");
    }
}

/// What a walk meets again and again, as it does in merged directories and along search paths.
#[test]
fn links_and_absent_names_are_asked_for_once() {
    const LOOKUP: usize = 1;
    const READLINK: usize = 5;
    const AGAIN: &str = "for i in 1 2 3 4 5 6 7 8; do";
    let client = Client::new(1024);
    for share in ["own", "live"] {
        let host = client.host(share);
        fs::create_dir(host.join("first")).expect("a directory");
        fs::write(host.join("first/name"), "first").expect("a file");
        symlink("first", host.join("link")).expect("a link");
        let script = format!("{AGAIN} [ $(cat link/name) = first ] || exit 1; done");
        assert_eq!(client.cost(share, READLINK, &script), 1, "{share}");
        // Another link is read, also one that has the number of the one before.
        fs::create_dir(host.join("second")).expect("a directory");
        fs::write(host.join("second/name"), "second").expect("a file");
        fs::remove_file(host.join("link")).expect("removed");
        symlink("second", host.join("link")).expect("a link");
        thread::sleep(BELIEVED);
        client.cost(share, READLINK, "[ $(cat link/name) = second ]");
    }
    let absent = format!("{AGAIN} [ ! -e absent ] || exit 1; done");
    // The name of the share may be asked for as well.
    assert!(client.cost("own", LOOKUP, &absent) <= 2);
    assert!(client.cost("live", LOOKUP, &absent) >= 8);
    for share in ["own", "live"] {
        fs::write(client.host(share).join("absent"), "").expect("a file");
        if share == "own" {
            thread::sleep(BELIEVED);
        }
        client.cost(share, LOOKUP, "[ -e absent ]");
        let made = client.guest(share).join("made");
        assert!(!made.exists());
        fs::write(&made, "").expect("a file");
        assert!(made.exists());
    }
}
