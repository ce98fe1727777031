//! The requests, one file for each family of them.

mod attribute;
mod directory;
mod extended;
mod file;
mod name;
