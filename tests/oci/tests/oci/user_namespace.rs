//! A user namespace of the container's own: who the guest is on the host, and what it may be inside.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use caisson_oci_tests::bundle::{MAPPED, copy_program};
use caisson_oci_tests::reference::assert_agreed;
use caisson_oci_tests::{Bundle, Runtime};
use serde_json::{Value, json};

fn allow(bundle: &mut Bundle, capabilities: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(capabilities);
    }
}

fn push_mount(bundle: &mut Bundle, mount: Value) {
    let mounts = bundle.config["mounts"].as_array_mut();
    mounts.expect("mounts").push(mount);
}

const OWNERS: &str = "tr -s ' ' | cut -d' ' -f3,4";

#[test]
fn ids_are_the_containers_inside_and_mapped_on_disk() {
    let script = format!(
        "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/1/setgroups; \
         touch /tmp/f /tmp/g; chown 5:6 /tmp/f; chown 70000 /tmp/f; chown 0:70000 /tmp/f; \
         ls -ln /tmp/f | {OWNERS}; ls -ln /tmp/hosts | {OWNERS}; chown 0 /tmp/hosts; echo x > /tmp/hosts; \
         cat /tmp/hosts; ls -ln /dev/null /dev/zero /dev/tty | {OWNERS}; ls -lnd / /dev /dev/pts /dev/shm | {OWNERS}; \
         grep -E 'Uid|Gid|Groups|CapEff' /proc/self/status; readlink /dev/fd; echo y > /dev/null && head -c 2 /dev/zero | wc -c"
    );
    let disk = std::cell::RefCell::new(Vec::new());
    let done = assert_agreed(&script, |bundle| {
        bundle.map_ids();
        allow(bundle, &["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]);
        std::fs::write(bundle.rootfs().join("tmp/hosts"), "the host's\n").expect("write");
        disk.borrow_mut().push(bundle.rootfs());
    });
    assert!(
        done.stdout
            .starts_with("0\n0\n         0     100000      65536\n"),
        "{}{}",
        done.stdout,
        done.stderr
    );
    assert!(
        done.stdout.contains("5 6\n65534 65534\nthe host's\n"),
        "{}",
        done.stdout
    );
    assert_eq!(
        done.stderr.matches("Invalid argument").count(),
        2,
        "{}",
        done.stderr
    );
}

#[test]
fn files_belong_to_the_mapped_owner_on_disk_by_either_transport() {
    for transport in ["notify", "ptrace"] {
        let mut bundle = Bundle::new(
            "/bin/busybox chmod 1777 /tmp; mkdir /tmp/d; touch /tmp/f; chown 5:6 /tmp/f; exec sleep 600",
        );
        bundle.map_ids();
        allow(&mut bundle, &["CAP_CHOWN"]);
        bundle
            .caisson(&["--transport", transport, "run", "-d", &bundle.id])
            .succeeded();
        let exec = [
            "exec",
            "-u",
            "1000:1001",
            &bundle.id,
            "sh",
            "-c",
            "id -u; touch /tmp/e; exit 7",
        ];
        let done = bundle.caisson(&exec);
        assert_eq!(
            (done.status, done.stdout.as_str()),
            (7, "1000\n"),
            "{}",
            done.stderr
        );
        let owner = |name: &str| {
            let meta = bundle.rootfs().join("tmp").join(name).symlink_metadata();
            meta.map(|meta| (meta.uid(), meta.gid())).expect(name)
        };
        assert_eq!(owner("d"), (MAPPED, MAPPED));
        assert_eq!(owner("f"), (MAPPED + 5, MAPPED + 6));
        assert_eq!(owner("e"), (MAPPED + 1000, MAPPED + 1001));
        // Nobody of the container is the host's root, and the guest's processes are nobody at all.
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", bundle.pid())).expect("status");
        let uids = format!("Uid:\t{MAPPED}\t{MAPPED}\t{MAPPED}\t{MAPPED}");
        assert!(status.contains(&uids), "{status}");
        let unmapped = bundle.caisson(&["exec", "-u", "70000", &bundle.id, "true"]);
        assert_eq!(unmapped.status, 255);
        let wanted = "process.user.uid: 70000";
        assert!(unmapped.stderr.contains(wanted), "{}", unmapped.stderr);
        bundle.caisson(&["delete", "-f", &bundle.id]).succeeded();
        bundle.assert_nothing_left();
    }
}

#[test]
fn capabilities_hold_for_what_is_the_containers() {
    let script = "mkdir /tmp/m; mount -t tmpfs t /tmp/m && touch /tmp/m/f && ls -ln /tmp/m | tr -s ' ' | cut -d' ' -f3,4; \
        ip addr add 10.7.7.7/24 dev lo && ip -4 addr show lo | grep -c inet; \
        mknod /tmp/null c 1 3 || echo no device; mknod /tmp/p p && echo fifo; hostname other && hostname; \
        (echo 1 > /proc/sys/net/ipv4/ip_forward) 2>/dev/null; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let done = assert_agreed(script, |bundle| {
        bundle.map_ids();
        let bin = bundle.rootfs().join("bin");
        for applet in ["ip", "mknod"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("symlink");
        }
        allow(
            bundle,
            &[
                "CAP_SYS_ADMIN",
                "CAP_NET_ADMIN",
                "CAP_MKNOD",
                "CAP_DAC_OVERRIDE",
                "CAP_CHOWN",
            ],
        );
    });
    assert!(
        done.stdout.contains("0 0\n2\nno device\nfifo\nother\n"),
        "{} {}",
        done.stdout,
        done.stderr
    );
}

#[test]
fn namespaces_of_another_container_are_joined_by_path() {
    let mut first = Bundle::new("exec sleep 600");
    first.map_ids();
    first.caisson(&["run", "-d", &first.id]).succeeded();
    let pid = first.pid();
    for mapped in [true, false] {
        let script =
            "cat /proc/self/uid_map; hostname; id -u; touch /tmp/f; ps | grep -c '[s]leep 600'";
        let mut second = Bundle::new(script);
        std::os::unix::fs::symlink("busybox", second.rootfs().join("bin/ps")).expect("symlink");
        second.map_ids();
        if !mapped {
            second.config["linux"]["uidMappings"] = json!([]);
            second.config["linux"]["gidMappings"] = json!([]);
        }
        let kinds = [
            ("user", "user"),
            ("network", "net"),
            ("ipc", "ipc"),
            ("uts", "uts"),
            ("pid", "pid"),
        ];
        let list = second.config["linux"]["namespaces"]
            .as_array_mut()
            .expect("list");
        for (kind, file) in kinds {
            let entry = list
                .iter_mut()
                .find(|entry| entry["type"] == kind)
                .expect(kind);
            entry["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
        second.config["hostname"] = json!("");
        // The state of the first must be known: its pid stands for its guest's pid namespace.
        let second_root = second.root();
        std::os::unix::fs::symlink(first.root(), &second_root).expect("one state folder");
        let done = second.run();
        std::fs::remove_file(&second_root).expect("unlink");
        let map = format!("{:>10} {MAPPED:>10}      65536\n", 0);
        let wanted = format!("{map}caisson\n0\n1\n");
        assert_eq!(done.stdout, wanted, "{}", done.stderr);
        let meta = second.rootfs().join("tmp/f").metadata().expect("made");
        assert_eq!((meta.uid(), meta.gid()), (MAPPED, MAPPED));
    }
    first.caisson(&["delete", "-f", &first.id]).succeeded();
    first.assert_nothing_left();
}

#[test]
fn mounts_are_shown_by_the_containers_mappings() {
    let script = format!(
        "ls -ln /in/file /plain/file | {OWNERS}; cat /in/file; echo new > /in/new; ls -ln /in/new | {OWNERS}; \
         touch /plain/new || echo not mine"
    );
    let mut bundle = Bundle::new(&script);
    bundle.map_ids();
    let source = bundle.folder.join("source");
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::write(source.join("file"), "text\n").expect("write");
    for (place, options) in [
        ("/in", json!(["rbind", "idmap"])),
        ("/plain", json!(["bind"])),
    ] {
        let mount =
            json!({"destination": place, "type": "bind", "source": source, "options": options});
        push_mount(&mut bundle, mount);
    }
    let done = bundle.run();
    assert_eq!(
        done.stdout, "0 0\n65534 65534\ntext\n0 0\nnot mine\n",
        "{}",
        done.stderr
    );
    let meta = source.join("new").metadata().expect("made");
    assert_eq!((meta.uid(), meta.gid()), (0, 0));
    bundle.assert_nothing_left();
}

#[test]
fn sources_that_only_the_hosts_root_reaches_are_bound() {
    let mut bundle = Bundle::new("cat /in/file; ls -A /in; ls -ln /file | wc -l");
    bundle.map_ids();
    let hidden = bundle.folder.join("hidden");
    let source = hidden.join("source");
    std::fs::create_dir_all(&source).expect("mkdir");
    std::fs::write(source.join("file"), "text\n").expect("write");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&hidden, closed).expect("chmod");
    let tree =
        json!({"destination": "/in", "type": "bind", "source": source, "options": ["rbind", "ro"]});
    let file = json!({"destination": "/file", "type": "bind", "source": source.join("file"), "options": ["bind"]});
    push_mount(&mut bundle, tree);
    push_mount(&mut bundle, file);
    let done = bundle.run();
    assert_eq!(done.stdout, "text\nfile\n1\n", "{}", done.stderr);
    bundle.assert_nothing_left();
}

#[test]
fn wrong_mappings_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Bundle), parts: &[&str]| {
        let mut bundle = Bundle::under(Runtime::caisson(), "true");
        bundle.map_ids();
        change(&mut bundle);
        bundle.run().refused(parts);
        bundle.assert_nothing_left();
    };
    let line = |inside: u32, outside: u32, size: u32| json!([{"containerID": inside, "hostID": outside, "size": size}]);
    refused(
        &|bundle| bundle.config["linux"]["uidMappings"] = json!([]),
        &["linux.uidMappings"],
    );
    refused(
        &|bundle| bundle.config["linux"]["gidMappings"] = line(1, 2, 3),
        &["linux.gidMappings", "id 0 of the container"],
    );
    refused(
        &|bundle| bundle.config["linux"]["uidMappings"] = line(0, 5, 0),
        &["linux.uidMappings[0]", "0 5 0"],
    );
    let without = |bundle: &mut Bundle| {
        let list = bundle.config["linux"]["namespaces"].as_array_mut();
        list.expect("list").retain(|entry| entry["type"] != "user");
    };
    refused(&without, &["linux.uidMappings", "needs a user namespace"]);
    let user =
        |bundle: &mut Bundle| bundle.config["process"]["user"] = json!({"uid": 0, "gid": 70000});
    refused(&user, &["process.user.gid", "70000"]);
    let groups = |bundle: &mut Bundle| {
        bundle.config["process"]["user"] =
            json!({"uid": 0, "gid": 0, "additionalGids": [5, 70000]});
    };
    refused(&groups, &["process.user.additionalGids", "70000"]);
}

/// Nobody becomes who is not in the container: neither by setuid(2) nor by a program that belongs to the host's root.
#[test]
fn ids_that_are_not_mapped_are_nobodys() {
    let script = "su near -c 'id -u'; su far -c 'id -u' || echo no such user; \
        su near -c \"/bin/mapped/su root -c 'id -u'\"; \
        su near -c \"/bin/unmapped/su root -c 'id -u'\" || echo not by the host";
    let done = assert_agreed(script, |bundle| {
        bundle.map_ids();
        allow(bundle, &["CAP_SETUID", "CAP_SETGID"]);
        bundle.config["process"]["noNewPrivileges"] = json!(false);
        let users = "root::0:0::/:/bin/sh\nnear::7:7::/:/bin/sh\nfar::70000:7::/:/bin/sh\n";
        std::fs::write(bundle.rootfs().join("etc/passwd"), users).expect("write");
        let bin = bundle.rootfs().join("bin");
        std::os::unix::fs::symlink("busybox", bin.join("su")).expect("symlink");
        for (folder, owner) in [("mapped", MAPPED), ("unmapped", 0)] {
            let folder = bin.join(folder);
            std::fs::create_dir(&folder).expect("mkdir");
            let program = folder.join("su");
            copy_program(&bin.join("busybox"), &program);
            std::os::unix::fs::chown(&program, Some(owner), Some(owner)).expect("chown");
            let mode = std::fs::Permissions::from_mode(0o4755);
            std::fs::set_permissions(&program, mode).expect("chmod");
        }
    });
    assert_eq!(
        done.stdout, "7\nno such user\n0\nnot by the host\n",
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("Invalid argument"), "{}", done.stderr);
}
