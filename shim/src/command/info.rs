//! `-info` and `-v`: what this shim is, and what its runtime can do.

use std::io::{IsTerminal, Read, Write};
use std::process::Command;

use anyhow::Context;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use crate::args::Flags;
use crate::options::Options;
use crate::runtime::find_binary;
use crate::tier::Tier;

/// How containerd 2 calls the specification's features document, which it wants before it lets mounts be idmapped.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";
/// Longest options that are read.
const MAX_OPTIONS_BYTES: u64 = 1 << 20;

pub(crate) fn run(_flags: &Flags) -> anyhow::Result<()> {
    let version = RuntimeVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..RuntimeVersion::default()
    };
    let info = RuntimeInfo {
        name: Tier::current().handler().to_owned(),
        version: MessageField::some(version),
        features: features()?.into(),
        ..RuntimeInfo::default()
    };
    let bytes = info.write_to_bytes().context("answer")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("standard output")
}

/// `None` where there is no runtime to ask, or not one that has the command.
fn features() -> anyhow::Result<Option<Any>> {
    let options = options()?;
    let output = Command::new(find_binary(&options.binary_name))
        .arg("features")
        .output();
    let document = output.ok().filter(|output| output.status.success());
    Ok(document.map(|output| Any {
        type_url: FEATURES.to_owned(),
        value: output.stdout,
        ..Any::default()
    }))
}

/// containerd writes the runtime's options to standard input.
fn options() -> anyhow::Result<Options> {
    let mut bytes = Vec::new();
    let input = std::io::stdin();
    if !input.is_terminal() {
        let mut input = input.lock().take(MAX_OPTIONS_BYTES);
        input.read_to_end(&mut bytes).context("standard input")?;
    }
    let any = Any::parse_from_bytes(&bytes).context("options on standard input")?;
    Options::decode(Some(&any)).context("options on standard input")
}

pub(crate) fn version() -> anyhow::Result<()> {
    println!(
        "containerd-shim-caisson-v2:\n  Version: {}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}
