//! The mount tree as the guest sees it.

use caisson_oci_tests::Bundle;
use serde_json::{Value, json};

fn add_mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().expect("mounts").push(mount);
}

#[test]
fn binds_and_tmpfs_have_their_options() {
    let mut bundle = Bundle::new(
        "cat /in/file; touch /in/x 2>&1; touch /t/y && ls /t; stat -c %a /t; mount | cat",
    );
    bundle.config["root"]["readonly"] = json!(false);
    let source = bundle.folder.join("source");
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::write(source.join("file"), "content\n").expect("write");
    add_mount(
        &mut bundle.config,
        json!({"destination": "/in", "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid"]}),
    );
    add_mount(
        &mut bundle.config,
        json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1770", "noexec"]}),
    );
    let text = bundle.run().succeeded().stdout;
    assert!(
        text.starts_with("content\n") && text.contains("Read-only file system"),
        "{text}"
    );
    assert!(text.contains("\ny\n1770\n"), "{text}");
    let line = |point: &str| {
        text.lines()
            .find(|line| line.contains(&format!(" on {point} ")))
            .expect("mounted")
            .to_owned()
    };
    assert!(
        line("/in").contains("ro,") && line("/in").contains("nosuid"),
        "{}",
        line("/in")
    );
    assert!(line("/t").contains("noexec"), "{}", line("/t"));
    bundle.assert_nothing_left();
}

#[test]
fn the_root_can_be_read_only() {
    let bundle = Bundle::new("touch /x 2>&1; touch /dev/shm/x && echo shm");
    let text = bundle.run().succeeded().stdout;
    assert!(
        text.contains("Read-only file system") && text.contains("shm"),
        "{text}"
    );
    assert!(!bundle.rootfs().join("x").exists());
}

#[test]
fn a_link_in_the_image_cannot_lead_a_mount_outside() {
    let mut bundle = Bundle::new("ls /victim-target /link/");
    let outside = bundle.folder.join("outside");
    std::fs::create_dir(&outside).expect("mkdir");
    std::os::unix::fs::symlink(&outside, bundle.rootfs().join("link")).expect("symlink");
    std::os::unix::fs::symlink(
        "../../../../../../victim-target",
        bundle.rootfs().join("up"),
    )
    .expect("symlink");
    for destination in ["/link/sub", "/up"] {
        add_mount(
            &mut bundle.config,
            json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}),
        );
    }
    let text = bundle.run().succeeded().stdout;
    assert!(text.contains("sub"), "{text}");
    assert!(
        std::fs::read_dir(&outside)
            .expect("readable")
            .next()
            .is_none(),
        "the host's folder was touched"
    );
    assert!(!std::path::Path::new("/victim-target").exists());
    bundle.assert_nothing_left();
}

#[test]
fn masked_and_read_only_paths_and_devices() {
    let mut bundle = Bundle::new(
        "cat /secret; ls -A /folder; touch /sealed/x 2>&1; ls -l /dev/mine; cat /dev/null && echo null",
    );
    bundle.config["root"]["readonly"] = json!(false);
    let rootfs = bundle.rootfs();
    std::fs::write(rootfs.join("secret"), "secret").expect("write");
    for name in ["folder", "sealed"] {
        std::fs::create_dir(rootfs.join(name)).expect("mkdir");
    }
    std::fs::write(rootfs.join("folder/hidden"), "").expect("write");
    bundle.config["linux"]["maskedPaths"] = json!(["/secret", "/folder", "/not/there"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/sealed"]);
    bundle.config["linux"]["devices"] = json!([{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]);
    let text = bundle.run().succeeded().stdout;
    assert!(
        !text.contains("secret") && !text.contains("hidden"),
        "{text}"
    );
    assert!(
        text.contains("/sealed/x: Read-only file system") && text.ends_with("null\n"),
        "{text}"
    );
    let line = text
        .lines()
        .find(|line| line.contains("/dev/mine"))
        .expect("listed");
    assert!(
        line.starts_with("crw-r-----") && line.contains("1,   5"),
        "{line}"
    );
    bundle.assert_nothing_left();
}

#[test]
fn the_hosts_tree_is_out_of_reach() {
    let bundle = Bundle::new(
        "ls / | cat; cat /proc/1/root/etc/hostname /proc/self/root/../../../etc/hostname 2>&1; mount | cat",
    );
    let text = bundle.run().stdout;
    assert!(!text.contains("boot") && !text.contains("/home"), "{text}");
    assert!(text.contains("No such file"), "{text}");
    let mounts = text.lines().filter(|line| line.contains(" on / ")).count();
    assert_eq!(mounts, 1, "{text}");
}

#[test]
fn device_nodes_count_in_dev_only() {
    let mut bundle = Bundle::new("cat /node 2>&1; head -c 3 /dev/zero | wc -c");
    bundle.config["root"]["readonly"] = json!(false);
    let made = std::process::Command::new("/bin/busybox")
        .args(["mknod", "-m", "666"])
        .arg(bundle.rootfs().join("node"))
        .args(["c", "1", "5"])
        .status()
        .expect("busybox-static is installed");
    assert!(made.success());
    let text = bundle.run().succeeded().stdout;
    assert_eq!(text, "cat: can't open '/node': Permission denied\n3\n");
    bundle.assert_nothing_left();
}

#[test]
fn a_procfs_of_the_host_leads_nowhere() {
    let mut bundle = Bundle::new("cat /host/1/root/etc/hostname 2>&1; cat /host/version | wc -l");
    add_mount(
        &mut bundle.config,
        json!({"destination": "/host", "type": "bind", "source": "/proc", "options": ["rbind"]}),
    );
    let text = bundle.run().succeeded().stdout;
    assert!(text.contains("Too many levels of symbolic links"), "{text}");
    assert!(text.ends_with("1\n"), "{text}");
}

#[test]
fn the_hosts_null_device_is_not_a_guests_to_change() {
    use std::os::unix::fs::PermissionsExt;
    let mode = || {
        std::fs::metadata("/dev/null")
            .expect("stat")
            .permissions()
            .mode()
    };
    let before = mode();
    let mut bundle =
        Bundle::new("chmod 700 /dev/stdin && ls -lL /dev/stdin | cut -c 1-10; sleep 60");
    bundle.config["root"]["readonly"] = json!(false);
    bundle.caisson(&["run", "--detach", &bundle.id]).succeeded();
    let done = bundle
        .caisson(&[
            "exec",
            &bundle.id,
            "sh",
            "-c",
            "chmod 100 /dev/stdin; ls -lL /dev/stdin | cut -c 1-10",
        ])
        .succeeded();
    assert_eq!(done.stdout, "c--x------\n");
    assert_eq!(mode(), before);
}

#[test]
fn cgroups_are_read_only_and_who_asks_for_more_is_told() {
    let script = "find=$(echo /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs); \
                  for file in $find; do [ -e $file ] && echo there && echo 0 > $file; done; \
                  mkdir /sys/fs/cgroup/made; true";
    for (options, told) in [
        (json!(["ro"]), false),
        (json!(["rw", "nosuid"]), true),
        (json!([]), true),
    ] {
        let mut bundle = Bundle::new(script);
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["type"] != "cgroup");
        let field = format!("mounts[{}].options", mounts.len());
        mounts.push(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options,
        }));
        let done = bundle.run().succeeded();
        let files = done.stdout.matches("there").count();
        assert!(files > 0, "{}", done.stderr);
        let refused = done.stderr.matches("Read-only file system").count();
        assert_eq!(refused, files + 1, "{}", done.stderr);
        let warned =
            done.stderr.contains(&field) && done.stderr.contains("cgroups are mounted read-only");
        assert_eq!(warned, told, "{options}: {}", done.stderr);
    }
}
