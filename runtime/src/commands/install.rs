//! `install`: make this binary (and the shim beside it) known to containerd or CRI-O of this node, and take it back.
//!
//! Only whole files are written, aside and renamed, and only those that are ours: a file that exists with another
//! content is never replaced or removed. Doing it twice changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::print;
use crate::RuntimeError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Set up containerd: binaries, shim options, drop-in, RuntimeClass
    #[arg(long, required_unless_present = "crio")]
    pub containerd: bool,
    /// Set up CRI-O: binary, drop-in, RuntimeClass
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
const IMPORTS: &str = "imports = [\"/etc/containerd/conf.d/*.toml\"]\n";

/// One file of the installation.
struct Piece {
    path: PathBuf,
    content: Vec<u8>,
    mode: u32,
}

pub fn run(arguments: &Arguments) -> Result<(), RuntimeError> {
    let pieces = pieces(arguments)?;
    let mut said = String::new();
    for piece in &pieces {
        let done = if arguments.uninstall {
            remove(piece)?
        } else {
            write(piece)?
        };
        said.push_str(&format!("{}: {done}\n", piece.path.display()));
    }
    if arguments.containerd && !arguments.uninstall {
        said.push_str(&hint(arguments));
    }
    print(&said)
}

fn pieces(arguments: &Arguments) -> Result<Vec<Piece>, RuntimeError> {
    let at = |path: &str| arguments.host_root.join(path.trim_start_matches('/'));
    let text = |path: &str, content: String| Piece {
        path: at(path),
        content: content.into_bytes(),
        mode: 0o644,
    };
    let mut pieces = programs(arguments)?;
    let class = include_str!("../../../deploy/runtimeclass.yaml");
    pieces.push(text("/etc/caisson/runtimeclass.yaml", class.into()));
    if arguments.containerd {
        let options = include_str!("../../../deploy/runtime.toml");
        pieces.push(text("/etc/caisson/runtime.toml", options.into()));
        let (drop_in, version) = match containerd_version(arguments) {
            1 => (include_str!("../../../deploy/containerd-1.toml"), 2),
            _ => (include_str!("../../../deploy/containerd-2.toml"), 3),
        };
        pieces.push(text("/etc/containerd/conf.d/caisson.toml", drop_in.into()));
        // A node without a configuration gets one that reads the drop-ins; one that has one is left alone.
        let main = text(
            "/etc/containerd/config.toml",
            format!("# Made by caisson install.\nversion = {version}\n{IMPORTS}"),
        );
        if !main.path.exists() || is_ours(&main) {
            pieces.push(main);
        }
    }
    if arguments.crio {
        let bin = arguments.bin_dir.join("caisson");
        let drop_in = include_str!("../../../deploy/crio.conf")
            .replace("/usr/local/bin/caisson", &bin.display().to_string());
        pieces.push(text("/etc/crio/crio.conf.d/50-caisson.conf", drop_in));
    }
    Ok(pieces)
}

/// This program, and for containerd the shim beside it.
fn programs(arguments: &Arguments) -> Result<Vec<Piece>, RuntimeError> {
    let own = std::env::current_exe().map_err(RuntimeError::step("find this program"))?;
    let folder = arguments
        .bin_dir
        .strip_prefix("/")
        .unwrap_or(&arguments.bin_dir);
    let folder = arguments.host_root.join(folder);
    let mut names = vec![("caisson", own.clone())];
    if arguments.containerd {
        names.push((SHIM, own.with_file_name(SHIM)));
    }
    let mut pieces = Vec::new();
    for (name, source) in names {
        let path = folder.join(name);
        // Uninstalling needs no source: a program in its place is recognised by its name.
        let content = match std::fs::read(&source) {
            Err(_) if arguments.uninstall => Vec::new(),
            other => other.map_err(RuntimeError::file(&source, "read"))?,
        };
        pieces.push(Piece {
            path,
            content,
            mode: 0o755,
        });
    }
    Ok(pieces)
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

fn is_ours(piece: &Piece) -> bool {
    std::fs::read(&piece.path).is_ok_and(|found| found == piece.content)
}

fn write(piece: &Piece) -> Result<&'static str, RuntimeError> {
    if is_ours(piece) {
        return Ok("already there");
    }
    // Programs are upgraded; files that somebody has changed are theirs.
    if piece.path.exists() && piece.mode == 0o644 {
        let reason = "exists with another content; move it away to have it replaced";
        return Err(RuntimeError::option(
            "install",
            piece.path.display(),
            reason,
        ));
    }
    let fail = |step| RuntimeError::file(&piece.path, step);
    if let Some(folder) = piece.path.parent() {
        std::fs::create_dir_all(folder).map_err(RuntimeError::file(folder, "mkdir"))?;
    }
    let aside = piece
        .path
        .with_extension(format!("caisson-{}", std::process::id()));
    let mode = std::fs::Permissions::from_mode(piece.mode);
    let written = std::fs::write(&aside, &piece.content)
        .and_then(|()| std::fs::set_permissions(&aside, mode))
        .and_then(|()| std::fs::rename(&aside, &piece.path));
    if written.is_err() {
        std::fs::remove_file(&aside).ok();
    }
    written.map_err(fail("write"))?;
    Ok("written")
}

fn remove(piece: &Piece) -> Result<&'static str, RuntimeError> {
    let program = piece.mode == 0o755;
    if !piece.path.exists() {
        return Ok("not there");
    }
    if !program && !is_ours(piece) {
        return Ok("changed since; left alone");
    }
    std::fs::remove_file(&piece.path).map_err(RuntimeError::file(&piece.path, "remove"))?;
    // The folders that we may have made, if they are empty.
    for folder in piece.path.ancestors().skip(1).take(2) {
        let ours = folder.ends_with("caisson")
            || folder.ends_with("conf.d")
            || folder.ends_with("crio.conf.d")
            || folder.ends_with("etc/containerd")
            || folder.ends_with("etc/crio");
        if !ours || std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok("removed")
}

fn hint(arguments: &Arguments) -> String {
    let main = arguments.host_root.join("etc/containerd/config.toml");
    let text = std::fs::read_to_string(&main).unwrap_or_default();
    let imports = text.lines().any(|line| {
        line.trim_start().starts_with("imports") && line.contains("/etc/containerd/conf.d/")
    });
    let mut said = String::new();
    if !imports {
        said.push_str(&format!(
            "to do: {} does not read drop-ins; add: {IMPORTS}",
            main.display()
        ));
    }
    said.push_str("to do: restart containerd; kubectl apply -f /etc/caisson/runtimeclass.yaml\n");
    said
}
