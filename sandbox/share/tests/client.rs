//! Linux's own FUSE client in front of the server, as in a guest but without one: /dev/fuse in the place of the monitor's
//! socket. Needs root, /dev/fuse and gcc.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use caisson_share::Server;
use caisson_sys::namespace::{Namespaces, unshare};
use caisson_wire::share::{AnswerHeader, Coherence, MAX_FUSE_BYTES, Order, RequestHeader};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

/// As many as the program has.
const THREADS: usize = 4;

/// A mount of a server with shares, in a mount namespace of the calling thread's and its children's.
struct Client {
    folder: tempfile::TempDir,
}

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
            thread::spawn(move || serve(&device, &server));
        }
        Client { folder }
    }

    /// As the host sees it.
    fn host(&self, name: &str) -> PathBuf {
        self.folder.path().join("host").join(name)
    }

    /// As the guest does.
    fn guest(&self, name: &str) -> PathBuf {
        self.folder.path().join("guest").join(name)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The scratch directory can be removed when nothing is mounted in it.
        unmount(self.folder.path().join("guest"), UnmountFlags::DETACH).ok();
    }
}

fn serve(device: &File, server: &Server) {
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
        // Longer than a name is believed.
        thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(fs::read_dir(&parent).expect("the share").count(), 301);
        assert!(place.join("mounted").exists(), "{share}");
    }
}
