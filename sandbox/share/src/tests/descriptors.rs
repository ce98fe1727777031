//! More files than descriptors.

use super::*;

/// Thirty of these are for nodes, thirty for what is open.
const FEW: usize = 124;
const NODES: usize = 30;

fn many(scene: &Scene, count: usize) -> Vec<u64> {
    let root = scene.root();
    let folder = scene.share().join("folder");
    fs::create_dir(&folder).expect("a directory");
    let parent = scene.lookup(root, "folder").expect("the directory");
    let one = |number: usize| {
        let name = format!("file-{number}");
        fs::write(folder.join(&name), &name).expect("a file");
        scene.lookup(parent, &name).expect("the file")
    };
    (0..count).map(one).collect()
}

fn content(scene: &Scene, node: u64) -> Result<Vec<u8>, Errno> {
    let handle = scene.open(node, 0)?;
    let read = scene.read(handle, 100);
    release(scene, handle);
    read
}

fn release(scene: &Scene, handle: u64) {
    let mut body = words(&[handle]);
    body.resize(24, 0);
    assert_eq!(scene.ask(op::RELEASE, 0, &body), Ok(Vec::new()));
}

fn rename(scene: &Scene, (from, old): (u64, &str), (to, new): (u64, &str), flags: u32) {
    let mut body = words(&[to]);
    body.extend_from_slice(&flags.to_ne_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&[zero_ended(old), zero_ended(new)].concat());
    assert_eq!(scene.ask(op::RENAME2, from, &body), Ok(Vec::new()));
}

fn getattr(scene: &Scene, node: u64) -> Result<Vec<u8>, Errno> {
    scene.ask(op::GETATTR, node, &[0; 16])
}

#[test]
fn what_was_let_go_is_found_again() {
    let scene = Scene::with_descriptors(FEW);
    let files = many(&scene, 300);
    assert_eq!(scene.server.nodes.count(), 302);
    assert!(scene.server.nodes.held() <= NODES);
    for (number, node) in files.iter().enumerate() {
        let text = format!("file-{number}");
        assert_eq!(content(&scene, *node), Ok(text.into_bytes()), "{number}");
    }
    assert!(scene.server.nodes.held() <= NODES);
    // The same numbers as before.
    let folder = scene.lookup(scene.root(), "folder").expect("the directory");
    assert_eq!(scene.lookup(folder, "file-0"), Ok(files[0]));
}

#[test]
fn what_was_let_go_is_found_where_the_guest_has_moved_it() {
    let scene = Scene::with_descriptors(FEW);
    let files = many(&scene, 100);
    let root = scene.root();
    let folder = scene.lookup(root, "folder").expect("the directory");
    rename(&scene, (folder, "file-0"), (root, "moved"), 0);
    // Over another, and exchanged.
    rename(&scene, (folder, "file-1"), (folder, "file-2"), 0);
    rename(&scene, (folder, "file-3"), (folder, "file-4"), 2);
    // All of them, by their directory.
    rename(&scene, (root, "folder"), (root, "elsewhere"), 0);
    let text = |number: usize| Ok(format!("file-{number}").into_bytes());
    for (number, node) in files.iter().enumerate().filter(|(number, _)| *number != 2) {
        assert_eq!(content(&scene, *node), text(number), "{number}");
    }
    assert_eq!(content(&scene, files[2]), Err(Errno::STALE), "replaced");
}

#[test]
fn another_file_in_its_place_is_not_taken_for_it() {
    let scene = Scene::with_descriptors(FEW);
    let files = many(&scene, 100);
    let folder = scene.share().join("folder");
    // By the host, of which the server hears nothing. Its inode stays in use.
    fs::rename(folder.join("file-0"), folder.join("kept")).expect("renamed");
    fs::write(folder.join("file-0"), "another").expect("a file");
    fs::rename(folder.join("file-1"), folder.join("kept-1")).expect("renamed");
    std::os::unix::fs::symlink("../secret", folder.join("file-1")).expect("a link");
    for node in &files[..2] {
        assert_eq!(content(&scene, *node), Err(Errno::STALE));
        assert_eq!(getattr(&scene, *node), Err(Errno::STALE));
    }
    let parent = scene.lookup(scene.root(), "folder").expect("the directory");
    let again = scene.lookup(parent, "kept").expect("the file");
    assert_eq!(again, files[0]);
    assert_eq!(content(&scene, again), Ok(b"file-0".to_vec()));
}

#[test]
fn what_is_open_stays_though_it_was_removed() {
    let scene = Scene::with_descriptors(FEW);
    let root = scene.root();
    fs::write(scene.share().join("open"), "still").expect("a file");
    let node = scene.lookup(root, "open").expect("the file");
    let handle = scene.open(node, 0).expect("open");
    assert_eq!(scene.ask(op::UNLINK, root, b"open\0"), Ok(Vec::new()));
    many(&scene, 100);
    assert!(getattr(&scene, node).is_ok());
    assert_eq!(scene.read(handle, 100), Ok(b"still".to_vec()));
}

/// What cannot be let go is limited.
#[test]
fn only_the_guest_hears_that_there_are_no_more() {
    let scene = Scene::with_descriptors(FEW);
    let files = many(&scene, 40);
    let opened = files.iter().map(|node| scene.open(*node, 0));
    let (opened, refused): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
    assert_eq!(
        opened.len(),
        NODES - 2,
        "all but the share and its directory"
    );
    assert!(refused.contains(&Err(Errno::NFILE)));
    for handle in opened {
        release(&scene, handle.expect("a handle"));
    }
    // Files without names.
    let root = scene.root();
    let unnamed = || {
        let flags = OFlags::RDWR.bits().to_ne_bytes();
        let body = [flags, 0o600_u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
        let answer = scene.ask(op::TMPFILE, root, &[body, zero_ended("x")].concat())?;
        let handle = u64::from_ne_bytes(answer[ENTRY_BYTES..][..8].try_into().expect("8 bytes"));
        release(&scene, handle);
        Ok(first_u64(&answer))
    };
    let made: Vec<Result<u64, Errno>> = (0..2 * NODES).map(|_| unnamed()).collect();
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), NODES - 1, "all but the share");
    assert!(refused.contains(&Err(Errno::NFILE)));
    // One for a file and one for its directory.
    for node in &made[..2] {
        let packet = packet(7, 0, op::FORGET, node.expect("a node"), &words(&[1]));
        assert!(scene.server.serve(&packet, Vec::new()).is_some());
    }
    assert_eq!(content(&scene, files[0]), Ok(b"file-0".to_vec()));
}

/// What was forgotten takes no memory.
#[test]
fn looking_and_forgetting_leaves_nothing() {
    let scene = Scene::with_descriptors(FEW);
    let root = scene.root();
    fs::write(scene.share().join("file"), "").expect("a file");
    for _ in 0..2000 {
        let node = scene.lookup(root, "file").expect("the file");
        let packet = packet(7, 0, op::FORGET, node, &words(&[1]));
        assert!(scene.server.serve(&packet, Vec::new()).is_some());
    }
    assert_eq!(scene.server.nodes.count(), 1);
    assert!(scene.server.nodes.queued() < 100);
}
