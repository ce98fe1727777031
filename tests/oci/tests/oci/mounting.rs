//! What guests with CAP_SYS_ADMIN mount, and who else sees it.

use std::path::{Path, PathBuf};

use caisson_oci_tests::Bundle;
use caisson_oci_tests::reference::assert_agreed;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use serde_json::{Value, json};

/// Give the container the right, and a root that can be written.
fn may_mount(bundle: &mut Bundle) {
    bundle.config["root"]["readonly"] = json!(false);
    for set in ["bounding", "effective", "permitted"] {
        let set = &mut bundle.config["process"]["capabilities"][set];
        if !set.is_array() {
            *set = json!([]);
        }
        set.as_array_mut()
            .expect("a set")
            .push("CAP_SYS_ADMIN".into());
    }
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// What an engine mounts over files of the image is no obstacle to a copy of the directory alone.
#[test]
fn a_directory_is_bound_without_the_mounts_below_it() {
    let script = "mkdir -p /tmp/m && mount --bind /etc /tmp/m && cat /tmp/m/hosts /etc/hosts && umount /tmp/m; echo $?";
    let done = assert_agreed(script, |bundle| {
        may_mount(bundle);
        std::fs::create_dir_all(bundle.rootfs().join("etc")).expect("mkdir");
        std::fs::write(bundle.rootfs().join("etc/hosts"), "the image's\n").expect("write");
        let hosts = bundle.folder.join("hosts");
        std::fs::write(&hosts, "the engine's\n").expect("write");
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.push(bind("/etc/hosts", &hosts, &["rbind", "ro"]));
    });
    assert_eq!(
        done.stdout, "the image's\nthe engine's\n0\n",
        "{}",
        done.stderr
    );
}

#[test]
fn what_is_masked_or_read_only_cannot_be_bound_free() {
    for field in ["maskedPaths", "readonlyPaths"] {
        let script = "mkdir -p /tmp/m; mount --bind /data /tmp/m 2>&1; \
                      unshare -m mount --bind /data /tmp/m 2>&1; \
                      mount -t tmpfs none /data/secret && mount --bind /data /tmp/m 2>&1; \
                      mount --rbind /data /tmp/m && ls /tmp/m/secret";
        let mut bundle = Bundle::new(script);
        may_mount(&mut bundle);
        let secret = bundle.rootfs().join("data/secret");
        std::fs::create_dir_all(&secret).expect("mkdir");
        std::fs::write(secret.join("key"), "").expect("write");
        bundle.config["linux"][field] = json!(["/data/secret"]);
        let done = bundle.run();
        let refusal = "mount: mounting /data on /tmp/m failed: Invalid argument\n";
        assert_eq!(done.stdout, refusal.repeat(3), "{field}: {}", done.stderr);
    }
}

/// Neither by what a copy takes with it at its end where mounts are shared, nor by a root that is pivoted away.
#[test]
fn what_is_masked_stays_masked_at_the_end_of_copies() {
    let script = "mount --make-rshared /; mount --make-private /; mkdir -p /tmp/m; \
                  mount --rbind /data /tmp/m && umount -l /tmp/m; ls /data/secret; \
                  unshare -m sh -c 'mount --make-private /; mkdir -p /tmp/r && mount -t tmpfs t /tmp/r && mkdir /tmp/r/old /tmp/r/bin && \
                    mount --bind /bin /tmp/r/bin && pivot_root /tmp/r /tmp/r/old && umount -l /old'; ls /data/secret; echo done";
    let mut bundle = Bundle::new(script);
    may_mount(&mut bundle);
    let secret = bundle.rootfs().join("data/secret");
    std::fs::create_dir_all(&secret).expect("mkdir");
    std::fs::write(secret.join("key"), "").expect("write");
    bundle.config["linux"]["maskedPaths"] = json!(["/data/secret"]);
    let data = bind("/data", &bundle.rootfs().join("data"), &["rbind"]);
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(data);
    let done = bundle.run();
    assert_eq!(done.stdout, "done\n", "{}", done.stderr);
}

/// A process of `exec` stands where the container's root is now.
#[test]
fn processes_of_exec_begin_in_the_pivoted_root() {
    let mut bundle = Bundle::new("sleep 600");
    may_mount(&mut bundle);
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let inside = |script: &str| bundle.caisson(&["exec", id, "sh", "-c", script]);
    inside(
        "mkdir -p /tmp/r && mount -t tmpfs t /tmp/r && cd /tmp/r && mkdir old bin proc && mount --bind /bin bin && \
         touch marker && cd / && pivot_root /tmp/r /tmp/r/old && umount -l /old",
    )
    .succeeded();
    assert_eq!(
        inside("echo /*").succeeded().stdout,
        "/bin /marker /old /proc\n"
    );
    let shown =
        inside("mount -t proc p /proc && grep -c . /proc/1/mounts && ls /proc/1/root").succeeded();
    assert!(shown.stdout.contains("marker"), "{}", shown.stdout);
    bundle.caisson(&["delete", "-f", id]).succeeded();
    bundle.assert_nothing_left();
}

/// A tmpfs that is shared with whoever copies it.
struct Shared(PathBuf);

impl Shared {
    fn new(bundle: &Bundle) -> Shared {
        let path = bundle.folder.join("volume");
        std::fs::create_dir(&path).expect("mkdir");
        mount_tmpfs(&path);
        let shared = Shared(path);
        mount_change(&shared.0, MountPropagationFlags::SHARED).expect("share");
        shared
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}

fn mount_tmpfs(path: &Path) {
    mount(c"tmpfs", path, c"tmpfs", MountFlags::empty(), None).expect("mount");
}

/// `mountPropagation: Bidirectional` and `HostToContainer` of Kubernetes.
#[test]
fn mounts_below_a_shared_volume_travel_as_far_as_it_says() {
    for (kind, back) in [("rshared", true), ("rslave", false), ("rprivate", false)] {
        let mut bundle = Bundle::new("sleep 600");
        may_mount(&mut bundle);
        let volume = Shared::new(&bundle);
        if back {
            bundle.config["linux"]["rootfsPropagation"] = json!("rshared");
        }
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.push(bind("/volume", &volume.0, &["rbind", kind]));
        let id = bundle.id.as_str();
        bundle.caisson(&["run", "-d", id]).succeeded();
        let inside = |script: &str| bundle.caisson(&["exec", id, "sh", "-c", script]);

        let from_host = volume.0.join("host");
        std::fs::create_dir(&from_host).expect("mkdir");
        mount_tmpfs(&from_host);
        std::fs::write(from_host.join("file"), "").expect("write");
        let seen = inside("ls /volume/host").succeeded().stdout;
        assert_eq!(
            seen,
            if kind == "rprivate" { "" } else { "file\n" },
            "{kind}"
        );

        inside("mkdir /volume/m && mount -t tmpfs none /volume/m && touch /volume/m/file")
            .succeeded();
        assert_eq!(volume.0.join("m/file").exists(), back, "{kind}");
        // Nobody outside shall wait for the app kernel.
        let proc =
            inside("mkdir /volume/p && mount -t proc proc /volume/p; mount --rbind / /volume/p");
        if back {
            let refusal = "mount: permission denied";
            assert_eq!(proc.stderr.matches(refusal).count(), 2, "{}", proc.stderr);
        }
        inside("umount /volume/m").succeeded();
        assert!(!volume.0.join("m/file").exists());
        bundle.caisson(&["delete", "-f", id]).succeeded();
        unmount(&from_host, UnmountFlags::DETACH).expect("unmount");
        drop(volume);
        bundle.assert_nothing_left();
    }
}
