//! Guests whose agent answers lies, or nothing any more: an error that says so, and nothing left.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use caisson_nested::Archive;
use caisson_vm_tests::guest::{compiled, scratch};
use serde_json::{Value, json};

use crate::Case;
use crate::container::Bundle;

/// With `CAISSON_GUEST`, as all containers.
pub(crate) const CASES: &[Case] = &[
    ("liar::says_what_cannot_be", says_what_cannot_be),
    ("liar::hears_nothing_any_more", hears_nothing_any_more),
];

/// The initial ramdisk with the agent that lies so.
fn ramdisk(path: &Path, how: &str) {
    // Compiling takes seconds in the nested machine.
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folder = scratch();
        fs::read(compiled("liar", folder.path())).expect("the program")
    });
    let mut archive = Archive::default();
    archive.file("init", program);
    archive.file("lie", how.as_bytes());
    fs::write(path, archive.finish()).expect("the ramdisk is written");
}

/// A container of such a guest.
fn bundle(how: &str) -> Bundle {
    let bundle = Bundle::new(&["true"], |_| {});
    let initrd = bundle.path("initrd");
    ramdisk(&initrd, how);
    let path = bundle.path("config.json");
    let text = fs::read(&path).expect("config.json");
    let mut config: Value = serde_json::from_slice(&text).expect("JSON");
    config["annotations"] = json!({"dev.caisson.vm.initrd": initrd});
    fs::write(&path, config.to_string()).expect("config.json is written");
    bundle
}

fn says_what_cannot_be() {
    for (how, words) in [
        ("long", "over the limit"),
        ("early", "agent: says what cannot be: Started"),
        (
            "strange",
            "agent: says what cannot be: Ended(Signaled(200))",
        ),
    ] {
        let bundle = bundle(how);
        let output = bundle.run(&["run", "vm-liar"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{how}: {said}");
        assert!(said.contains(words), "{how}: {said}");
        bundle.assert_nothing_left("vm-liar");
    }
}

fn hears_nothing_any_more() {
    let bundle = bundle("deaf");
    bundle.create(&["vm-liar"]);
    assert_eq!(bundle.status("vm-liar"), "created");
    bundle.done(&["delete", "--force", "vm-liar"]);
    bundle.assert_nothing_left("vm-liar");
}
