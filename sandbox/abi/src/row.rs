//! The syscall table as data: [`TABLE`], sorted by number, checked when it is compiled.

use crate::decide::Level;
use crate::errno::Errno;
use crate::native_when;
use crate::rule::Rule;

/// One syscall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub number: u32,
    pub name: &'static str,
    /// What happens at [`Level::Standard`].
    pub standard: Disposition,
    /// What happens at [`Level::Strict`].
    pub strict: Disposition,
    /// What is supported, and its limits, in one sentence.
    pub text: &'static str,
    /// The guest test that proves it, `family::test`.
    pub test: &'static str,
}

/// What happens to a syscall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The host kernel runs it.
    Native,
    /// The host kernel runs it if the rule holds.
    NativeWhen(&'static Rule, Otherwise),
    /// The app kernel's handler `family::name` serves it.
    Emulate(&'static str),
    /// It fails with this error.
    Refuse(Errno),
}

/// What happens to a call whose rule does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    Emulate(&'static str),
    Refuse(Errno),
}

impl Row {
    /// What happens to this syscall at `level`.
    #[must_use]
    pub const fn disposition(&self, level: Level) -> &Disposition {
        match level {
            Level::Standard => &self.standard,
            Level::Strict => &self.strict,
        }
    }
}

/// The row of a number; `None` for numbers that Linux has not given out.
#[must_use]
pub fn row(number: u32) -> Option<&'static Row> {
    TABLE
        .binary_search_by_key(&number, |row| row.number)
        .ok()
        .map(|index| &TABLE[index])
}

/// The row of a name.
#[must_use]
pub fn row_named(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// Called by the constant evaluator only: a malformed row does not compile.
const fn under(base: Disposition, rule: &'static [(&'static Rule, Otherwise)]) -> Disposition {
    match (base, rule) {
        (base, []) => base,
        (Disposition::Native, [(rule, otherwise)]) => Disposition::NativeWhen(rule, *otherwise),
        _ => panic!("only a native call may have a rule"),
    }
}

/// As [`under`]: what differs at the strict level, if anything does.
const fn strict(standard: Disposition, emulate: &'static [&'static str]) -> Disposition {
    match emulate {
        [] => standard,
        [handler, ..] => Disposition::Emulate(handler),
    }
}

macro_rules! disposition {
    ($kind:ident native) => {
        $kind::Native
    };
    ($kind:ident refuse($errno:ident)) => {
        $kind::Refuse(Errno::$errno)
    };
    ($kind:ident emulate($family:ident :: $handler:ident)) => {
        $kind::Emulate(concat!(stringify!($family), "::", stringify!($handler)))
    };
}

// `$kind` is not optional: a row without a disposition must not become native by accident.
macro_rules! table {
    ($(
        $number:literal $name:ident
        $kind:ident $(($($argument:tt)+))?
        $(when($rule:ident) else $otherwise:ident($($otherwise_argument:tt)+))?
        $(strict emulate($strict_family:ident :: $strict_handler:ident))?
        $text:literal test $test:literal;
    )*) => {
        /// Every syscall, in the order of the numbers.
        pub static TABLE: &[Row] = &[$({
            const STANDARD: Disposition = under(
                disposition!(Disposition $kind $(($($argument)+))?),
                &[$((
                    &native_when::$rule,
                    disposition!(Otherwise $otherwise($($otherwise_argument)+)),
                ))?],
            );
            const STRICT: Disposition = strict(
                STANDARD,
                &[$(concat!(stringify!($strict_family), "::", stringify!($strict_handler)))?],
            );
            const _: () = assert!(!$text.is_empty(), "a row says what is supported");
            const _: () = assert!(!$test.is_empty(), "a row names its test");
            Row {
                number: $number,
                name: stringify!($name),
                standard: STANDARD,
                strict: STRICT,
                text: $text,
                test: $test,
            }
        }),*];

        const _: () = assert!(
            strictly_ascending(&[$($number),*]),
            "the rows are sorted by number, and no number occurs twice"
        );

        /// The syscall numbers by name: `nr::openat`.
        #[expect(non_upper_case_globals, reason = "the names are Linux's own")]
        pub mod nr {
            $(#[doc = $text] pub const $name: u32 = $number;)*
        }
    };
}

const fn strictly_ascending(numbers: &[u32]) -> bool {
    let mut index = 1;
    while index < numbers.len() {
        if numbers[index - 1] >= numbers[index] {
            return false;
        }
        index += 1;
    }
    true
}

crate::for_each_syscall! { table! }

/// The private number by which the loader asks the app kernel for its plan.
pub const LOADER_PLAN_NR: u32 = nr::loader_plan;
