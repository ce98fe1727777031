//! The measured values, by row and runtime, and what went wrong.

use std::collections::BTreeMap;

/// All values of a run. Rows keep the order in which they first came.
#[derive(Default)]
pub(super) struct Samples {
    rows: Vec<String>,
    values: BTreeMap<(String, String), Vec<f64>>,
    failures: Vec<String>,
}

impl Samples {
    /// One value (nanoseconds or bytes) of `runtime` for `row`.
    pub(super) fn add(&mut self, row: &str, runtime: &str, value: f64) {
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        self.values
            .entry((row.to_owned(), runtime.to_owned()))
            .or_default()
            .push(value);
    }

    /// Something that could not be measured. Said once, however often it happens.
    pub(super) fn fail(&mut self, row: &str, runtime: &str, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let line = text
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or_default();
        let line: String = line.chars().take(300).collect();
        let failure = format!("{row}, {runtime}: {line}");
        eprintln!("  failed: {row}, {runtime}: {text}");
        if !self.has_failed(row, runtime) {
            self.failures.push(failure);
        }
    }

    /// Whether `runtime` has failed in `row` before.
    pub(super) fn has_failed(&self, row: &str, runtime: &str) -> bool {
        let subject = format!("{row}, {runtime}: ");
        self.failures
            .iter()
            .any(|known| known.starts_with(&subject))
    }

    /// The median over all rounds.
    pub(super) fn median(&self, row: &str, runtime: &str) -> Option<f64> {
        let mut values = self
            .values
            .get(&(row.to_owned(), runtime.to_owned()))?
            .clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(median)
    }

    /// The rows for which there is any value.
    pub(super) fn rows(&self) -> &[String] {
        &self.rows
    }

    /// What could not be measured.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn medians() {
        let mut samples = Samples::default();
        for value in [9.0, 1.0, 5.0] {
            samples.add("row", "runtime", value);
        }
        assert_eq!(samples.median("row", "runtime"), Some(5.0));
        samples.add("row", "runtime", 7.0);
        assert_eq!(samples.median("row", "runtime"), Some(6.0));
        assert_eq!(samples.median("row", "other"), None);
    }
}
