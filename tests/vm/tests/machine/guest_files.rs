//! Kernels, ramdisks and root file systems that are not what they should be: each is an error in a stated time, and
//! nothing is left. Agents that lie are in `liar`, and beside the runtime's session with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use caisson_vm_tests::guest;
use serde_json::json;

use crate::Case;
use crate::container::{Bundle, caisson};

pub(crate) const CASES: &[Case] = &[
    ("guest_files::kernels", kernels),
    ("guest_files::ramdisks", ramdisks),
    ("guest_files::root_images", root_images),
    ("guest_files::too_little_memory", too_little_memory),
];

/// From the command to its end, where processors are emulated; the limit for the boot is below.
const IN_TIME: Duration = Duration::from_secs(60);
const BOOT_LIMIT_S: &str = "25";

fn kernel() -> Vec<u8> {
    fs::read(guest::kernel().expect("a guest kernel")).expect("the kernel")
}

fn agent() -> Vec<u8> {
    let agent = guest::monitor().with_file_name("caisson-guest/initrd");
    fs::read(agent).expect("the ramdisk")
}

/// What `caisson run` says of a machine with these files; it must end in time and leave nothing.
fn run(name: &str, kernel: &[u8], initrd: &[u8]) -> Output {
    let bundle = Bundle::new(&["true"], |_| {});
    let files = bundle.path("files");
    fs::create_dir(&files).expect("a folder");
    fs::write(files.join("vmlinux"), kernel).expect("a file");
    fs::write(files.join("initrd"), initrd).expect("a file");
    let began = Instant::now();
    let output = bundle
        .command(&["run", "vm-bad"])
        .env("CAISSON_GUEST", &files)
        .env("CAISSON_BOOT_LIMIT", BOOT_LIMIT_S)
        .output()
        .expect("caisson runs");
    let took = began.elapsed();
    assert!(took < IN_TIME, "{name} took {took:?}");
    bundle.assert_nothing_left("vm-bad");
    output
}

fn refused(name: &str, kernel: &[u8], initrd: &[u8], words: &str) {
    assert_said(name, &run(name, kernel, initrd), words);
}

fn assert_said(name: &str, output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{name}: {said}");
    assert!(said.contains(words), "{name}: {said}");
}

fn kernels() {
    let (whole, agent) = (kernel(), agent());
    let words = "neither an uncompressed ELF kernel";
    refused("no ELF file", b"#!/bin/sh", &agent, words);
    let half = &whole[..whole.len() / 2];
    refused("half a kernel", half, &agent, "cut off, or larger");
    let program = fs::read("/bin/busybox").expect("a program");
    refused("no kernel", &program, &agent, "vmlinux: ");
    // Its note XEN_ELFNOTE_PHYS32_ENTRY becomes one that nobody knows.
    let mut no_entry = whole;
    let note = [4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0];
    let notes: Vec<usize> = (0..no_entry.len() - note.len())
        .filter(|at| no_entry[*at..].starts_with(&note))
        .collect();
    assert!(!notes.is_empty(), "the kernel has a PVH entry");
    for at in notes {
        no_entry[at + 8] = 99;
    }
    refused("no PVH entry", &no_entry, &agent, "no PVH entry");
}

fn ramdisks() {
    let kernel = kernel();
    // The kernel has nothing to start and gives up.
    let words = "virtual machine ended";
    refused("no agent", &kernel, b"not a ramdisk", words);
    let scratch = guest::scratch();
    let other = guest::initial_ramdisk(scratch.path(), None);
    let words = format!("agent: not reached within {BOOT_LIMIT_S} s");
    refused("an agent that never answers", &kernel, &other, &words);
}

/// Images that were damaged after they were made: a program in the place of mke2fs does it.
fn root_images() {
    for (name, damage) in [
        (
            "zeros",
            "dd if=/dev/zero of=$image bs=4096 count=256 conv=notrunc",
        ),
        // The superblock says that the rest is sound.
        (
            "no tables of inodes",
            "dd if=/dev/zero of=$image bs=4096 seek=1 count=4096 conv=notrunc",
        ),
        ("cut off", "truncate -s 64k $image"),
    ] {
        let bundle = Bundle::new(&["true"], |config| {
            config["annotations"] = json!({"dev.caisson.vm.rootfs": "image"});
        });
        let (fake, real) = (bundle.path("mke2fs"), bundle.path("mke2fs.true"));
        fs::copy("/usr/sbin/mke2fs", &real).expect("mke2fs");
        // The image is the last argument but one.
        let script = format!(
            "#!/bin/sh\nfor word; do image=$last last=$word; done\n{} \"$@\" && {damage} 2>/dev/null\n",
            real.display()
        );
        fs::write(&fake, script).expect("a script");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("its mode");
        let began = Instant::now();
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind mke2fs /usr/sbin/mke2fs && exec \"$0\" \"$@\"")
            .arg(caisson())
            .args(["--sandbox=vm", "--root"])
            .arg(bundle.state())
            .args(["run", "vm-bad"])
            .env("CAISSON_BOOT_LIMIT", BOOT_LIMIT_S)
            .current_dir(bundle.path(""))
            .output()
            .expect("unshare runs");
        let took = began.elapsed();
        assert!(took < IN_TIME, "{name} took {took:?}");
        assert_said(name, &output, "agent: ");
        assert_said(name, &output, "/dev/vda");
        bundle.assert_nothing_left("vm-bad");
    }
}

/// A limit that leaves nothing for the container.
fn too_little_memory() {
    let bundle = Bundle::new(&["true"], |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 65_536});
    });
    let began = Instant::now();
    let output = bundle.run(&["run", "vm-bad"]);
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(took < IN_TIME, "{took:?}: {said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["linux.resources.memory.limit", "65536", "4 MiB"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    bundle.assert_nothing_left("vm-bad");
}
