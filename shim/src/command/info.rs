//! `-info` and `-v`: what this shim is.

use std::io::Write;

use anyhow::Context;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use crate::args::Flags;
use crate::tier::Tier;

pub(crate) fn run(_flags: &Flags) -> anyhow::Result<()> {
    let version = RuntimeVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..RuntimeVersion::default()
    };
    let info = RuntimeInfo {
        name: Tier::current().handler().to_owned(),
        version: MessageField::some(version),
        ..RuntimeInfo::default()
    };
    let bytes = info.write_to_bytes().context("answer")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("standard output")
}

pub(crate) fn version() -> anyhow::Result<()> {
    println!(
        "containerd-shim-caisson-v2:\n  Version: {}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}
