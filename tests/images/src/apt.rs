//! Where this machine takes its Debian packages from, read from its own apt sources.
//!
//! Must never carry a mirror's address of its own: the machine that runs us decides where packages come from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ImageError;

/// One suite of one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The mirror's address.
    pub uri: String,
    /// `bookworm`, `bookworm-security`, ...
    pub suite: String,
    /// The key file or inline key named by `signed-by`, if any.
    pub signed_by: Option<String>,
}

impl AptSource {
    /// The line of a `.list` file for this source, component `main` only.
    #[must_use]
    pub fn line(&self) -> String {
        let options = self
            .signed_by
            .as_ref()
            .map_or(String::new(), |key| format!("[signed-by={key}] "));
        format!("deb {options}{} {} main", self.uri, self.suite)
    }
}

/// `VERSION_CODENAME` of the machine.
pub(crate) fn codename() -> Result<String, ImageError> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(ImageError::io("read", path))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|value| value.trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
        .ok_or(ImageError::NoCodename)
}

/// The machine's sources of its own release: `<codename>`, `-updates` and `-security`.
pub fn sources() -> Result<Vec<AptSource>, ImageError> {
    let codename = codename()?;
    let wanted = ["", "-updates", "-security"].map(|suffix| format!("{codename}{suffix}"));
    let mut found = configured()?;
    found.retain(|source| wanted.contains(&source.suite));
    if found.iter().all(|source| source.suite != codename) {
        return Err(ImageError::NoSuite { suite: codename });
    }
    Ok(found)
}

/// The backports suite on the mirror that serves the machine's release.
pub fn backports() -> Result<AptSource, ImageError> {
    Ok(AptSource {
        suite: format!("{}-backports", codename()?),
        ..release()?
    })
}

/// The machine's own suite; the same mirror serves the others.
pub(crate) fn release() -> Result<AptSource, ImageError> {
    let codename = codename()?;
    let release = sources()?
        .into_iter()
        .find(|source| source.suite == codename);
    release.ok_or(ImageError::NoSuite { suite: codename })
}

/// Every binary source that apt is configured with.
fn configured() -> Result<Vec<AptSource>, ImageError> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let extension = file.extension().and_then(|extension| extension.to_str());
        let parse = match extension {
            Some("list") => parse_list,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        let text = fs::read_to_string(file).map_err(ImageError::io("read", file))?;
        found.extend(parse(&text));
    }
    Ok(found)
}

/// The one-line format: `deb [option=value ...] uri suite component...`.
fn parse_list(text: &str) -> Vec<AptSource> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        let mut fields = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (fields.next(), fields.next()) {
            found.push(AptSource {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                signed_by: signed_by.map(str::to_owned),
            });
        }
    }
    found
}

/// The deb822 format: stanzas of `Field: value`. An inline key (continuation lines) is left out: the
/// release's own key is in apt's trusted store as well.
fn parse_deb822(text: &str) -> Vec<AptSource> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .filter(|line| !line.starts_with('#'))
                .find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name)
                        .then(|| value.trim().to_owned())
                })
        };
        let binary =
            field("Types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"));
        if !binary || field("Enabled").is_some_and(|enabled| enabled == "no") {
            continue;
        }
        let signed_by = field("Signed-By").filter(|value| value.starts_with('/'));
        for uri in field("URIs").unwrap_or_default().split_whitespace() {
            for suite in field("Suites").unwrap_or_default().split_whitespace() {
                found.push(AptSource {
                    uri: uri.to_owned(),
                    suite: suite.to_owned(),
                    signed_by: signed_by.clone(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_format() {
        let text = "# deb http://a.invalid old main\ndeb [arch=amd64 signed-by=/k.gpg] http://m.invalid/debian \
                    bookworm main contrib\ndeb-src http://m.invalid/debian bookworm main\n";
        let found = parse_list(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].line(),
            "deb [signed-by=/k.gpg] http://m.invalid/debian bookworm main"
        );
    }

    #[test]
    fn deb822_format() {
        let text = "Types: deb deb-src\n# URIs: http://old.invalid\nURIs: http://m.invalid/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n\
                    Types: deb\nEnabled: no\nURIs: http://off.invalid\nSuites: bookworm\n";
        let suites: Vec<String> = parse_deb822(text)
            .into_iter()
            .map(|source| source.suite)
            .collect();
        assert_eq!(suites, ["bookworm", "bookworm-updates"]);
    }
}
