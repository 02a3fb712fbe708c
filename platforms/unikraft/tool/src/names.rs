//! Which names the image gets, and where each function's stub is.

use crate::{
    elf::{self, Elf, Symbol},
    nops::{self, STUB_LEN},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// One name of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function<'a> {
    /// Address of the function.
    pub address: u64,
    /// The name, as it is shown.
    pub name: Cow<'a, str>,
    /// Kind and distance of its stub; none for a further name of the same function.
    pub stub: (u8, u8),
}

/// Longest name, in bytes. A longer one is cut, and gets a number.
const LONGEST: usize = 8192;
/// Room for `~` and any number.
const MARK: usize = 11;
/// Has a stub for measurements only.
const OURS: &[u8] = b"ubpf_subject";
const HOOK: &[u8] = b"__cyg_profile_func_enter";
/// Farthest a `-pg` stub lies behind the start of its function.
const REACH: u64 = 64;

/// The names by address, global ones first, and remarks on what is missing.
pub fn functions<'a>(elf: &Elf<'a>) -> (Vec<Function<'a>>, String) {
    let mut by_address: BTreeMap<u64, Vec<Symbol<'a>>> = BTreeMap::new();
    for symbol in elf.functions() {
        by_address.entry(symbol.address).or_default().push(symbol);
    }
    let stubs = Stubs::new(elf, &by_address);
    let (mut found, mut seen, mut remarks) = (Vec::new(), HashMap::new(), Remarks::default());
    let ends = by_address.keys().skip(1).copied().chain([u64::MAX]);
    for ((&address, symbols), end) in by_address.iter().zip(ends) {
        let mut symbols = symbols.clone();
        symbols.sort_by_key(|s| (!s.global, s.name));
        symbols.dedup_by_key(|s| s.name);
        let mut stub = match symbols.iter().any(|s| s.name == OURS) {
            true => (0, 0),
            false => stubs.of(elf, address, end, &mut remarks),
        };
        for symbol in symbols {
            // What Rust made up is not for people to attach to, and cannot be.
            if stub.0 == 0 && is_rust(symbol.name) {
                remarks.rust += 1;
                continue;
            }
            if stub.0 == 0 && is_outlined(symbol.name) {
                remarks.outlined += 1;
                continue;
            }
            let name = remarks.text(symbol.name, &mut seen);
            let stub = std::mem::take(&mut stub);
            found.push(Function { address, name, stub });
        }
    }
    (found, remarks.to_string())
}

/// Whether Rust made this name: `_R` and a path, or the older kind that ends with a hash.
fn is_rust(name: &[u8]) -> bool {
    if let Some(path) = name.strip_prefix(b"_R") {
        let path = path.iter().find(|b| !b.is_ascii_digit());
        return path.is_some_and(|tag| b"CMXYNIB".contains(tag));
    }
    let hash = |rest: &[u8]| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit);
    let body = name.strip_prefix(b"_ZN").and_then(|n| n.strip_suffix(b"E"));
    body.and_then(|body| body.split_at_checked(body.len().checked_sub(19)?))
        .is_some_and(|(_, end)| end.strip_prefix(b"17h").is_some_and(hash))
}

/// Whether LLVM made this of what several functions have in common.
fn is_outlined(name: &[u8]) -> bool {
    let number = name.strip_prefix(b"OUTLINED_FUNCTION_");
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// What is missing, by kind.
#[derive(Default)]
struct Remarks {
    rust: usize,
    outlined: usize,
    cut: usize,
    not_text: usize,
    short: usize,
}

impl Remarks {
    /// The name as text, cut at a character where it is too long; names that were told apart before still are. `seen` counts the
    /// names that begin alike.
    fn text<'a>(&mut self, name: &'a [u8], seen: &mut HashMap<String, u32>) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(name);
        self.not_text += usize::from(matches!(text, Cow::Owned(_)));
        if text.len() <= LONGEST && matches!(text, Cow::Borrowed(_)) {
            return text;
        }
        self.cut += usize::from(text.len() > LONGEST);
        let mut end = text.len().min(LONGEST - MARK);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let number = seen.entry(text[..end].into()).or_default();
        *number += 1;
        Cow::Owned(format!("{}~{number}", &text[..end]))
    }
}

impl std::fmt::Display for Remarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = [
            (self.rust, "names of Rust functions without entry stubs were left out"),
            (self.outlined, "names of what the compiler took out of several functions were left out"),
            (self.cut, "names were too long: they are cut, and end with ~ and a number"),
            (self.not_text, "names are no UTF-8: they end with ~ and a number"),
            (
                self.short,
                "functions begin with fewer than 5 bytes of nops and cannot be traced (-fpatchable-function-entry=N,M with N-M = 5)",
            ),
        ];
        for (count, what) in said.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count} {what}")?;
        }
        Ok(())
    }
}

/// Where stubs are.
struct Stubs {
    /// Addresses in `__mcount_loc`, ascending.
    mcount: Vec<u64>,
    /// Functions that call `__cyg_profile_func_enter`.
    instrumented: BTreeSet<u64>,
}

impl Stubs {
    fn new(elf: &Elf<'_>, functions: &BTreeMap<u64, Vec<Symbol<'_>>>) -> Stubs {
        Stubs { mcount: elf.records("__mcount_loc"), instrumented: instrumented(elf, functions) }
    }

    /// Kind and distance of the stub of the function from `start` to `end`.
    fn of(&self, elf: &Elf<'_>, start: u64, end: u64, remarks: &mut Remarks) -> (u8, u8) {
        if self.instrumented.contains(&start) {
            return (3, 0);
        }
        let text = elf.text(start);
        let len = usize::try_from(end - start).unwrap_or(usize::MAX);
        let text = &text[..text.len().min(len)];
        if !self.mcount.is_empty() {
            let at = self.mcount.partition_point(|record| *record < start);
            let behind = self.mcount.get(at).map(|record| record - start);
            let behind = behind.filter(|behind| *behind < REACH);
            let stub = behind.and_then(|behind| text.get(behind as usize..));
            let nop = stub.and_then(nops::nop) == Some(STUB_LEN);
            return behind.filter(|_| nop).map_or((0, 0), |b| (2, b as u8));
        }
        if let Some((offset, _)) = nops::stub(text) {
            return (1, offset as u8);
        }
        let text = text.strip_prefix(&nops::ENDBR64).unwrap_or(text);
        let first = nops::nop(text).unwrap_or(0);
        remarks.short += usize::from(first > 0 && first < STUB_LEN);
        (0, 0)
    }
}

/// Functions that call `__cyg_profile_func_enter`, by what a near call to it looks like.
fn instrumented(elf: &Elf<'_>, functions: &BTreeMap<u64, Vec<Symbol<'_>>>) -> BTreeSet<u64> {
    let is_hook = |symbols: &[Symbol<'_>]| symbols.iter().any(|s| s.name == HOOK);
    let Some((&hook, _)) = functions.iter().find(|f| is_hook(f.1)) else {
        return BTreeSet::new();
    };
    let ends = functions.keys().skip(1).copied().chain([u64::MAX]);
    let calls = |(start, end): (u64, u64)| {
        let text = elf.text(start);
        let text = &text[..text.len().min(usize::try_from(end - start).unwrap_or(0))];
        (start..).zip(text.windows(STUB_LEN)).any(|(at, window)| {
            let to = elf::u32_at(window, 1).unwrap_or(0);
            let target = at.wrapping_add(5).wrapping_add(to as i32 as u64);
            // A call, or a jump where the call came last.
            matches!(window[0], 0xe8 | 0xe9) && target == hook
        })
    };
    let bounds = functions.keys().copied().zip(ends);
    bounds.filter(|&b| calls(b)).map(|(start, _)| start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_and_others() {
        for rust in ["_RNvCs1234_7mycrate3foo", "_R1NvCs_3abc", "_ZN4core3fmt17h0123456789abcdefE"] {
            assert!(is_rust(rust.as_bytes()), "{rust}");
        }
        for other in ["_Rust_like", "_ZNot_rust", "_ZN5Klass6methodEi", "_ZN3app5innerEi", "main", "_R", "_ZN"] {
            assert!(!is_rust(other.as_bytes()), "{other}");
        }
        assert!(is_outlined(b"OUTLINED_FUNCTION_0") && is_outlined(b"OUTLINED_FUNCTION_1234"));
        for other in ["OUTLINED_FUNCTION_", "OUTLINED_FUNCTION_x", "my_OUTLINED_FUNCTION_1", "outlined"] {
            assert!(!is_outlined(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn long_names_are_cut_at_a_character_and_told_apart() {
        let (mut remarks, mut seen) = (Remarks::default(), HashMap::new());
        let long = |last: &str| format!("{}{last}", "é".repeat(LONGEST / 2));
        let (a, b) = (long("a"), long("b"));
        let cut = remarks.text(a.as_bytes(), &mut seen).into_owned();
        let other = remarks.text(b.as_bytes(), &mut seen).into_owned();
        assert!(cut.len() <= LONGEST && cut.ends_with("é~1") && other.ends_with("é~2"));
        let bad = remarks.text(b"bad\xff", &mut seen).into_owned();
        assert_eq!(bad, "bad\u{fffd}~1");
        let whole = "x".repeat(LONGEST);
        assert_eq!(remarks.text(whole.as_bytes(), &mut seen), whole);
        // As many as there are take as long as each alone: nothing is tried.
        seen.insert("é".repeat((LONGEST - MARK) / 2), u32::MAX - 1);
        let last = remarks.text(a.as_bytes(), &mut seen);
        assert!(last.ends_with("é~4294967295") && last.len() <= LONGEST);
        let said = remarks.to_string();
        assert!(said.starts_with("3 names were too long") && said.contains("1 names are no UTF-8"));
    }
}
