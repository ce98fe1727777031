//! Files of the host in a guest: bind mounts and the root file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Case;
use crate::container::Bundle;

pub(crate) const CASES: &[Case] = &[
    ("share::files_both_ways", files_both_ways),
    ("share::semantics", semantics),
    ("share::mounts_below", mounts_below),
    ("share::root_is_the_bundles", root_is_the_bundles),
    ("share::image_instead", image_instead),
    ("share::server_dies", server_dies),
];

/// A container that waits, with `mounts` added.
fn waiting(mounts: Vec<Value>) -> Bundle {
    Bundle::new(&["sleep", "1000"], |config| {
        let all = config["mounts"].as_array_mut().expect("mounts");
        all.extend(mounts);
        config["root"]["readonly"] = json!(false);
        // What changes files in others' names in there.
        for set in ["bounding", "effective", "permitted"] {
            let names = [
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "FSETID",
                "MKNOD",
                "SETUID",
                "SETGID",
                "SETFCAP",
                "KILL",
            ];
            let names = names.map(|name| format!("CAP_{name}"));
            config["process"]["capabilities"][set] = json!(names);
        }
    })
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn begin(bundle: &Bundle, id: &str) {
    bundle.create(&[id]);
    bundle.done(&["start", id]);
}

fn end(bundle: &Bundle, id: &str) {
    bundle.done(&["delete", "--force", id]);
    bundle.assert_nothing_left(id);
}

fn shell(bundle: &Bundle, id: &str, script: &str) -> String {
    bundle.done(&["exec", id, "sh", "-c", script])
}

fn files_both_ways() {
    let host = caisson_vm_tests::guest::scratch();
    let path = |name: &str| host.path().join(name);
    fs::create_dir(path("data")).expect("a directory");
    fs::create_dir_all(path("fixed/below")).expect("a directory");
    fs::write(path("data/from-host"), "hello guest").expect("a file");
    fs::write(path("fixed/file"), "fixed").expect("a file");
    fs::write(path("hosts"), "10.0.0.1 single\n").expect("a file");
    fs::write(path("secret"), "secret").expect("a file");
    symlink("../secret", path("data/out")).expect("a link");
    symlink(path("secret"), path("data/far-out")).expect("a link");
    let bundle = waiting(vec![
        bind(
            &path("data"),
            "/data",
            &["rbind", "rw", "nosuid", "nodev", "noexec", "rprivate"],
        ),
        bind(&path("fixed"), "/fixed", &["rbind", "ro"]),
        bind(&path("hosts"), "/etc/hosts", &["bind", "ro"]),
    ]);
    let id = "vm-share";
    begin(&bundle, id);
    let run = |script: &str| shell(&bundle, id, script);

    assert_eq!(run("cat /data/from-host"), "hello guest");
    assert_eq!(run("cat /etc/hosts"), "10.0.0.1 single\n");
    run("echo hello host > /data/from-guest");
    assert_eq!(
        fs::read_to_string(path("data/from-guest")).ok().as_deref(),
        Some("hello host\n")
    );
    // At once, whatever the guest has read before.
    for round in 0..5 {
        let text = format!("round {round} {}", "x".repeat(round * 100));
        fs::write(path("data/from-host"), &text).expect("a file");
        assert_eq!(run("cat /data/from-host"), text);
        fs::write(path(&format!("data/new-{round}")), "").expect("a file");
        assert_eq!(run("ls /data | grep -c new-"), format!("{}\n", round + 1));
    }
    fs::remove_file(path("data/new-0")).expect("removed");
    assert_eq!(run("test -e /data/new-0 || echo gone"), "gone\n");

    let refused =
        run("(echo x > /fixed/file) 2>&1; (rm /fixed/file) 2>&1; touch /fixed/below/y 2>&1; true");
    assert_eq!(
        refused.matches("Read-only file system").count(),
        3,
        "{refused}"
    );
    assert_eq!(
        fs::read_to_string(path("fixed/file")).ok().as_deref(),
        Some("fixed")
    );

    // A guest that is root remounts its mount, and the server refuses all the same; here its options are asked.
    let mounts = run("grep ' /data \\| /fixed ' /proc/mounts");
    assert!(
        mounts.contains("nosuid") && mounts.contains("noexec"),
        "{mounts}"
    );

    // Links lead to what they name in the guest, where there is nothing.
    let outside = run("cat /data/out /data/far-out 2>&1; ls /data/../secret 2>&1; true");
    assert!(
        !outside.contains("secret\nsecret") && outside.matches("No such file").count() == 3,
        "{outside}"
    );
    end(&bundle, id);
    assert_eq!(
        fs::read_to_string(path("secret")).ok().as_deref(),
        Some("secret")
    );
}

fn semantics() {
    let host = caisson_vm_tests::guest::scratch();
    let path = |name: &str| host.path().join(name);
    let bundle = waiting(vec![bind(host.path(), "/data", &["rbind", "rw"])]);
    let id = "vm-semantics";
    // A large file, not a multiple of anything.
    let large: Vec<u8> = (0..5_000_011_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    fs::write(path("large"), &large).expect("a file");
    let sum = Command::new("sha256sum")
        .arg(path("large"))
        .output()
        .expect("sha256sum");
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
    begin(&bundle, id);
    let run = |script: &str| shell(&bundle, id, script);
    assert_eq!(run("sha256sum /data/large | cut -c1-64").trim(), sum);
    run("cp /data/large /data/copy && sync");
    assert!(
        fs::read(path("copy")).expect("the copy") == large,
        "the copy differs"
    );

    let script = "cd /data && umask 022 && mkdir d && echo 1 > d/a && mv d/a d/b && ln d/b d/c && ln -s b d/l && \
        chown 1234:4321 d/b && chmod 4755 d/b && mkfifo d/p && mknod d/n c 1 3 && touch -d '2001-02-03 04:05:06' d/c && \
        echo more >> d/c && rm d/a 2>/dev/null; stat -c '%a %u %g %h %s %F' d/b && cat d/l && readlink d/l && \
        stat -c '%t %T' d/n";
    let said = run(script);
    assert_eq!(said, "4755 1234 4321 2 7 regular file\n1\nmore\nb\n1 3\n");
    let meta = fs::metadata(path("d/b")).expect("the file");
    assert_eq!((meta.uid(), meta.gid(), meta.nlink()), (1234, 4321, 2));
    assert_eq!(meta.permissions().mode() & 0o7777, 0o4755);
    assert_eq!(
        fs::symlink_metadata(path("d/n")).expect("the node").rdev(),
        rustix::fs::makedev(1, 3)
    );

    // Somebody else than root makes files that are somebody else's, and may not what root may.
    run("chmod 777 /data");
    let output = bundle.run(&["exec", "--user", "1000:2000", id, "sh", "-c",
        "echo mine > /data/mine && (cat /data/large > /data/d/b) 2>&1; (echo x >> /data/d/b) 2>&1; stat -c %a /data/d/b"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.matches("Permission denied").count() == 2, "{said}");
    let meta = fs::metadata(path("mine")).expect("the file");
    assert_eq!((meta.uid(), meta.gid()), (1000, 2000));

    // A write by one who is not root takes the set-user-id bit away.
    run("chmod 6777 /data/d/b");
    bundle.done(&[
        "exec",
        "--user",
        "1000:2000",
        id,
        "sh",
        "-c",
        "echo x >> /data/d/b",
    ]);
    assert_eq!(
        fs::metadata(path("d/b"))
            .expect("the file")
            .permissions()
            .mode()
            & 0o6000,
        0
    );

    // Many files, listed and removed.
    let said = run(
        "cd /data && mkdir many && i=0; while [ $i -lt 2000 ]; do : > many/$i; i=$((i+1)); done; \
        ls many | wc -l; rm -r many; ls -d many 2>&1; true",
    );
    assert!(
        said.starts_with("2000\n") && said.contains("No such file"),
        "{said}"
    );
    end(&bundle, id);
}

/// File systems that are mounted below a volume on the host.
fn mounts_below() {
    let host = caisson_vm_tests::guest::scratch();
    let data = host.path().join("data");
    let below = data.join("below");
    fs::create_dir_all(&below).expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "below"])
        .arg(&below)
        .status();
    assert!(mounted.expect("mount runs").success());
    fs::write(below.join("file"), "below").expect("a file");
    fs::write(data.join("file"), "above").expect("a file");
    let bundle = waiting(vec![
        bind(&data, "/tree", &["rbind", "rw"]),
        bind(&data, "/alone", &["bind", "rw"]),
        bind(&data, "/top", &["rbind", "ro"]),
        bind(&data, "/all", &["rbind", "rro"]),
    ]);
    let id = "vm-below";
    begin(&bundle, id);
    let run = |script: &str| shell(&bundle, id, script);
    assert_eq!(run("cat /tree/file /tree/below/file"), "abovebelow");
    assert_eq!(run("ls /alone/below"), "");
    // Another file system, as it is on the host.
    assert_eq!(
        run("df -k /tree/below | tail -1 | awk '{print $2}'"),
        "3072\n"
    );
    let devices = run("stat -c %d /tree /tree/below | sort -u | wc -l");
    assert_eq!(devices, "2\n");
    let written = run(
        "for place in tree alone top all; do for file in new below/new; do \
        (echo $place > /$place/$file) 2>/dev/null && echo $place/$file; done; done; true",
    );
    // The guest's kernel has what is below a read-only mount read-only as well, whether `ro` or `rro` was asked for.
    assert_eq!(
        written,
        "tree/new\ntree/below/new\nalone/new\nalone/below/new\n"
    );
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text(&below.join("new")), "tree\n");
    assert_eq!(text(&data.join("new")), "alone\n");
    end(&bundle, id);
    let unmounted = Command::new("umount").arg(&below).status();
    assert!(unmounted.expect("umount runs").success());
    // What was written with a plain `bind` is in the directory that the mount had covered.
    assert_eq!(text(&below.join("new")), "alone\n");
}

fn root_is_the_bundles() {
    let script = "echo guest > /written; df / | tail -1; mkdir -p /opt/x; stat -c %a /bin/busybox; echo done";
    let bundle = Bundle::new(&["sh", "-c", script], |config| {
        config["root"]["readonly"] = json!(false);
    });
    let said = bundle.done(&["run", "vm-root"]);
    assert!(said.ends_with("done\n"), "{said}");
    let written = fs::read_to_string(bundle.path("rootfs/written"));
    assert_eq!(written.ok().as_deref(), Some("guest\n"));
    assert!(bundle.path("rootfs/opt/x").is_dir());
    bundle.assert_nothing_left("vm-root");

    let bundle = Bundle::new(&["sh", "-c", "echo x > /written"], |config| {
        config["root"]["readonly"] = json!(true);
    });
    let output = bundle.run(&["run", "vm-root"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(!bundle.path("rootfs/written").exists());
    bundle.assert_nothing_left("vm-root");
}

fn image_instead() {
    let bundle = Bundle::new(
        &["sh", "-c", "echo x > /written && grep ' / ' /proc/mounts"],
        |config| {
            config["root"]["readonly"] = json!(false);
            config["annotations"] = json!({"dev.caisson.vm.rootfs": "image"});
        },
    );
    let said = bundle.done(&["run", "vm-image"]);
    assert!(said.contains("ext4"), "{said}");
    assert!(!bundle.path("rootfs/written").exists());
    bundle.assert_nothing_left("vm-image");

    let bundle = Bundle::new(&["true"], |config| {
        config["annotations"] = json!({"dev.caisson.vm.rootfs": "floppy"});
    });
    let output = bundle.run(&["run", "vm-image"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("dev.caisson.vm.rootfs") && said.contains("floppy"),
        "{said}"
    );
    bundle.assert_nothing_left("vm-image");
}

fn server_dies() {
    let bundle = waiting(Vec::new());
    begin(&bundle, "vm-server");
    let server = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .find(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with(b"caisson-share\0")
        })
        .expect("the server of files");
    // It is nobody, with few capabilities, and sees nothing.
    let status = fs::read_to_string(server.path().join("status")).expect("its status");
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().to_owned()
    };
    assert!(line("CapEff:").ends_with("00000000880000db"), "{status}");
    assert!(
        line("Seccomp:").ends_with('2') && line("NoNewPrivs:").ends_with('1'),
        "{status}"
    );
    assert!(!line("Uid:").contains("\t0\t0\t0"), "{status}");
    let root = fs::read_dir(server.path().join("root")).expect("its root");
    assert_eq!(root.count(), 0);
    let pid = server.file_name();
    let killed = Command::new("kill").arg("-9").arg(pid).status();
    assert!(killed.expect("kill runs").success());
    bundle.wait_for_status("vm-server", "stopped");
    end(&bundle, "vm-server");
}
