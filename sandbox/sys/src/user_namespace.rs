//! User namespaces, user_namespaces(7): making one with mappings, and what the mappings of our own let guests be.

mod enter;
mod ids;
mod make;

pub use enter::enter_as_root;
pub use ids::{GROUP_MARKS, GUEST_HOST_ID, Ids};
pub use make::{mapped_by, with_mappings};

/// One line of uid_map or gid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

impl Mapping {
    /// Whether this line maps `id`, an id inside.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        id >= self.inside && id - self.inside < self.count
    }
}

/// The text of a map file.
#[must_use]
pub fn map_text(mappings: &[Mapping]) -> String {
    mappings
        .iter()
        .map(|line| format!("{} {} {}\n", line.inside, line.outside, line.count))
        .collect()
}

/// The mappings in the text of a map file; lines that are none are left out.
#[must_use]
pub fn parse_map(text: &str) -> Vec<Mapping> {
    let number = |field: Option<&str>| field.and_then(|field| field.parse().ok());
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            Some(Mapping {
                inside: number(fields.next())?,
                outside: number(fields.next())?,
                count: number(fields.next())?,
            })
        })
        .collect()
}
