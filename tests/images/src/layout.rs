//! Writes an OCI image-layout archive of one uncompressed layer.
//!
//! Follows the OCI image specification 1.0 (image-layout, index, manifest, config). Output depends on
//! nothing but the layer and the reference.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ImageError;

/// `PATH` of every image.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the image `reference`, which runs `command`, with the layer in the tar file `layer` to `archive`.
pub(crate) fn write(
    layer: &Path,
    reference: &str,
    command: &[&str],
    archive: &Path,
) -> Result<(), ImageError> {
    let (layer_digest, layer_size) = digest_of(layer).map_err(ImageError::io("read", layer))?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Env": [PATH], "Cmd": command, "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
        "history": [{ "created_by": "caisson-images" }],
    })
    .to_string();
    let config_digest = hex(&Sha256::digest(&config));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len() as u64),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer_digest, layer_size)],
    })
    .to_string();
    let manifest_digest = hex(&Sha256::digest(&manifest));
    let mut entry = descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        &manifest_digest,
        manifest.len() as u64,
    );
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    entry["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": "latest",
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();

    let write = || -> io::Result<()> {
        let mut tar = tar::Builder::new(io::BufWriter::new(File::create(archive)?));
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", index.as_bytes())?;
        append(&mut tar, &blob(&manifest_digest), manifest.as_bytes())?;
        append(&mut tar, &blob(&config_digest), config.as_bytes())?;
        let mut header = plain_header(layer_size);
        tar.append_data(&mut header, blob(&layer_digest), File::open(layer)?)?;
        tar.into_inner()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    };
    write().map_err(ImageError::io("write", archive))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

fn plain_header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

fn append<W: io::Write>(tar: &mut tar::Builder<W>, path: &str, content: &[u8]) -> io::Result<()> {
    tar.append_data(&mut plain_header(content.len() as u64), path, content)
}

/// The SHA-256 and the size of a file.
fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hasher.finalize()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}
