//! The container's tree, as far as it is the same whoever runs the container.

use std::os::unix::fs::PermissionsExt;

use caisson_oci_tests::Bundle;
use serde_json::json;

/// An image decides nothing about where the runtime's own file systems go.
#[test]
fn a_link_in_place_of_proc_is_refused_in_runcs_words() {
    let bundle = Bundle::new("true");
    std::fs::remove_dir(bundle.rootfs().join("proc")).expect("rmdir");
    std::os::unix::fs::symlink("tmp", bundle.rootfs().join("proc")).expect("symlink");
    bundle
        .caisson(&["run", &bundle.id])
        .refused(&["must be mounted on ordinary directory", "/proc"]);
    bundle.assert_nothing_left();
}

/// A tmpfs over nothing has Linux's own mode, over a directory that one's: as runc has it.
#[test]
fn modes_of_tmpfs_are_runcs() {
    let done = caisson_oci_tests::reference::assert_agreed("stat -c %a /new /old", |bundle| {
        let old = bundle.rootfs().join("old");
        std::fs::create_dir(&old).expect("mkdir");
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o705)).expect("chmod");
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        for place in ["/new", "/old"] {
            mounts.push(json!({"destination": place, "type": "tmpfs", "source": "tmpfs"}));
        }
    });
    assert_eq!(done.stdout, "1777\n705\n");
}
