//! `install`: make this binary (and the shim beside it) known to containerd or CRI-O of this node, and take it back.
//!
//! Doing it twice changes nothing. The micro-VM tier is installed where its guest's files are found as `create` finds
//! them; its handler is in the drop-ins in any case, and says what is missing when it is used.

mod piece;

use std::path::{Path, PathBuf};

use self::piece::{Content, Piece};

use super::print;
use crate::RuntimeError;
use crate::tier::vm::boot;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Set up containerd: binaries, shim options, drop-in, RuntimeClasses
    #[arg(long, required_unless_present = "crio")]
    pub containerd: bool,
    /// Set up CRI-O: binaries, drop-in, RuntimeClasses
    #[arg(long)]
    pub crio: bool,
    /// Take it back
    #[arg(long)]
    pub uninstall: bool,
    /// Where programs go
    #[arg(long, default_value = "/usr/local/bin", value_name = "DIR")]
    pub bin_dir: PathBuf,
    /// Treat this folder as the node's /
    #[arg(long, default_value = "/", value_name = "DIR")]
    pub host_root: PathBuf,
    /// Major version of the node's containerd; asked of `containerd --version` if absent
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub containerd_version: Option<u8>,
}

const SHIM: &str = "containerd-shim-caisson-v2";
/// The name by which the shim knows that it serves micro-VMs.
const VM_SHIM: &str = "containerd-shim-caisson-vm-v2";
const IMPORTS: &str = "imports = [\"/etc/containerd/conf.d/*.toml\"]\n";

pub fn run(arguments: &Arguments) -> Result<(), RuntimeError> {
    let pieces = pieces(arguments)?;
    let mut said = String::new();
    for piece in &pieces {
        let done = if arguments.uninstall {
            piece.remove()?
        } else {
            piece.write()?
        };
        said.push_str(&format!("{}: {done}\n", piece.path.display()));
    }
    if !arguments.uninstall {
        said.push_str(&hints(arguments));
    }
    print(&said)
}

fn pieces(arguments: &Arguments) -> Result<Vec<Piece>, RuntimeError> {
    let at = |path: &str| arguments.host_root.join(path.trim_start_matches('/'));
    let text = |path: &str, content: String| Piece::new(at(path), Content::Text(content));
    let mut pieces = programs(arguments)?;
    pieces.extend(guest_files(arguments)?);
    let class = include_str!("../../../../deploy/runtimeclass.yaml");
    pieces.push(text("/etc/caisson/runtimeclass.yaml", class.into()));
    if arguments.containerd {
        let options = include_str!("../../../../deploy/runtime.toml");
        pieces.push(text("/etc/caisson/runtime.toml", options.into()));
        let (drop_in, version) = match containerd_version(arguments) {
            1 => (include_str!("../../../../deploy/containerd-1.toml"), 2),
            _ => (include_str!("../../../../deploy/containerd-2.toml"), 3),
        };
        pieces.push(text("/etc/containerd/conf.d/caisson.toml", drop_in.into()));
        // A node without a configuration gets one that reads the drop-ins; one that has one is left alone.
        let main = text(
            "/etc/containerd/config.toml",
            format!("# Made by caisson install.\nversion = {version}\n{IMPORTS}"),
        );
        if !main.path.exists() || main.is_in_place() {
            pieces.push(main);
        }
    }
    if arguments.crio {
        let drop_in = include_str!("../../../../deploy/crio.conf").replace(
            "/usr/local/bin/",
            &format!("{}/", arguments.bin_dir.display()),
        );
        pieces.push(text("/etc/crio/crio.conf.d/50-caisson.conf", drop_in));
    }
    Ok(pieces)
}

/// This program, and beside it the shim under its two names, which CRI-O needs for micro-VMs as well.
fn programs(arguments: &Arguments) -> Result<Vec<Piece>, RuntimeError> {
    let own = std::env::current_exe().map_err(RuntimeError::step("find this program"))?;
    let folder = within(arguments, &arguments.bin_dir);
    let shim = own.with_file_name(SHIM);
    let mut pieces = Vec::new();
    for (name, source) in [("caisson", &own), (SHIM, &shim)] {
        // Uninstalling needs no source: a program in its place is recognised by its name.
        let content = match std::fs::read(source) {
            Err(_) if arguments.uninstall => Vec::new(),
            other => other.map_err(RuntimeError::file(source, "read"))?,
        };
        pieces.push(Piece::new(folder.join(name), Content::Program(content)));
    }
    pieces.push(Piece::new(folder.join(VM_SHIM), Content::Link(SHIM)));
    Ok(pieces)
}

/// Kernel and initial ramdisk of micro-VMs, where there are any.
fn guest_files(arguments: &Arguments) -> Result<Vec<Piece>, RuntimeError> {
    let folder = within(arguments, Path::new(boot::INSTALLED));
    let source = boot::folder().ok();
    let mut pieces = Vec::new();
    for name in [boot::KERNEL, boot::INITRD] {
        let content = match &source {
            _ if arguments.uninstall => Vec::new(),
            Some(source) => {
                let path = source.join(name);
                std::fs::read(&path).map_err(RuntimeError::file(&path, "read"))?
            }
            None => continue,
        };
        pieces.push(Piece::new(folder.join(name), Content::Data(content)));
    }
    Ok(pieces)
}

/// A path of the node, where its / is.
fn within(arguments: &Arguments, path: &Path) -> PathBuf {
    arguments
        .host_root
        .join(path.strip_prefix("/").unwrap_or(path))
}

fn containerd_version(arguments: &Arguments) -> u8 {
    let asked = || {
        let output = std::process::Command::new("containerd")
            .arg("--version")
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find_map(|word| {
            let word = word.trim_start_matches('v');
            word.split_once('.')
                .and_then(|(major, _)| major.parse::<u8>().ok())
        });
        version.map(|major| if major >= 2 { 2 } else { 1 })
    };
    arguments.containerd_version.or_else(asked).unwrap_or(2)
}

/// What is left for whoever installs.
fn hints(arguments: &Arguments) -> String {
    let mut said = String::new();
    if boot::folder().is_err() {
        said.push_str(&format!(
            "to do: micro-VMs need {} and {} in {}, which `cargo xtask guest` makes\n",
            boot::KERNEL,
            boot::INITRD,
            boot::INSTALLED,
        ));
    }
    let mut engines = Vec::new();
    if arguments.containerd {
        engines.push("containerd");
        let main = arguments.host_root.join("etc/containerd/config.toml");
        let text = std::fs::read_to_string(&main).unwrap_or_default();
        let imports = text.lines().any(|line| {
            line.trim_start().starts_with("imports") && line.contains("/etc/containerd/conf.d/")
        });
        if !imports {
            said.push_str(&format!(
                "to do: {} does not read drop-ins; add: {IMPORTS}",
                main.display()
            ));
        }
    }
    if arguments.crio {
        engines.push("crio");
    }
    said.push_str(&format!(
        "to do: restart {}; kubectl apply -f /etc/caisson/runtimeclass.yaml\n",
        engines.join(" and ")
    ));
    said
}
