//! The server in front of a guest, friendly and hostile, without one: requests as bytes, on a tree of the host's.

mod descriptors;
mod hostile;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Once;

use caisson_wire::share::{AnswerHeader, Coherence, MAX_FUSE_BYTES, Order, RequestHeader};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::protocol::{ENTRY_BYTES, OUT_HEADER_BYTES, ROOT, op};
use crate::server::Server;

/// A share `s` of a scratch directory, which lies beside what no guest may reach.
struct Scene {
    server: Server,
    folder: tempfile::TempDir,
}

/// The directory that all tests of this program work in, as the server does.
fn enter_descriptors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::env::set_current_dir("/proc/self/fd").expect("/proc"));
    // As root, tests change the user of their thread and stay able to.
    caisson_sys::credentials::keep_capabilities_across_setuid().ok();
}

impl Scene {
    fn new() -> Scene {
        Scene::with_descriptors(1024)
    }

    fn with_descriptors(descriptors: usize) -> Scene {
        enter_descriptors();
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("secret"), "secret").expect("a file");
        fs::create_dir(folder.path().join("share")).expect("a directory");
        let server = Server::new(descriptors);
        let order = Order::Add {
            name: "s".into(),
            coherence: Coherence::Live,
        };
        let root = path_descriptor(&folder.path().join("share"));
        server.obey(order, Some(root)).expect("a share");
        Scene { server, folder }
    }

    fn share(&self) -> std::path::PathBuf {
        self.folder.path().join("share")
    }

    /// The body of the answer.
    fn ask(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let packet = packet(7, MAX_FUSE_BYTES as u32, opcode, node, body);
        let answer = self.server.serve(&packet, Vec::new()).expect("an answer");
        let (header, fuse) = AnswerHeader::split(&answer).expect("a header");
        assert_eq!(header.tag, 7);
        let number = |at: usize| u32::from_ne_bytes(fuse[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(number(0) as usize, fuse.len());
        match number(4).cast_signed() {
            0 => Ok(fuse[OUT_HEADER_BYTES..].to_vec()),
            error => Err(Errno::from_raw_os_error(-error)),
        }
    }

    /// The number of what `name` is in `parent`.
    fn lookup(&self, parent: u64, name: &str) -> Result<u64, Errno> {
        let answer = self.ask(op::LOOKUP, parent, &zero_ended(name))?;
        assert_eq!(answer.len(), ENTRY_BYTES);
        Ok(first_u64(&answer))
    }

    fn root(&self) -> u64 {
        self.lookup(ROOT, "s").expect("the share")
    }

    fn open(&self, node: u64, flags: i32) -> Result<u64, Errno> {
        let body = [flags.to_ne_bytes(), [0; 4]].concat();
        Ok(first_u64(&self.ask(op::OPEN, node, &body)?))
    }

    fn read(&self, handle: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let mut body = words(&[handle, 0]);
        body.extend_from_slice(&size.to_ne_bytes());
        body.resize(40, 0);
        self.ask(op::READ, 0, &body)
    }

    fn write(&self, handle: u64, offset: u64, flags: i32, data: &[u8]) -> Result<u32, Errno> {
        let mut body = words(&[handle, offset]);
        body.extend_from_slice(&(data.len() as u32).to_ne_bytes());
        body.resize(32, 0);
        body.extend_from_slice(&flags.to_ne_bytes());
        body.resize(40, 0);
        body.extend_from_slice(data);
        let answer = self.ask(op::WRITE, 0, &body)?;
        Ok(first_u64(&answer) as u32)
    }
}

fn path_descriptor(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("it exists")
}

fn packet(tag: u64, room: u32, opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let mut packet = RequestHeader { tag, room }.to_bytes().to_vec();
    packet.extend_from_slice(&(40 + body.len() as u32).to_ne_bytes());
    packet.extend_from_slice(&opcode.to_ne_bytes());
    packet.extend_from_slice(&words(&[99, node]));
    for word in [uid, gid, 1, 0] {
        packet.extend_from_slice(&word.to_ne_bytes());
    }
    packet.extend_from_slice(body);
    packet
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn zero_ended(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn first_u64(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().expect("8 bytes"))
}

#[test]
fn what_the_host_writes_is_read_and_the_other_way_round() {
    let scene = Scene::new();
    let root = scene.root();
    fs::write(scene.share().join("file"), "host").expect("a file");
    let file = scene.lookup(root, "file").expect("the file");
    let handle = scene.open(file, libc_rdwr()).expect("open");
    assert_eq!(scene.read(handle, 100).as_deref(), Ok(b"host".as_slice()));
    assert_eq!(scene.write(handle, 0, 0, b"GUEST"), Ok(5));
    let text = fs::read_to_string(scene.share().join("file")).expect("the file");
    assert_eq!(text, "GUEST");
    // The end of a file that the host has made longer meanwhile is where it is now.
    fs::write(scene.share().join("file"), "longer than that").expect("written");
    let append = OFlags::APPEND.bits().cast_signed();
    assert_eq!(scene.write(handle, 5, append, b"!"), Ok(1));
    let text = fs::read_to_string(scene.share().join("file")).expect("the file");
    assert_eq!(text, "longer than that!");
}

fn libc_rdwr() -> i32 {
    OFlags::RDWR.bits().cast_signed()
}

#[test]
fn links_and_dots_stay_inside() {
    let scene = Scene::new();
    let root = scene.root();
    let secret = scene.folder.path().join("secret");
    std::os::unix::fs::symlink(&secret, scene.share().join("absolute")).expect("a link");
    std::os::unix::fs::symlink("../secret", scene.share().join("relative")).expect("a link");
    std::os::unix::fs::symlink("..", scene.share().join("up")).expect("a link");
    for name in ["..", ".", "", "a/b", "../secret", "/etc"] {
        assert_eq!(scene.lookup(root, name), Err(Errno::INVAL), "{name}");
    }
    for name in ["absolute", "relative", "up"] {
        let node = scene.lookup(root, name).expect("the link itself");
        assert_eq!(scene.open(node, 0), Err(Errno::LOOP), "{name}");
        assert_eq!(scene.lookup(node, "secret"), Err(Errno::NOTDIR), "{name}");
        let listed = scene.ask(op::OPENDIR, node, &[0; 8]);
        assert_eq!(listed, Err(Errno::LOOP), "{name}");
        // Its mode is not that of what it names.
        let body = [1_u64.to_ne_bytes().as_slice(), &[0; 80]].concat();
        let changed = scene.ask(op::SETATTR, node, &body);
        assert_eq!(changed, Err(Errno::OPNOTSUPP), "{name}");
        // CREATE over it does not write through it.
        let body = [
            (OFlags::RDWR | OFlags::TRUNC)
                .bits()
                .to_ne_bytes()
                .as_slice(),
            &0o644_u32.to_ne_bytes(),
            &[0; 8],
            &zero_ended(name),
        ]
        .concat();
        let created = scene.ask(op::CREATE, root, &body);
        assert_eq!(created, Err(Errno::LOOP), "{name}");
    }
    let text = fs::read_to_string(&secret).expect("the secret");
    assert_eq!(text, "secret");
}

#[test]
fn nobody_owns_by_the_number_that_stands_for_no_change() {
    let scene = Scene::new();
    let node = scene.root();
    // FATTR_UID and FATTR_GID; both numbers are at the end.
    for (valid, uid, gid) in [(2_u64, u32::MAX, 0), (4, 0, u32::MAX)] {
        let mut body = [valid.to_ne_bytes().as_slice(), &[0; 68]].concat();
        body.extend_from_slice(&uid.to_ne_bytes());
        body.extend_from_slice(&gid.to_ne_bytes());
        body.extend_from_slice(&[0; 4]);
        assert_eq!(scene.ask(op::SETATTR, node, &body), Err(Errno::INVAL));
    }
}

#[test]
fn pipes_are_not_opened() {
    let scene = Scene::new();
    let root = scene.root();
    let body = [
        (0o010_644_u32).to_ne_bytes().as_slice(),
        &[0; 12],
        &zero_ended("pipe"),
    ]
    .concat();
    let pipe = first_u64(&scene.ask(op::MKNOD, root, &body).expect("mknod"));
    // It would wait for a writer.
    assert_eq!(scene.open(pipe, 0), Err(Errno::NXIO));
}

#[test]
fn names_are_made_moved_and_removed() {
    let scene = Scene::new();
    let root = scene.root();
    let mkdir = [0o755_u32.to_ne_bytes().as_slice(), &[0; 4], b"d\0"].concat();
    let folder = first_u64(&scene.ask(op::MKDIR, root, &mkdir).expect("mkdir"));
    fs::write(scene.share().join("a"), "a").expect("a file");
    let file = scene.lookup(root, "a").expect("the file");
    let body = [words(&[folder]), zero_ended("a"), zero_ended("b")].concat();
    assert_eq!(scene.ask(op::RENAME, root, &body), Ok(Vec::new()));
    let body = [words(&[file]), zero_ended("c")].concat();
    let linked = first_u64(&scene.ask(op::LINK, root, &body).expect("link"));
    // Two names of one node.
    assert_eq!(linked, file);
    assert_eq!(scene.ask(op::UNLINK, folder, b"b\0"), Ok(Vec::new()));
    assert_eq!(scene.ask(op::RMDIR, root, b"d\0"), Ok(Vec::new()));
    let body = [zero_ended("link"), zero_ended("anywhere/at all")].concat();
    let link = first_u64(&scene.ask(op::SYMLINK, root, &body).expect("symlink"));
    let target = scene.ask(op::READLINK, link, &[]);
    assert_eq!(target.as_deref(), Ok(b"anywhere/at all".as_slice()));
    let mut left: Vec<_> = fs::read_dir(scene.share())
        .expect("the share")
        .map(|entry| entry.expect("a name").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["c", "link"]);
}

#[test]
fn listings_are_whole_whatever_their_pieces() {
    let scene = Scene::new();
    let root = scene.root();
    for number in 0..300 {
        fs::write(scene.share().join(format!("file-{number}")), "").expect("a file");
    }
    for (opcode, entry) in [(op::READDIR, 0), (op::READDIRPLUS, ENTRY_BYTES)] {
        let opened = scene.ask(op::OPENDIR, root, &[0; 8]).expect("opendir");
        let handle = first_u64(&opened);
        let (mut offset, mut names) = (0, std::collections::BTreeSet::new());
        loop {
            let mut body = words(&[handle, offset]);
            body.extend_from_slice(&700_u32.to_ne_bytes());
            body.resize(40, 0);
            let mut listing = scene.ask(opcode, root, &body).expect("a listing");
            assert!(listing.len() <= 700);
            if listing.is_empty() {
                break;
            }
            while !listing.is_empty() {
                let record = &listing[entry..];
                offset = first_u64(&record[8..]);
                let length = u32::from_ne_bytes(record[16..20].try_into().expect("4 bytes"));
                let length = length as usize;
                let name = String::from_utf8(record[24..24 + length].to_vec()).expect("a name");
                assert!(names.insert(name.clone()), "{name} twice");
                listing.drain(..entry + (24 + length).next_multiple_of(8));
            }
        }
        assert_eq!(names.len(), 302, "with . and ..");
    }
}

#[test]
fn what_is_forgotten_is_let_go() {
    let scene = Scene::new();
    let root = scene.root();
    for number in 0..100 {
        let name = format!("file-{number}");
        fs::write(scene.share().join(&name), "").expect("a file");
        let node = scene.lookup(root, &name).expect("the file");
        let packet = packet(7, 0, op::FORGET, node, &words(&[1]));
        let answer = scene.server.serve(&packet, Vec::new()).expect("an answer");
        assert_eq!(answer.len(), AnswerHeader::BYTES, "nothing but the tag");
    }
    assert_eq!(scene.server.nodes.count(), 1);
    // The root of the share stays whatever the guest says.
    let packet = packet(7, 0, op::FORGET, root, &words(&[u64::MAX]));
    assert!(scene.server.serve(&packet, Vec::new()).is_some());
    assert_eq!(scene.lookup(ROOT, "s"), Ok(root));
}

#[test]
fn shares_come_and_go() {
    let scene = Scene::new();
    let add = |name: &str, path: &Path| {
        let order = Order::Add {
            name: name.into(),
            coherence: Coherence::Live,
        };
        scene.server.obey(order, Some(path_descriptor(path)))
    };
    // A single file, too.
    let secret = scene.folder.path().join("secret");
    add("file", &secret).expect("a share");
    for wrong in ["", ".", "..", "a/b", "s"] {
        assert!(add(wrong, &secret).is_err(), "{wrong}");
    }
    let file = scene.lookup(ROOT, "file").expect("the share");
    let handle = scene.open(file, 0).expect("open");
    assert_eq!(scene.read(handle, 9).as_deref(), Ok(b"secret".as_slice()));
    assert_eq!(scene.ask(op::MKDIR, ROOT, &[0; 16]), Err(Errno::INVAL));
    assert_eq!(scene.ask(op::UNLINK, ROOT, b"s\0"), Err(Errno::ROFS));
    let remove = Order::Remove {
        name: "file".into(),
    };
    scene.server.obey(remove.clone(), None).expect("removed");
    assert!(scene.server.obey(remove, None).is_err());
    assert_eq!(scene.lookup(ROOT, "file"), Err(Errno::NOENT));
}
