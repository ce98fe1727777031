//! The runtime's log: one JSON object a line, of which the last error tells why a command failed.

use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// The message of the last line of level error or worse.
pub(crate) fn last_error(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    text.lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .find(|line| matches!(line.level.as_str(), "error" | "fatal" | "panic"))
        .map(|line| line.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_error_among_other_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.json");
        fs::write(
            &log,
            concat!(
                "{\"level\":\"error\",\"msg\":\"first\"}\n",
                "not json\n",
                "{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"x\"}\n",
                "{\"level\":\"warning\",\"msg\":\"later\"}\n",
            ),
        )
        .unwrap();
        assert_eq!(
            last_error(&log).as_deref(),
            Some("container does not exist")
        );
        assert_eq!(last_error(&folder.path().join("absent")), None);
    }
}
