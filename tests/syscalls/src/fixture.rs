//! The files that the guest program expects under /work, /ro and /small of its container.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use caisson_test_bundle::{Bundle, Config, User};

/// Where the guest program is in the container.
pub const GUEST: &str = "/bin/syscall-guest";

/// Files of /work: name, content, mode, owner, group.
const FILES: &[(&str, &str, u32, u32, u32)] = &[
    ("file", "hello world\n", 0o644, 0, 0),
    ("secret", "secret\n", 0o600, 0, 0),
    ("mine", "mine\n", 0o600, 1000, 1000),
    ("theirs", "theirs\n", 0o600, 2000, 2000),
    ("grouped", "grouped\n", 0o640, 0, 4242),
    ("dir/a", "a\n", 0o644, 0, 0),
    ("dir/victim", "victim\n", 0o644, 0, 0),
    ("locked/inner", "inner\n", 0o644, 0, 0),
    ("list/one", "1", 0o644, 0, 0),
    ("list/two", "2", 0o644, 0, 0),
    (
        "script.sh",
        "#!/bin/sh\necho exec::execve.ran $# \"$@\"\n",
        0o755,
        0,
        0,
    ),
    (
        "script-arg.sh",
        "#! /bin/sh  -e x \necho exec::execve.ran unreachable\n",
        0o755,
        0,
        0,
    ),
    ("script-script.sh", "#!/work/script.sh\n", 0o755, 0, 0),
    ("script-none.sh", "#!/work/no-interpreter\n", 0o755, 0, 0),
    ("script-empty.sh", "#!\n", 0o755, 0, 0),
    ("true.sh", "#!/bin/true\n", 0o755, 0, 0),
    ("no-shebang.sh", "exit 0\n", 0o755, 0, 0),
    ("empty", "", 0o755, 0, 0),
    (
        "garbage.elf",
        "\u{7f}ELFgarbage garbage garbage garbage garbage garbage garbage garbage",
        0o755,
        0,
        0,
    ),
    ("short.elf", "\u{7f}ELF", 0o755, 0, 0),
];

const LINKS: &[(&str, &str)] = &[
    ("link", "file"),
    ("abs", "/work/file"),
    ("dotdot", "../../../work/file"),
    ("dangling", "dangling-target"),
    ("dangling2", "dangling-target2"),
    ("loop", "loop"),
    ("dirlink", "dir"),
    ("guestlink", GUEST),
    ("locked/link", "inner"),
];

/// Copies of the guest program: name, mode, owner, group.
const PROGRAMS: &[(&str, u32, u32, u32)] = &[
    ("suid", 0o4755, 0, 0),
    ("sgid", 0o2755, 1000, 4242),
    ("xonly", 0o711, 0, 0),
];

/// Of a container that runs a family of the guest program as root, in a bundle that is laid out for it.
#[must_use]
pub fn of_family(bundle: &Bundle, family: &str) -> Config {
    let mut config = Config::new(&[GUEST, family], User::Root);
    lay_out(bundle, crate::guest_program(), &mut config);
    config
}

/// Fills the bundle's tree and adds the mounts.
///
/// # Panics
/// If something cannot be written.
pub(crate) fn lay_out(bundle: &Bundle, guest: &Path, config: &mut Config) {
    fill(bundle.rootfs(), guest)
        .unwrap_or_else(|error| panic!("fill {}: {error}", bundle.rootfs().display()));
    let read_only = bundle.path().join("ro");
    fill_read_only(&read_only)
        .unwrap_or_else(|error| panic!("fill {}: {error}", read_only.display()));
    config.mount("bind", &read_only, "/ro", &["bind", "ro"]);
    config.mount("bind", &read_only, "/noexec", &["bind", "noexec"]);
    config.mount(
        "tmpfs",
        Path::new("tmpfs"),
        "/small",
        &["nosuid", "nodev", "mode=1777", "size=1024k"],
    );
    config.pids_limit(300);
}

fn fill(root: &Path, guest: &Path) -> io::Result<()> {
    place(guest, &root.join("bin/syscall-guest"), 0o755, 0, 0)?;
    for directory in ["ro", "noexec", "mnt"] {
        directory_at(&root.join(directory), 0o755)?;
    }
    // runc gives a tmpfs the mode of the directory it covers, whatever its options say.
    directory_at(&root.join("small"), 0o1777)?;
    let work = root.join("work");
    directory_at(&work, 0o1777)?;
    for (directory, mode) in [
        ("dir", 0o755),
        ("dir/sub", 0o755),
        ("locked", 0o700),
        ("list", 0o755),
        ("list/sub", 0o755),
    ] {
        directory_at(&work.join(directory), mode)?;
    }
    for (name, content, mode, uid, gid) in FILES {
        let path = work.join(name);
        fs::write(&path, content)?;
        own(&path, *mode, *uid, *gid)?;
    }
    for (name, target) in LINKS {
        symlink(target, work.join(name))?;
    }
    for (name, mode, uid, gid) in PROGRAMS {
        place(guest, &work.join(name), *mode, *uid, *gid)?;
    }
    let node = |name: &str, kind| {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let path = work.join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0)?;
        own(&path, 0o666, 0, 0)
    };
    node("fifo", rustix::fs::FileType::Fifo)?;
    node("socket", rustix::fs::FileType::Socket)
}

fn fill_read_only(directory: &Path) -> io::Result<()> {
    directory_at(directory, 0o755)?;
    directory_at(&directory.join("dir"), 0o755)?;
    fs::write(directory.join("file"), "read only\n")?;
    fs::write(directory.join("true"), "#!/bin/true\n")?;
    own(&directory.join("true"), 0o755, 0, 0)
}

fn directory_at(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn place(from: &Path, to: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    // Not by this process: what other tests start meanwhile would inherit the open file and keep it busy.
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    if !copied.success() {
        return Err(io::Error::other(format!(
            "cp {} {}: {copied}",
            from.display(),
            to.display()
        )));
    }
    own(to, mode, uid, gid)
}

/// The owner first: changing it clears the set-user-ID bits.
fn own(path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
