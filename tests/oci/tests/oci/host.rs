//! Commands about the host rather than a bundle: do, install, check, features.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use caisson_oci_tests::bundle::copy_program;
use caisson_oci_tests::{Bundle, Done, Runtime, eventually};
use serde_json::Value;

fn caisson(arguments: &[&str]) -> Output {
    Command::new(Runtime::caisson().program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("execute")
}

#[test]
fn do_runs_a_command_over_a_read_only_view_of_the_host() {
    let bundle = Bundle::new("true");
    let root = bundle.root();
    let script = "cat /etc/hostname; touch /usr/caisson-was-here /etc/caisson-was-here 2>/dev/null && echo written; \
        echo scratch > /tmp/file && cat /tmp/file; ls -A /run | wc -l; exit 5";
    let root = root.to_str().expect("utf-8");
    let done = Done::from(caisson(&["--root", root, "do", "--", "sh", "-c", script]));
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    assert_eq!(
        (done.status, done.stdout),
        (5, format!("{hostname}scratch\n0\n")),
        "{}",
        done.stderr
    );
    assert!(!Path::new("/etc/caisson-was-here").exists());
    let missing = Done::from(caisson(&["--root", root, "do", "no-such-program"]));
    assert_eq!(missing.status, 1);
    assert!(
        missing.stderr.contains("no-such-program"),
        "{}",
        missing.stderr
    );
    assert_eq!(std::fs::read_dir(root).expect("state").count(), 0);
}

/// FUSE mounts that nobody serves, where only this test's processes see them: with /dev/fuse closed they are gone.
#[test]
fn do_leaves_out_mounts_that_do_not_answer() {
    let bundle = Bundle::new("true");
    let dead = |place: &str| {
        format!(
            "mkdir -p {place}; exec 5<>/dev/fuse; \
             mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 dead {place}; "
        )
    };
    let host = format!(
        "set -e; mount -t tmpfs host /mnt; mkdir /mnt/live; mount -t tmpfs live /mnt/live; \
         echo alive > /mnt/live/file; {} \
         timeout -s KILL 60 '{}' --root '{}' do -- sh -c 'cat /mnt/live/file; ls /mnt/dead' 5>&-",
        dead("/mnt/dead"),
        bundle.runtime.program.display(),
        bundle.root().display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &host])
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    let done = Done::from(output).succeeded();
    assert_eq!(done.stdout, "alive\n", "{}", done.stderr);
    let told = "/mnt/dead: does not answer: left out";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

#[test]
fn do_takes_its_sandbox_along_when_it_is_killed() {
    let bundle = Bundle::new("true");
    let root = bundle.root();
    let root = root.to_str().expect("utf-8");
    let mut command = Command::new(Runtime::caisson().program)
        .args(["--root", root, "do", "--", "sh", "-c", "echo up; sleep 600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("execute");
    let mut output = command.stdout.take().expect("its output");
    let mut up = [0; 3];
    output.read_exact(&mut up).expect("it runs");
    let id = format!("caisson-do-{}", command.id());
    let running = Done::from(caisson(&["--root", root, "state", &id])).succeeded();
    let state: Value = serde_json::from_str(&running.stdout).expect("json");
    command.kill().expect("kill");
    command.wait().expect("wait");
    // Everybody who had the output open is gone.
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("the end");
    let sandbox = format!("/proc/{}", state["pid"]);
    eventually("the sandbox ends", || !Path::new(&sandbox).exists());
    // The next command removes what is left.
    Done::from(caisson(&["--root", root, "do", "true"])).succeeded();
    assert_eq!(std::fs::read_dir(root).expect("state").count(), 0);
    let folder = std::env::temp_dir().join(&id);
    assert!(!folder.exists(), "{} is left", folder.display());
    let groups = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups");
    let mut left = groups
        .flatten()
        .filter(|group| group.path().join(&id).exists());
    assert!(left.next().is_none(), "a cgroup is left");
}

#[test]
fn install_is_idempotent_careful_and_undone() {
    let bundle = Bundle::new("true");
    let node = bundle.folder.join("node");
    std::fs::create_dir(&node).expect("mkdir");
    // A shim beside the program under test, whatever has been built.
    let bin = bundle.folder.join("bin");
    std::fs::create_dir(&bin).expect("mkdir");
    copy_program(&bundle.runtime.program, &bin.join("caisson"));
    std::fs::write(bin.join("containerd-shim-caisson-v2"), "a shim").expect("write");
    let guest = bin.join("caisson-guest");
    std::fs::create_dir(&guest).expect("mkdir");
    std::fs::write(guest.join("vmlinux"), "a kernel").expect("write");
    std::fs::write(guest.join("initrd"), "a ramdisk").expect("write");
    let install = |more: &[&str]| {
        let mut command = Command::new(bin.join("caisson"));
        command.args([
            "install",
            "--containerd",
            "--crio",
            "--containerd-version",
            "1",
        ]);
        command.arg("--host-root").arg(&node).args(more);
        command.env_remove("CAISSON_GUEST");
        Done::from(command.output().expect("execute"))
    };
    let first = install(&[]).succeeded().stdout;
    assert_eq!(first.matches(": written\n").count(), 10, "{first}");
    assert!(!first.contains("to do: micro-VMs"), "{first}");
    let link = node.join("usr/local/bin/containerd-shim-caisson-vm-v2");
    assert_eq!(std::fs::read(&link).expect("the shim"), b"a shim");
    let kernel = node.join("usr/local/lib/caisson/vmlinux");
    assert_eq!(std::fs::read(&kernel).expect("the kernel"), b"a kernel");
    let drop_in = node.join("etc/containerd/conf.d/caisson.toml");
    let text = std::fs::read_to_string(&drop_in).expect("drop-in");
    assert!(text.contains("io.containerd.caisson.v2"));
    assert!(text.contains("io.containerd.caisson-vm.v2"));
    let second = install(&[]).succeeded().stdout;
    assert_eq!(second.matches(": already there\n").count(), 10, "{second}");
    // Programs and the guest's files are upgraded.
    std::fs::write(guest.join("vmlinux"), "a newer kernel").expect("write");
    let third = install(&[]).succeeded().stdout;
    assert!(third.contains("lib/caisson/vmlinux: written"), "{third}");
    // What somebody has changed is neither replaced nor removed.
    std::fs::write(&drop_in, "changed").expect("write");
    install(&[]).refused(&["caisson.toml", "another content"]);
    let undone = install(&["--uninstall"]).succeeded().stdout;
    assert!(
        undone.contains("conf.d/caisson.toml: changed since; left alone"),
        "{undone}"
    );
    assert_eq!(std::fs::read_to_string(&drop_in).expect("kept"), "changed");
    std::fs::remove_file(&drop_in).expect("clean up");
    install(&["--uninstall"]).succeeded();
    for left in [
        "etc/caisson",
        "etc/crio",
        "usr/local/bin/caisson",
        "usr/local/bin/containerd-shim-caisson-vm-v2",
        "usr/local/lib/caisson",
        "etc/containerd/config.toml",
    ] {
        assert!(
            node.join(left).symlink_metadata().is_err(),
            "{left} is left"
        );
    }
    // A node without them is told what to do for micro-VMs.
    std::fs::remove_dir_all(&guest).expect("rmdir");
    let without = install(&[]).succeeded().stdout;
    assert!(without.contains("to do: micro-VMs"), "{without}");
    install(&["--uninstall"]).succeeded();
}

#[test]
fn features_and_check_say_what_is_there() {
    let features = Done::from(caisson(&["features"])).succeeded().stdout;
    let features: Value = serde_json::from_str(&features).expect("json");
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert_eq!(
        features["linux"]["mountExtensions"]["idmap"]["enabled"],
        true
    );
    assert_eq!(features["linux"]["cgroup"]["systemd"], true);
    let kinds = features["linux"]["namespaces"].as_array().expect("list");
    assert!(kinds.contains(&"user".into()));
    let check = Done::from(caisson(&["check"])).succeeded().stdout;
    let check: Value = serde_json::from_str(&check).expect("json");
    assert_eq!(check["ok"], true);
    assert!(check["rootless"].is_boolean());
}

#[test]
fn checkpoint_and_restore_are_refused_by_name() {
    let bundle = Bundle::new("true");
    bundle
        .caisson(&["checkpoint", "--image-path", "/x", &bundle.id])
        .refused(&["checkpoint", "not supported by caisson"]);
    bundle
        .caisson(&["restore", &bundle.id])
        .refused(&["restore", "not supported by caisson"]);
}
