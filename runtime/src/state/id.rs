//! Container ids: they become folder names.

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("container id cannot be empty")]
    Empty,
    #[error("invalid container ID format: \"{0}\"")]
    Format(String),
}

/// The longest file name of Linux.
const MAX_BYTES: usize = 255;

/// runc's rule: letters, digits, `_`, `+`, `-` and `.`, but not `.` or `..`. Folders of our own begin with a
/// dot and a plus, which is refused as well.
pub fn check_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    let plain = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte));
    if !plain || id == "." || id == ".." || id.starts_with(".+") || id.len() > MAX_BYTES {
        let shown: String = id.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(IdError::Format(shown));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for good in ["a", "0f3c", "A_b+c-d.e", "..."] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        for bad in [
            ".",
            "..",
            "a/b",
            "../x",
            "a b",
            "ä",
            "a\n",
            "a\0",
            ".+x",
            &"x".repeat(256),
        ] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_id(""), Err(IdError::Empty));
    }
}
