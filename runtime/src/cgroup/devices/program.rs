//! Device rules as a BPF program, for cgroup v2, which has no controller for devices.
//!
//! Linux asks with a `struct bpf_cgroup_dev_ctx` (include/uapi/linux/bpf.h): what is to be done above the kind of the device,
//! major, minor. For each of reading, writing and making, the last rule that names it decides, as with the controller of v1.
//! So rules are looked at from the last to the first, and what is allowed is struck off what was asked.

use super::Rule;

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Registers: the answer, the question, and the parts of that.
const ANSWER: u64 = 0;
const QUESTION: u64 = 1;
const KIND: u64 = 2;
const ACCESS: u64 = 3;
const MAJOR: u64 = 4;
const MINOR: u64 = 5;

/// Operation codes, linux/bpf_common.h and linux/bpf.h; `_K` works with a constant.
const LOAD_WORD: u64 = 0x61;
const MOVE_K: u64 = 0xb7;
const MOVE: u64 = 0xbf;
const AND_K: u64 = 0x57;
const SHIFT_RIGHT_K: u64 = 0x77;
const JUMP_EQUAL_K: u64 = 0x15;
const JUMP_UNEQUAL_K: u64 = 0x55;
/// Compares 32 bits.
const JUMP_UNEQUAL_32_K: u64 = 0x56;
const EXIT: u64 = 0x95;

/// One `struct bpf_insn`.
fn instruction(code: u64, to: u64, from: u64, offset: i16, constant: i32) -> u64 {
    let offset = u64::from(offset as u16);
    code | to << 8 | from << 12 | offset << 16 | u64::from(constant as u32) << 32
}

fn with_constant(code: u64, register: u64, constant: i32) -> u64 {
    instruction(code, register, 0, 0, constant)
}

fn answer(allow: bool) -> [u64; 2] {
    [
        with_constant(MOVE_K, ANSWER, i32::from(allow)),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// The program; what no rule denies is allowed.
pub(super) fn of(rules: &[Rule]) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD_WORD, KIND, QUESTION, 0, 0),
        instruction(MOVE, ACCESS, KIND, 0, 0),
        with_constant(AND_K, KIND, 0xffff),
        with_constant(SHIFT_RIGHT_K, ACCESS, 16),
        instruction(LOAD_WORD, MAJOR, QUESTION, 4, 0),
        instruction(LOAD_WORD, MINOR, QUESTION, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(one(rule));
    }
    program.extend(answer(true));
    program
}

fn one(rule: &Rule) -> Vec<u64> {
    let mut wanted = Vec::new();
    let mut access = MAKE | READ | WRITE;
    // `a` is every device and everything, whatever else it says, as for the controller.
    if rule.kind != 'a' {
        access = bits(&rule.access);
        let kind = if rule.kind == 'b' { BLOCK } else { CHARACTER };
        wanted.push((KIND, kind as u32));
        wanted.extend(rule.major.map(|major| (MAJOR, major)));
        wanted.extend(rule.minor.map(|minor| (MINOR, minor)));
    }
    let verdict: Vec<u64> = if rule.allow {
        let strike = with_constant(AND_K, ACCESS, !access);
        let more = instruction(JUMP_UNEQUAL_K, ACCESS, 0, 2, 0);
        [strike, more].into_iter().chain(answer(true)).collect()
    } else {
        let copy = instruction(MOVE, ANSWER, ACCESS, 0, 0);
        let common = with_constant(AND_K, ANSWER, access);
        let none = instruction(JUMP_EQUAL_K, ANSWER, 0, 2, 0);
        [copy, common, none]
            .into_iter()
            .chain(answer(false))
            .collect()
    };
    // Each comparison that fails goes on behind the rule.
    let length = wanted.len() + verdict.len();
    let compare = |(at, (register, value)): (usize, (u64, u32))| {
        let rest = (length - at - 1) as i16;
        instruction(JUMP_UNEQUAL_32_K, register, 0, rest, value as i32)
    };
    let comparisons = wanted.into_iter().enumerate().map(compare);
    comparisons.chain(verdict).collect()
}

fn bits(access: &str) -> i32 {
    let bit = |letter: char| match letter {
        'm' => MAKE,
        'r' => READ,
        'w' => WRITE,
        _ => 0, // refused when config.json was read
    };
    access.chars().map(bit).fold(0, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux would do with `program`.
    fn run(program: &[u64], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let mut register = [0u64; 6];
        let mut at = 0;
        loop {
            let word = program[at];
            at += 1;
            let (to, from) = ((word >> 8 & 15) as usize, (word >> 12 & 15) as usize);
            let offset = (word >> 16) as i16;
            let constant = (word >> 32) as i32;
            let wide = constant as i64 as u64;
            let mut jump = |condition: bool| at += if condition { offset as usize } else { 0 };
            match word & 0xff {
                LOAD_WORD => {
                    let question = [(access << 16 | kind) as u32, major, minor];
                    register[to] = question[offset as usize / 4].into();
                }
                MOVE_K => register[to] = wide,
                MOVE => register[to] = register[from],
                AND_K => register[to] &= wide,
                SHIFT_RIGHT_K => register[to] >>= wide,
                JUMP_EQUAL_K => jump(register[to] == wide),
                JUMP_UNEQUAL_K => jump(register[to] != wide),
                JUMP_UNEQUAL_32_K => jump(register[to] as u32 != constant as u32),
                EXIT => return register[0] == 1,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    fn rule(allow: bool, kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> Rule {
        Rule {
            allow,
            kind,
            major,
            minor,
            access: access.into(),
        }
    }

    #[test]
    fn for_each_access_the_last_rule_decides() {
        let program = of(&[
            rule(false, 'a', None, None, "rwm"),
            rule(true, 'c', Some(1), None, "r"),
            rule(true, 'c', Some(1), Some(5), "w"),
            rule(false, 'c', Some(1), Some(9), "r"),
        ]);
        let zero = |access| run(&program, CHARACTER, access, 1, 5);
        assert!(zero(READ) && zero(WRITE) && zero(READ | WRITE));
        assert!(!zero(MAKE) && !zero(READ | MAKE));
        assert!(run(&program, CHARACTER, READ, 1, 3));
        assert!(!run(&program, CHARACTER, WRITE, 1, 3));
        assert!(!run(&program, CHARACTER, READ, 1, 9));
        assert!(!run(&program, BLOCK, READ, 1, 5));
        assert!(!run(&program, CHARACTER, READ, 2, 5));
    }

    #[test]
    fn what_nobody_denies_is_allowed() {
        assert!(run(&of(&[]), BLOCK, READ | WRITE | MAKE, 8, 0));
        let program = of(&[rule(false, 'b', Some(8), None, "w")]);
        assert!(run(&program, BLOCK, READ, 8, 1));
        assert!(!run(&program, BLOCK, READ | WRITE, 8, 1));
    }
}
