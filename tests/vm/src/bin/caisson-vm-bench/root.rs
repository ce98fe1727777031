//! A container's root file system as a share of the host's and as an image: the same container, one after the other.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use caisson_vm_tests::guest::{compiled, scratch};
use serde_json::{Value, json};

use crate::ROUNDS;

const FOLDERS: usize = 100;
const FILES_IN_EACH: usize = 20;
const LARGE_BYTES: usize = 16 << 20;

/// The script's words, and the rows that they become.
const ROWS: [(&str, &str); 7] = [
    ("cold", "walk of 2,000 files with stat, first time, ms"),
    ("warm", "walk of 2,000 files with stat, again, ms"),
    ("tar", "tar of them, ms"),
    ("read", "read of 16 MiB, first time, ms"),
    ("create", "300 small files made, ms"),
    ("remove", "300 small files removed, ms"),
    ("write", "write of 16 MiB with fsync, ms"),
];

const SCRIPT: &str = "now() { /init now; }\n\
    told() { echo bench $1 $(($(now) - $began)); }\n\
    echo bench begun 0\n\
    began=$(now); ls -lR /tree >/dev/null; told cold\n\
    began=$(now); ls -lR /tree >/dev/null; told warm\n\
    began=$(now); tar cf - /tree 2>/dev/null | cat >/dev/null; told tar\n\
    began=$(now); cat /large >/dev/null; told read\n\
    mkdir /new; i=0\n\
    began=$(now); while [ $i -lt 300 ]; do echo $i >/new/$i; i=$((i+1)); done; told create\n\
    began=$(now); rm -r /new; told remove\n\
    began=$(now); dd if=/dev/zero of=/written bs=1M count=16 conv=fsync 2>/dev/null; told write\n\
    rm /written\n";

/// Prints what was measured.
pub(crate) fn measure() {
    let folder = scratch();
    make_bundle(folder.path());
    for round in 0..ROUNDS {
        let kinds = if round % 2 == 0 {
            ["share", "image"]
        } else {
            ["image", "share"]
        };
        for kind in kinds {
            run(folder.path(), kind);
        }
    }
}

fn caisson() -> PathBuf {
    std::env::var_os("CAISSON_BIN")
        .expect("CAISSON_BIN is set")
        .into()
}

fn make_bundle(folder: &Path) {
    let image = caisson_images::busybox().expect("the busybox image");
    let root = folder.join("rootfs");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&image.rootfs)
        .arg(&root)
        .status();
    assert!(copied.expect("cp runs").success());
    for number in 0..FOLDERS {
        let below = root.join(format!("tree/{number}"));
        fs::create_dir_all(&below).expect("a directory");
        for file in 0..FILES_IN_EACH {
            fs::write(below.join(file.to_string()), [b'x'; 1000]).expect("a file");
        }
    }
    fs::write(root.join("large"), vec![b'x'; LARGE_BYTES]).expect("a file");
    // For its clock.
    let init = compiled("init", folder);
    fs::rename(init, root.join("init")).expect("the helper");
    let made = Command::new(caisson())
        .arg("spec")
        .current_dir(folder)
        .status();
    assert!(made.expect("caisson runs").success());
}

fn configure(folder: &Path, kind: &str) {
    let path = folder.join("config.json");
    let text = fs::read(&path).expect("config.json");
    let mut config: Value = serde_json::from_slice(&text).expect("JSON");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sh", "-c", SCRIPT]);
    config["root"]["readonly"] = json!(false);
    config["annotations"] = json!({"dev.caisson.vm.rootfs": kind});
    fs::write(&path, config.to_string()).expect("config.json is written");
}

fn run(folder: &Path, kind: &str) {
    configure(folder, kind);
    let began = Instant::now();
    let mut child = Command::new(caisson())
        .arg("--root")
        .arg(folder.join("state"))
        .args(["--sandbox", "vm", "run", "bench-root"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("caisson runs");
    let output = child.stdout.take().expect("a pipe");
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        let mut words = line.split(' ').skip(1);
        let (Some(word), Some(Ok(ns))) = (words.next(), words.next().map(str::parse::<f64>)) else {
            panic!("no figure: {line}");
        };
        if word == "begun" {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            println!("result start to the container's first word, ms {kind} {ms:.3}");
        } else if let Some((_, row)) = ROWS.iter().find(|(known, _)| *known == word) {
            println!("result {row} {kind} {:.3}", ns / 1e6);
        }
    }
    let status = child.wait().expect("our child");
    assert!(status.success(), "{kind}: {status}");
}
