//! Whatever is wrong: a message with file, field and value, status 1, the JSON log line, and nothing left.

use caisson_oci_tests::Bundle;
use serde_json::{Value, json};

#[test]
fn a_refused_config_leaves_nothing_and_is_logged_as_json() {
    let rows: Vec<(&str, Value, &[&str])> = vec![
        (
            "/process/cwd",
            json!("tmp"),
            &["config.json", "process.cwd", "tmp"],
        ),
        (
            "/process/user/uid",
            json!("root"),
            &["config.json", "process.user.uid", "root"],
        ),
        (
            "/root/path",
            json!("nowhere"),
            &["root.path", "nowhere", "No such file"],
        ),
        (
            "/root/path",
            json!("config.json"),
            &["root.path", "Not a directory"],
        ),
        (
            "/linux/namespaces/1/path",
            json!("/nonexistent/net"),
            &["linux.namespaces[1].path", "/nonexistent/net"],
        ),
        (
            "/linux/cgroupsPath",
            json!("../up"),
            &["linux.cgroupsPath", "../up"],
        ),
        (
            "/linux/resources/cpu",
            json!({"cpus": "900-999"}),
            &["linux.resources.cpu.cpus", "900-999"],
        ),
        (
            "/linux/resources/memory",
            json!({"limit": 1000, "swap": 10}),
            &["linux.resources.memory.swap", "10"],
        ),
        (
            "/mounts/0/options",
            json!(["upside-down"]),
            &["mounts[0].options[0]", "upside-down"],
        ),
        (
            "/process/args",
            json!(["no-such-program"]),
            &["no-such-program", "not found"],
        ),
        (
            "/process/args",
            json!(["/no/such/program"]),
            &["/no/such/program", "no such file or directory"],
        ),
    ];
    for (pointer, value, parts) in rows {
        let mut bundle = Bundle::new("true");
        set(&mut bundle.config, pointer, value);
        bundle.caisson(&["create", &bundle.id]).refused(parts);
        let log = bundle.folder.join("log.json");
        let path = log.to_str().expect("utf-8");
        bundle
            .caisson(&["--log", path, "--log-format", "json", "create", &bundle.id])
            .refused(parts);
        let text = std::fs::read_to_string(&log).expect("log");
        let line: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("json");
        assert_eq!(line["level"], "error");
        assert!(
            parts
                .iter()
                .all(|part| line["msg"].as_str().expect("msg").contains(part)),
            "{line}"
        );
        bundle.assert_nothing_left();
    }
}

fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
}

#[test]
fn a_missing_bundle_or_config_is_named() {
    let bundle = Bundle::new("true");
    bundle
        .caisson(&["create", "--bundle", "/nonexistent", &bundle.id])
        .refused(&["--bundle", "/nonexistent"]);
    let empty = bundle.folder.join("tmp");
    std::fs::create_dir_all(&empty).expect("mkdir");
    let path = empty.to_str().expect("utf-8");
    bundle
        .caisson(&["create", "--bundle", path, &bundle.id])
        .refused(&["tmp/config.json", "No such file"]);
    std::fs::write(empty.join("config.json"), "{\"root\":").expect("write");
    bundle
        .caisson(&["create", "--bundle", path, &bundle.id])
        .refused(&["tmp/config.json", "EOF"]);
    bundle.assert_nothing_left();
}

#[test]
fn bad_ids_never_become_paths() {
    let bundle = Bundle::new("true");
    for id in ["../x", "a/b", "", ".", "a b"] {
        bundle.caisson(&["create", id]).refused(&["container"]);
        bundle.caisson(&["state", id]).refused(&["container"]);
    }
    assert!(!bundle.folder.join("x").exists());
}

#[test]
fn a_failing_mount_takes_everything_back() {
    let mut bundle = Bundle::new("true");
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"destination": "/m", "type": "bind", "source": "/nonexistent", "options": ["rbind"]}));
    bundle
        .caisson(&["create", &bundle.id])
        .refused(&["mounts[7].source", "/nonexistent"]);
    bundle.assert_nothing_left();
}

#[test]
fn a_full_disk_under_the_state_folder_is_an_error() {
    let bundle = Bundle::new("true");
    let root = bundle.root();
    std::fs::create_dir_all(&root).expect("mkdir");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(
        c"tmpfs",
        &root,
        c"tmpfs",
        flags,
        Some(c"size=16k,nr_inodes=64"),
    )
    .expect("mount");
    let mut filler = vec![0u8; 4096];
    filler.resize(64 << 10, 0);
    // Fails once the file system is full, which is what is wanted.
    std::fs::write(root.join("filler"), &filler).expect_err("full");
    let done = bundle.caisson(&["create", &bundle.id]);
    rustix::mount::unmount(&root, rustix::mount::UnmountFlags::DETACH).expect("umount");
    done.refused(&["state.json", "No space left"]);
    bundle.assert_nothing_left();
}

#[test]
fn unsupported_options_are_refused_by_name() {
    let bundle = Bundle::new("true");
    bundle
        .caisson(&["--systemd-cgroup", "create", &bundle.id])
        .refused(&["--systemd-cgroup"]);
    bundle
        .caisson(&["create", "--preserve-fds", "2", &bundle.id])
        .refused(&["--preserve-fds", "2"]);
    bundle
        .caisson(&["create", "--console-socket", "/s", &bundle.id])
        .refused(&["--console-socket", "/s"]);
    bundle
        .caisson(&["spec"])
        .refused(&["config.json", "exists"]);
    bundle.assert_nothing_left();
}
