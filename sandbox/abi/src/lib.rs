//! The Linux ABI as Caisson sees it: THE SYSCALL TABLE, its argument rules and error numbers.
//!
//! [`TABLE`] decides what happens to every syscall of a guest. The BPF filter (`caisson_filter`), the
//! app kernel's dispatcher and docs/syscalls.md are derived from it, through [`for_each_syscall!`] or as
//! data. Pure: nothing here may touch the system it runs on.

pub mod constant;
mod decide;
mod document;
mod errno;
pub mod native_when;
mod row;
mod rule;
mod table;

pub use decide::{
    AUDIT_ARCH_X86_64, Action, Call, Level, QUIETLY_REFUSED, X32_LAST, X32_SYSCALL_BIT, decide,
    deliver, is_counted, refusal,
};
pub use document::markdown;
pub use errno::Errno;
pub use row::{Disposition, LOADER_PLAN_NR, Otherwise, Row, TABLE, nr, row, row_named};
pub use rule::{Condition, Rule};
