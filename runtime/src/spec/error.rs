//! What can be wrong with a `config.json`.

/// One complaint about one field. The file's name is added by whoever knows it.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// {file}: cannot be read
    #[error("{file}: {source}")]
    Unreadable {
        file: String,
        source: std::io::Error,
    },
    /// the document is not JSON or a value has the wrong type
    #[error("{file}: {field}: {reason}")]
    Malformed {
        file: String,
        field: String,
        reason: String,
    },
    #[error("{field}: missing, but required")]
    Missing { field: String },
    #[error("{field}: {value}: {reason}")]
    Invalid {
        field: String,
        value: String,
        reason: String,
    },
    #[error("{field}: {value}: not supported by caisson: {reason}")]
    Unsupported {
        field: String,
        value: String,
        reason: String,
    },
    /// A complaint about a field of `file`.
    #[error("{file}: {source}")]
    In {
        file: String,
        source: Box<SpecError>,
    },
}

impl SpecError {
    pub fn missing(field: impl Into<String>) -> SpecError {
        SpecError::Missing {
            field: field.into(),
        }
    }

    pub fn invalid(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> SpecError {
        SpecError::Invalid {
            field: field.into(),
            value: shorten(&value.to_string()),
            reason: reason.into(),
        }
    }

    pub fn unsupported(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> SpecError {
        SpecError::Unsupported {
            field: field.into(),
            value: shorten(&value.to_string()),
            reason: reason.into(),
        }
    }

    #[must_use]
    pub fn in_file(self, file: &std::path::Path) -> SpecError {
        SpecError::In {
            file: file.display().to_string(),
            source: Box::new(self),
        }
    }
}

/// A hostile value must neither flood the log nor forge lines in it.
fn shorten(value: &str) -> String {
    const LIMIT: usize = 160;
    let mut out: String = value
        .chars()
        .take(LIMIT)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().count() > LIMIT {
        out.push('…');
    }
    format!("\"{}\"", out.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_stay_on_one_short_line() {
        let message =
            SpecError::invalid("hostname", format!("a\nb{}", "x".repeat(5000)), "no").to_string();
        assert!(!message.contains('\n'), "{message}");
        assert!(message.len() < 300, "{}", message.len());
    }
}
