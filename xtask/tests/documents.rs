//! Every path of this repository that a document names exists.

use std::fs;
use std::path::Path;

/// Documents at the root and where they are.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "README.md",
    "SECURITY.md",
    "deploy/README.md",
];

/// Top-level directories: what starts with one of them is a path.
const ROOMS: &[&str] = &[
    "sandbox/",
    "runtime/",
    "shim/",
    "tests/",
    "docs/",
    "deploy/",
    "fuzz/",
    "xtask/",
    "seccomp-profiles/",
];

#[test]
fn named_paths_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask has a parent directory");
    let mut missing = Vec::new();
    let mut seen = 0;
    for document in DOCUMENTS {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        let directory = path.parent().expect("a document is in a directory");
        for target in links(&text)
            .map(|link| directory.join(link))
            .chain(paths(&text).map(|path| root.join(path)))
        {
            seen += 1;
            if !target.exists() {
                missing.push(format!("{document} names {}", target.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(seen > 10, "only {seen} paths found: is the search broken?");
}

/// Targets of Markdown links into the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// Words that are paths, without patterns and placeholders.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_whitespace() || "`()[]|,;:".contains(character))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| ROOMS.iter().any(|room| word.starts_with(room)))
        .filter(|word| !word.contains(['<', '*', '{']))
}
