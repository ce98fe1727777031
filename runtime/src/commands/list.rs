//! `list`: every container below `--root`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::{Context, print, print_json};
use crate::RuntimeError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Ids only
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}

const COLUMNS: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let states: Vec<Value> = context
        .store
        .list()?
        .iter()
        .map(|state| {
            let mut shown = state.for_users();
            shown["owner"] = owner(&context.store.root().join(&state.id)).into();
            shown
        })
        .collect();
    if arguments.quiet {
        let ids = states.iter().filter_map(|state| state["id"].as_str());
        return print(&ids.map(|id| format!("{id}\n")).collect::<String>());
    }
    match arguments.format {
        Format::Json => print_json(&Value::Array(states)),
        Format::Table => print(&table(&states)),
    }
}

/// Whose container it is: the name, or as runc has it `#` and the number, of the user to whom its folder belongs.
fn owner(folder: &Path) -> String {
    let Ok(meta) = std::fs::metadata(folder) else {
        return String::new();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(meta.uid(), &users).unwrap_or_else(|| format!("#{}", meta.uid()))
}

/// From the text of passwd(5).
fn name_of(uid: u32, users: &str) -> Option<String> {
    let name = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    };
    users.lines().find_map(name)
}

fn table(states: &[Value]) -> String {
    let cell = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let keys = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(states.iter().map(|state| {
        keys.iter()
            .map(|key| cell(&state[*key]))
            .collect::<Vec<_>>()
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect::<Vec<_>>();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{name_of, table};
    use serde_json::json;

    #[test]
    fn columns_line_up() {
        let text = table(&[
            json!({"id": "a-long-name", "pid": 7, "status": "running", "bundle": "/b", "created": "t",
                "owner": "root"}),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("PID"), lines[1].find('7'));
        assert!(lines[0].starts_with("ID") && lines[1].ends_with("root"));
    }

    #[test]
    fn owners_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("me"));
        assert_eq!(name_of(1, users), None);
    }
}
