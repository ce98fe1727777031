//! Reading `config.json` and process documents (`exec --process`).

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::types::{Process, Spec};
use super::{SpecError, check};

/// Largest document accepted, in bytes: arguments and environment may hold 2 MiB, hooks and mounts of
/// real engines some hundred KiB.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Load and check `bundle/config.json`.
pub fn load(bundle: &Path) -> Result<Spec, SpecError> {
    let file = bundle.join("config.json");
    let spec: Spec = document(&file)?;
    check::spec(&spec).map_err(|error| error.in_file(&file))?;
    Ok(spec)
}

/// Load and check a process document.
pub fn load_process(file: &Path) -> Result<Process, SpecError> {
    let process: Process = document(file)?;
    check::process(&process, "").map_err(|error| error.in_file(file))?;
    Ok(process)
}

/// Any JSON document, with the file and the path of the value in every error.
pub fn document<T: DeserializeOwned>(file: &Path) -> Result<T, SpecError> {
    let unreadable = |source| SpecError::Unreadable {
        file: file.display().to_string(),
        source,
    };
    let handle = std::fs::File::open(file).map_err(unreadable)?;
    // A FIFO, a directory or a device as config.json must not block or feed us for ever.
    if !handle.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("not a regular file")));
    }
    parse(handle, &file.display().to_string())
}

/// As [`document`], from an open stream that is called `name` in errors.
pub fn parse<T: DeserializeOwned>(from: impl Read, name: &str) -> Result<T, SpecError> {
    let mut text = Vec::new();
    from.take(MAX_DOCUMENT_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|source| SpecError::Unreadable {
            file: name.to_owned(),
            source,
        })?;
    if text.len() as u64 > MAX_DOCUMENT_BYTES {
        let source = std::io::Error::other(format!("larger than {MAX_DOCUMENT_BYTES} bytes"));
        return Err(SpecError::Unreadable {
            file: name.to_owned(),
            source,
        });
    }
    let mut json = serde_json::Deserializer::from_slice(&text);
    let malformed = |field: String, reason: String| SpecError::Malformed {
        file: name.to_owned(),
        field,
        reason,
    };
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| malformed(error.path().to_string(), error.inner().to_string()))?;
    json.end()
        .map_err(|error| malformed(".".into(), error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        parse::<Spec>(text.as_bytes(), "config.json")
            .expect_err("bad document")
            .to_string()
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        let message = error_of(r#"{"linux":{"namespaces":[{"type":"pid"},{"type":7}]}}"#);
        assert!(
            message.contains("config.json: linux.namespaces[1].type: invalid type: integer `7`"),
            "{message}"
        );
        let message = error_of(r#"{"process":{"user":{"uid":-1}}}"#);
        assert!(message.contains("process.user.uid"), "{message}");
    }

    #[test]
    fn not_json_and_trailing_garbage_are_errors() {
        assert!(error_of("{").contains("config.json"));
        assert!(error_of("{} x").contains("trailing"));
        assert!(error_of("").contains("EOF"));
    }

    #[test]
    fn null_stands_for_absent_and_unknown_properties_are_ignored() {
        let spec: Spec = parse(
            br#"{"ociVersion":"1.0.2","mounts":null,"process":null,"linux":{"devices":null,"future":1}}"#.as_slice(),
            "x",
        )
        .expect("parses");
        assert!(spec.mounts.is_empty() && spec.process.is_none());
    }
}
