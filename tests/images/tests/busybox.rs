//! The busybox image is a well-formed OCI image layout: every digest is that of the blob it names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sha2::{Digest, Sha256};

fn digest(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// The blob that a descriptor names, after its digest and size were checked.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let name = descriptor["digest"]
        .as_str()
        .expect("a descriptor has a digest");
    let content = &files[&format!("blobs/{}", name.replace(':', "/"))];
    assert_eq!(digest(content), name);
    assert_eq!(descriptor["size"].as_u64(), Some(content.len() as u64));
    content
}

#[test]
fn layout_is_consistent() {
    let image = caisson_images::busybox().expect("the image can be built");
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(&image.archive).expect("the archive exists"));
    for entry in archive.entries().expect("the archive is a tar") {
        let mut entry = entry.expect("the archive is whole");
        let path = entry.path().expect("a path").display().to_string();
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .expect("the archive is whole");
        files.insert(path, content);
    }
    let index: Value = serde_json::from_slice(&files["index.json"]).expect("index.json is JSON");
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["annotations"]["io.containerd.image.name"],
        image.reference.as_str()
    );
    let manifest: Value =
        serde_json::from_slice(blob(&files, entry)).expect("the manifest is JSON");
    let config: Value =
        serde_json::from_slice(blob(&files, &manifest["config"])).expect("the config is JSON");
    let layer = blob(&files, &manifest["layers"][0]);
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        digest(layer),
        "the layer is not compressed"
    );
}

#[test]
fn tree_is_extracted_with_modes_and_applets() {
    let image = caisson_images::busybox().expect("the image can be built");
    let mode = |path: &str| {
        fs::metadata(image.rootfs.join(path))
            .expect(path)
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("tmp"), 0o1777);
    assert_eq!(mode("bin/busybox"), 0o755);
    let shell = fs::read_link(image.rootfs.join("bin/sh")).expect("sh is an applet");
    assert_eq!(shell.to_str(), Some("/bin/busybox"));
}
