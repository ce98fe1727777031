//! How containerd asks for a shim and how it wants the answer: both changed with its versions.
//!
//! | containerd | on standard input | environment | answer |
//! |---|---|---|---|
//! | 1.6 | nothing, or the runtime's options | | the address |
//! | 1.7 to 2.2 | the same | `MAX_SHIM_VERSION` | JSON |
//! | 2.3 and later | `BootstrapParams` | `MAX_SHIM_VERSION` | `BootstrapResult` |
//!
//! The messages are those of containerd's `api/runtime/bootstrap/v1/bootstrap.proto`.

use std::io::{self, Read};

use containerd_shim_protos::protobuf::rt::WireType;
use containerd_shim_protos::protobuf::{self, CodedInputStream, CodedOutputStream};
use serde::Serialize;

/// Longest message on standard input that is looked at.
const MAX_INPUT_BYTES: u64 = 1 << 20;
/// What 1.7 and later say in the environment: the newest task API that they take in a JSON answer.
const MAX_VERSION: &str = "MAX_SHIM_VERSION";
const PROTOCOL: &str = "ttrpc";
/// The newest task API that we serve.
const TASK_API: u32 = 3;

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Address,
    Json { version: u32 },
    Result,
}

impl Form {
    /// What the containerd that runs us wants to hear about the shim of container `id`.
    pub(crate) fn asked_for(id: &str) -> io::Result<Form> {
        let mut input = Vec::new();
        io::stdin().take(MAX_INPUT_BYTES).read_to_end(&mut input)?;
        Ok(Form::of(
            &input,
            std::env::var(MAX_VERSION).ok().as_deref(),
            id,
        ))
    }

    fn of(input: &[u8], max_version: Option<&str>, id: &str) -> Form {
        if is_bootstrap_params(input, id).unwrap_or(false) {
            return Form::Result;
        }
        match max_version.and_then(|version| version.parse::<u32>().ok()) {
            Some(version) if version >= 2 => Form::Json {
                version: version.min(TASK_API),
            },
            _ => Form::Address,
        }
    }

    pub(crate) fn answer(self, address: &str) -> io::Result<Vec<u8>> {
        match self {
            Form::Address => Ok(address.as_bytes().to_vec()),
            Form::Json { version } => Ok(serde_json::to_vec(&Json {
                version,
                address,
                protocol: PROTOCOL,
            })?),
            Form::Result => Ok(encode_result(address)?),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    address: &'a str,
    protocol: &'a str,
}

/// The runtime's options, which come in the same place, are a `google.protobuf.Any`: a type and a value,
/// in fields 1 and 2. `BootstrapParams` has the id in field 1, the namespace in 2, and more after them.
fn is_bootstrap_params(bytes: &[u8], id: &str) -> protobuf::Result<bool> {
    let mut input = CodedInputStream::from_bytes(bytes);
    let (mut names_us, mut has_more) = (false, false);
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        let (field, kind) = (tag >> 3, tag & 7);
        has_more |= field > 2;
        match kind {
            0 => drop(input.read_uint64()?),
            1 => drop(input.read_fixed64()?),
            2 if field == 1 => names_us = input.read_bytes()? == id.as_bytes(),
            2 => drop(input.read_bytes()?),
            5 => drop(input.read_fixed32()?),
            _ => return Ok(false),
        }
    }
    Ok(names_us && has_more)
}

/// `BootstrapResult`: version = 1, address = 2, protocol = 3.
fn encode_result(address: &str) -> protobuf::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut output = CodedOutputStream::vec(&mut bytes);
    output.write_tag(1, WireType::Varint)?;
    output.write_uint32_no_tag(TASK_API)?;
    output.write_string(2, address)?;
    output.write_string(3, PROTOCOL)?;
    output.flush()?;
    drop(output);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of length-delimited fields.
    fn message(fields: &[(u32, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut output = CodedOutputStream::vec(&mut bytes);
        for (field, value) in fields {
            output.write_string(*field, value).unwrap();
        }
        output.flush().unwrap();
        drop(output);
        bytes
    }

    #[test]
    fn each_version_gets_the_form_that_it_knows() {
        let options = message(&[(1, "containerd.runc.v1.Options"), (2, "\u{1}")]);
        for input in [&[][..], &options] {
            assert_eq!(Form::of(input, None, "web"), Form::Address);
            assert_eq!(Form::of(input, Some("2"), "web"), Form::Json { version: 2 });
            assert_eq!(Form::of(input, Some("9"), "web"), Form::Json { version: 3 });
        }
        let params = message(&[(1, "web"), (2, "default"), (4, "v2.4.0"), (6, "/c.sock")]);
        assert_eq!(Form::of(&params, Some("2"), "web"), Form::Result);
        assert_eq!(
            Form::of(&params[..params.len() - 1], Some("2"), "web"),
            Form::Json { version: 2 }
        );
        // An options type that is called as the container is.
        assert_eq!(
            Form::of(&options, None, "containerd.runc.v1.Options"),
            Form::Address
        );
    }

    #[test]
    fn answers_are_what_containerd_parses() {
        let answer = |form: Form| String::from_utf8(form.answer("unix:///s").unwrap()).unwrap();
        assert_eq!(answer(Form::Address), "unix:///s");
        assert_eq!(
            answer(Form::Json { version: 2 }),
            r#"{"version":2,"address":"unix:///s","protocol":"ttrpc"}"#
        );
        assert_eq!(
            answer(Form::Result),
            "\u{8}\u{3}\u{12}\u{9}unix:///s\u{1a}\u{5}ttrpc"
        );
    }
}
