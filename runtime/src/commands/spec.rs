//! `spec`: write a default `config.json`.

use std::path::PathBuf;

use std::io::Write;

use serde_json::json;

use crate::RuntimeError;
use crate::spec::{Spec, default};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write to
    #[arg(long, short = 'b', default_value = ".", value_name = "DIR")]
    pub bundle: PathBuf,
    /// For an ordinary user, who is root in the container
    #[arg(long)]
    pub rootless: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), RuntimeError> {
    let path = arguments.bundle.join("config.json");
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(RuntimeError::file(&path, "create"))?;
    let mut spec = default::spec();
    if arguments.rootless {
        default::make_rootless(&mut spec);
    }
    let text = format!("{:#}\n", document(&spec));
    file.write_all(text.as_bytes())
        .map_err(RuntimeError::file(&path, "write"))
}

/// The default with the values spelled out that editors of the file look for although they are the defaults.
fn document(spec: &Spec) -> serde_json::Value {
    let mut document = json!(spec);
    document["process"]["user"] = json!({"uid": 0, "gid": 0});
    if !spec.linux.resources.devices.is_empty() {
        document["linux"]["resources"]["devices"][0]["allow"] = json!(false);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn the_written_document_is_accepted_again() {
        let usual = crate::spec::default::spec();
        let mut rootless = usual.clone();
        crate::spec::default::make_rootless(&mut rootless);
        for written in [usual, rootless] {
            let text = document(&written).to_string();
            let spec: crate::spec::Spec =
                crate::spec::load::parse(text.as_bytes(), "config.json").expect("parses");
            crate::spec::check::spec(&spec).expect("accepted");
            assert_eq!(spec, written);
        }
    }
}
