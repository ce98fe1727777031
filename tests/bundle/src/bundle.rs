//! A bundle: an overlay of an image and the `config.json` beside it.

use std::path::{Path, PathBuf};

use caisson_images::{Image, Overlay};

use crate::{Config, Scratch};

/// A bundle of one container; the image's tree is never written to.
#[derive(Debug)]
pub struct Bundle {
    // Unmounted before the scratch directory is removed.
    overlay: Overlay,
    scratch: Scratch,
}

impl Bundle {
    /// # Panics
    /// If the overlay cannot be mounted.
    #[must_use]
    pub fn new(name: &str, image: &Image) -> Bundle {
        let scratch = Scratch::new(name);
        let overlay =
            Overlay::mount(image, scratch.path()).unwrap_or_else(|error| panic!("{error}"));
        Bundle { overlay, scratch }
    }

    /// The container's tree, to put files in.
    #[must_use]
    pub fn rootfs(&self) -> &Path {
        self.overlay.root()
    }

    /// The bundle directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The state root given to the runtime, private to this bundle.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// # Panics
    /// If the file cannot be written.
    pub fn write_config(&self, config: &Config) {
        let path = self.path().join("config.json");
        let text = serde_json::to_string_pretty(config.json()).expect("JSON of config.json");
        std::fs::write(&path, text)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }
}
