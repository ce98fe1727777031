//! `spec`: write a default `config.json`.

use std::path::PathBuf;

use std::io::Write;

use serde_json::json;

use crate::RuntimeError;
use crate::spec::default;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write to
    #[arg(long, short = 'b', default_value = ".", value_name = "DIR")]
    pub bundle: PathBuf,
    /// Not supported: caisson needs root
    #[arg(long)]
    pub rootless: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), RuntimeError> {
    if arguments.rootless {
        return Err(RuntimeError::option(
            "--rootless",
            "true",
            "caisson needs root",
        ));
    }
    let path = arguments.bundle.join("config.json");
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(RuntimeError::file(&path, "create"))?;
    let text = format!("{:#}\n", document());
    file.write_all(text.as_bytes())
        .map_err(RuntimeError::file(&path, "write"))
}

/// The default with the values spelled out that editors of the file look for although they are the defaults.
fn document() -> serde_json::Value {
    let mut document = json!(default::spec());
    document["process"]["user"] = json!({"uid": 0, "gid": 0});
    document["linux"]["resources"]["devices"][0]["allow"] = json!(false);
    document
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn the_written_document_is_accepted_again() {
        let text = document().to_string();
        let spec: crate::spec::Spec =
            crate::spec::load::parse(text.as_bytes(), "config.json").expect("parses");
        crate::spec::check::spec(&spec).expect("accepted");
        assert_eq!(spec, crate::spec::default::spec());
    }
}
