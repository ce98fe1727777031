//! A guest reads every file of /proc and /sys that it may: nothing in them may be the host's.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use caisson_test_bundle::{Bundle, Config, User, caisson, run};

/// Reads everything readable, without files that have no end.
const READ_ALL: &str = "find /proc /sys -type f 2>/dev/null | while read -r file; do \
    echo \"== $file\"; head -c 200000 \"$file\" 2>/dev/null | tr '\\000' ' '; done; \
    find /proc /sys -type l 2>/dev/null | while read -r link; do echo \"== $link -> $(readlink $link)\"; done";

fn text(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// What only the host knows: its name, boot and build, its command line, modules, disks and network cards.
fn markers(bundle: &Bundle) -> BTreeSet<(String, String)> {
    let mut markers = BTreeSet::new();
    let mut add = |what: &str, value: String| {
        // Short words (`lo`, `sd`) are found everywhere.
        if value.len() > 5 {
            markers.insert((what.to_owned(), value));
        }
    };
    add("host name", text("/proc/sys/kernel/hostname"));
    add("boot id", text("/proc/sys/kernel/random/boot_id"));
    add("build", text("/proc/sys/kernel/version"));
    add("release", text("/proc/sys/kernel/osrelease"));
    add("command line", text("/proc/cmdline"));
    for word in text("/proc/cmdline").split_whitespace() {
        if word.contains('=') {
            add("command line", word.to_owned());
        }
    }
    for line in text("/proc/modules").lines() {
        let name = line.split(' ').next().unwrap_or_default();
        add("module", format!("{name} "));
    }
    for line in text("/proc/partitions").lines().skip(2) {
        let name = line.split_whitespace().nth(3).unwrap_or_default();
        add("disk", format!("/dev/{name}"));
    }
    for entry in fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        let address = text(&entry.path().join("address").to_string_lossy());
        if address != "00:00:00:00:00:00" {
            add("network card", address);
        }
    }
    let path = bundle.path().to_string_lossy().into_owned();
    add("bundle", path);
    add("working directory", env!("CARGO_MANIFEST_DIR").to_owned());
    markers
}

fn nothing_of_the_host(user: User) {
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new(&format!("host-markers-{}", user.name()), &image);
    let config = Config::new(&["/bin/sh", "-c", READ_ALL], user);
    let outcome = run(&caisson(), &bundle, &config, Duration::from_secs(120));
    assert!(
        outcome.status.is_some_and(|status| status.success()),
        "{:?}\n{}",
        outcome.status,
        outcome.stderr
    );
    let files = outcome
        .stdout
        .lines()
        .filter(|line| line.starts_with("== "))
        .count();
    assert!(
        files > 200,
        "only {files} files were read:\n{}",
        outcome.stdout
    );
    let mut file = "";
    let mut found = Vec::new();
    let markers = markers(&bundle);
    for line in outcome.stdout.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            file = name;
        }
        for (what, marker) in &markers {
            if line.contains(marker.as_str()) {
                found.push(format!("{what} {marker:?} in {file}: {line}"));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} lines tell of the host:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn root_learns_nothing_of_the_host() {
    nothing_of_the_host(User::Root);
}

#[test]
fn an_ordinary_user_learns_nothing_of_the_host() {
    nothing_of_the_host(User::Dev);
}
