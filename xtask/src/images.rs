//! `xtask images`: builds the test images and prints where they are.

use anyhow::{Result, bail};

/// Prints reference, archive and extracted tree of the named images, or of all.
pub(crate) fn print(names: &[&str]) -> Result<()> {
    let names = if names.is_empty() {
        &["busybox", "debian"]
    } else {
        names
    };
    for name in names {
        let image = match *name {
            "busybox" => caisson_images::busybox()?,
            "debian" => caisson_images::debian()?,
            other => bail!("unknown image {other:?}: there are busybox and debian"),
        };
        println!("{name} reference {}", image.reference);
        println!("{name} archive   {}", image.archive.display());
        println!("{name} rootfs    {}", image.rootfs.display());
    }
    Ok(())
}
