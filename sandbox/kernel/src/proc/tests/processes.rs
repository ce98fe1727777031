//! /proc/PID.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Stand, all_files};
use crate::proc::{Kind, MAGIC_LINK, MagicKind, WalkMode};

const CAP_SYS_PTRACE: u32 = 19;

#[test]
fn every_file_can_be_read() {
    let stand = Stand::new(Kind::Proc);
    stand
        .capabilities
        .store(1 << CAP_SYS_PTRACE, Ordering::Relaxed);
    let mut files = Vec::new();
    all_files(&stand.directory, &mut files);
    assert!(files.len() > 200, "only {} files", files.len());
    for path in files {
        let read = fs::read(&path);
        let name = path.to_string_lossy();
        let may_fail = name.contains("/attr/")
            || name.contains("/net/")
            || name.ends_with("/stack")
            || name.ends_with("/mem")
            || name.ends_with("/pagemap");
        assert!(read.is_ok() || may_fail, "{name}: {read:?}");
    }
}

#[test]
fn guests_see_their_own_credentials_and_no_others() {
    let stand = Stand::new(Kind::Proc);
    let status = stand.read("2/status");
    assert!(
        status.contains("\nUid:\t1000\t1000\t1000\t1000\n"),
        "{status}"
    );
    assert!(
        status.contains("\nSeccomp:\t0\n") && status.contains("\nPid:\t2\n"),
        "{status}"
    );
    let directory = fs::metadata(stand.path("2")).unwrap();
    assert_eq!(
        (directory.uid(), directory.gid(), directory.mode()),
        (1000, 1000, libc::S_IFDIR | 0o555)
    );
    assert_eq!(
        fs::metadata(stand.path("2/environ")).unwrap().mode(),
        libc::S_IFREG | 0o400
    );
    // Process 3 is unknown to the app kernel and so is what its parent is.
    assert_eq!(fs::metadata(stand.path("3")).unwrap().uid(), 0);
}

#[test]
fn self_is_whoever_walks() {
    let stand = Stand::new(Kind::Proc);
    assert_eq!(fs::read_link(stand.path("self")).unwrap(), Path::new("1"));
    stand.walker.begin(2, 2, WalkMode::Walk);
    assert_eq!(
        fs::read_link(stand.path("thread-self")).unwrap(),
        Path::new("2/task/2")
    );
    assert!(stand.read("self/stat").starts_with("2 (sleep) R "));
}

#[test]
fn magic_links_are_reported_or_read() {
    let stand = Stand::new(Kind::Proc);
    assert_eq!(
        fs::read_link(stand.path("1/exe")).unwrap(),
        Path::new("/bin/guest")
    );
    assert!(
        fs::read_link(stand.path("1/ns/pid"))
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("pid:[")
    );
    assert_eq!(
        fs::read_link(stand.path("1/fd/0")).unwrap(),
        fs::read_link("/proc/self/fd/0").unwrap()
    );
    stand.walker.begin(1, 1, WalkMode::Walk);
    let error = File::open(stand.path("1/fd/0")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(MAGIC_LINK as i32));
    let hit = stand.walker.take_hit().unwrap();
    assert_eq!((hit.pid, hit.kind), (1, MagicKind::Fd(0)));
    assert!(stand.walker.take_hit().is_none());
}

#[test]
fn a_stranger_needs_ptrace_rights() {
    let stand = Stand::new(Kind::Proc);
    // Process 1 has no capabilities in this guest, and process 2 is another user's.
    for name in ["2/maps", "2/environ"] {
        let error = File::open(stand.path(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{name}");
    }
    assert!(fs::read_link(stand.path("2/exe")).is_err());
    assert!(stand.read("1/maps").contains("[stack]"));
}

#[test]
fn a_reader_with_a_small_buffer_gets_one_text() {
    let stand = Stand::new(Kind::Proc);
    let whole = stand.read("1/maps");
    let mut file = File::open(stand.path("1/maps")).unwrap();
    let (mut pieces, mut buffer) = (Vec::new(), [0; 7]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            length => pieces.extend_from_slice(&buffer[..length]),
        }
    }
    assert_eq!(String::from_utf8(pieces).unwrap(), whole);
}

#[test]
fn names_and_oom_scores_can_be_written_by_their_owner() {
    let stand = Stand::new(Kind::Proc);
    fs::write(stand.path("1/comm"), "renamed-by-a-test\n").unwrap();
    assert_eq!(stand.read("1/comm"), "renamed-by-a-te\n");
    assert!(stand.read("1/stat").starts_with("1 (renamed-by-a-te) "));
    assert!(fs::write(stand.path("2/comm"), "x").is_err());
    fs::write(stand.path("1/oom_score_adj"), "500").unwrap();
    assert_eq!(stand.read("1/oom_score_adj"), "500\n");
    let error = fs::write(stand.path("1/oom_score_adj"), "-1").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
}

/// Maps the file in argv[2] over the first page that holds nothing but its own arguments.
const MAP_OVER_ARGUMENTS: &str = r#"
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
file = os.open(sys.argv[2], os.O_RDONLY)
start = int(open(sys.argv[1]).read().rsplit(")", 1)[1].split()[45])
PROT_READ, MAP_PRIVATE_FIXED = 1, 0x12
libc.mmap((start + 4095) & ~4095, 4096, PROT_READ, MAP_PRIVATE_FIXED, file, 0)
os.write(1, b"ready\n")
time.sleep(60)
"#;

#[test]
fn a_process_with_our_file_as_its_arguments_stops_nobody() {
    let stand = Stand::new(Kind::Proc);
    let namespace = format!("--pid=/proc/{}/ns/pid", stand.init);
    // Reading cmdline faults on a page of our own mount.
    let mut guest = Command::new("nsenter")
        .args([
            namespace.as_str(),
            "python3",
            "-c",
            MAP_OVER_ARGUMENTS,
            "/proc/self/stat",
        ])
        .args([
            stand.path("version").as_os_str(),
            "x".repeat(10_000).as_ref(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(guest.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let pid = fs::read_dir(&stand.directory)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let pid: u32 = pid.max().unwrap();
    assert_eq!(stand.read(&format!("{pid}/comm")), "python3\n");
    let began = Instant::now();
    let arguments = stand.read(&format!("{pid}/cmdline"));
    // What lies before the page is there, then the fault ends the text.
    assert!(
        (1..5000).contains(&arguments.len()),
        "{} bytes",
        arguments.len()
    );
    assert!(stand.read("version").contains("6.1.0-test"));
    assert!(began.elapsed() < Duration::from_secs(5));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", guest.id())).unwrap();
    for child in children.split_whitespace() {
        Command::new("kill")
            .args(["-KILL", child])
            .status()
            .unwrap();
    }
    let _ = guest.kill();
    let _ = guest.wait();
}

#[test]
fn ps_lists_the_guest() {
    let stand = Stand::new(Kind::Proc);
    // ps asks for its own pid: it has to live in the guest's pid namespace.
    let script = format!(
        "nsenter --pid=/proc/{}/ns/pid sh -c 'mount --bind {} /proc && ps -eo pid,user,args && free && uptime'",
        stand.init,
        stand.directory.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text.matches("sleep 1000").count(), 3, "{text}");
}

#[test]
fn a_kept_descriptor_shows_nothing_of_gained_rights() {
    let stand = Stand::new(Kind::Proc);
    stand.uid_of_init.store(1000, Ordering::Relaxed);
    let open = || File::open(stand.path("1/maps"));
    // fsuid 0 of the test is no uid of the target: process 1 may look because it is itself.
    let mut maps = open().unwrap();
    let mut text = String::new();
    maps.read_to_string(&mut text).unwrap();
    assert!(text.contains("[stack]"));
    // As after exec of a setuid program.
    stand.uid_of_init.store(2000, Ordering::Relaxed);
    let error = maps.read_at(&mut [0; 64], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    open().unwrap();
    stand.walker.begin(2, 2, WalkMode::Walk);
    let stat = stand.read("1/stat");
    assert!(
        stat.contains(" 1 1 0 0 0 ") && stat.ends_with(" 0 0 0 0 0 0 0 0\n"),
        "{stat}"
    );
}
