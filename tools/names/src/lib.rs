//! Names of functions as the source has them, of the names that compilers of C++ (Itanium) and Rust (the older mangling and `v0`) make of them.
//! A name may come from anywhere: its length, the depth of what is in it, and what is written of it are bounded.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

use cpp_demangle::{DemangleOptions, ParseOptions};
use std::fmt::{self, Write};

/// Longest mangled name that is looked into, in bytes. A table of names in an image has none that is longer.
const LONGEST_MANGLED: usize = 8192;
/// Longest name of the source, in bytes; a longer one is cut there, and ends with [`CUT`].
pub const LONGEST: usize = 4096;
/// What a name ends with that was cut.
pub const CUT: &str = "...";
/// How deep what is in a name of C++ may stand in each other: of 73,000 functions of clang, LLVM and libstdc++ all but one are within.
const DEEPEST: u32 = 96;

/// A mangled name as the source has it: of Rust without the hash, of C++ with the types of the parameters and without that of the result. A
/// part that the compiler has taken out of a function (`.cold`), or a copy (`.constprop.0`), says so behind it. `None`: no compiler has made
/// this name, or what is in it is too deep.
pub fn of_source(symbol: &str) -> Option<String> {
    if symbol.len() > LONGEST_MANGLED || !symbol.starts_with('_') {
        return None;
    }
    let mut name = Bounded::default();
    let written = match rustc_demangle::try_demangle(symbol) {
        Ok(rust) => write!(name, "{rust:#}"),
        Err(_) => cpp(symbol, &mut name)?,
    };
    name.end(written)
}

fn cpp(symbol: &str, name: &mut Bounded) -> Option<fmt::Result> {
    if !symbol.starts_with("_Z") {
        return None;
    }
    let parse = ParseOptions::default().recursion_limit(DEEPEST);
    let found = cpp_demangle::Symbol::new_with_options(symbol, &parse).ok()?;
    let options = DemangleOptions::new().no_return_type().recursion_limit(DEEPEST);
    Some(found.structured_demangle(name, &options))
}

/// A name of the source without the types of its parameters and what follows them.
pub fn without_parameters(name: &str) -> &str {
    let mut head = name.find(" [clone ").and_then(|at| name.get(..at)).unwrap_or(name);
    while let Some(shorter) = [" const", " volatile", " &&", " &"].iter().find_map(|end| head.strip_suffix(end)) {
        head = shorter;
    }
    let mut open = 0usize;
    for (at, byte) in head.bytes().enumerate().rev() {
        match byte {
            b')' => open += 1,
            b'(' if open > 1 => open -= 1,
            b'(' if open == 1 => return head.get(..at).unwrap_or(head),
            _ if open == 0 => return head,
            _ => {}
        }
    }
    head
}

/// A text of at most [`LONGEST`] bytes: a few letters of a mangled name can stand for any number.
#[derive(Default)]
struct Bounded {
    text: String,
    cut: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut end = more.len().min(LONGEST.saturating_sub(self.text.len()));
        while !more.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(more.get(..end).unwrap_or(""));
        self.cut |= end < more.len();
        if self.cut {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

impl Bounded {
    fn end(self, written: fmt::Result) -> Option<String> {
        let whole = written.is_ok() && !self.text.is_empty() && !self.text.contains(char::is_control);
        match self.cut {
            true => Some(self.text + CUT),
            false => whole.then_some(self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(symbol: &str, source: Option<&str>) {
        assert_eq!(of_source(symbol).as_deref(), source, "{symbol}");
    }

    #[test]
    fn names_as_the_source_has_them() {
        is("_ZNK6LedgerIlE5totalEv", Some("Ledger<long>::total() const"));
        is("_ZN4shop5price17h0123456789abcdefE", Some("shop::price"));
        is("_RNvCs1234_4shop5price", Some("shop::price"));
        is("_ZN6LedgerIlEC2Ev", Some("Ledger<long>::Ledger()"));
        is("_ZN6LedgerIlED0Ev", Some("Ledger<long>::~Ledger()"));
        is("_Z4swapIlEvRT_S1_", Some("swap<long>(long&, long&)"));
        is("_ZN12_GLOBAL__N_13addEii", Some("(anonymous namespace)::add(int, int)"));
        is("_Z3addii.cold", Some("add(int, int) [clone .cold]"));
        is("_Z3addii.constprop.0.isra.2", Some("add(int, int) [clone .constprop.0] [clone .isra.2]"));
    }

    #[test]
    fn other_names_stay() {
        for name in [
            "main",
            "",
            "_",
            "_Z",
            "_R",
            "_Znonsense",
            "_ZN",
            "_ZN3fooE3",
            "_Zebra",
            "_Rust_like",
            "_Z\u{1b}[2J",
            "__ZN3fooEv",
        ] {
            is(name, None);
        }
    }

    /// What names of a hostile image may try: each is a few thousand bytes, of which none must become much more, or take much more.
    #[test]
    fn names_that_would_not_end() {
        let deep = ["_Z1f", &"P".repeat(8000), "i"].concat();
        is(&deep, None);
        is(&"_Z1a".repeat(LONGEST_MANGLED), None);
        is(&["_ZN", &"1aI".repeat(2000)].concat(), None);
        // Each type has that before it twice.
        let mut doubled = String::from("_Z1f1AIiiE");
        (0..30).for_each(|at| doubled.push_str(&format!("S_IS{0}_S{0}_E", number(at, 36))));
        let shown = of_source(&doubled).unwrap();
        assert!(shown.len() == LONGEST + CUT.len() && shown.ends_with(CUT), "{shown}");
        let mut doubled = String::from("_RINvC1a1fTllE");
        let mut last = doubled.len() - "_RTllE".len();
        for _ in 0..30 {
            let before = number(last - 1, 62);
            last = doubled.len() - "_R".len();
            doubled.push_str(&format!("TB{before}_B{before}_E"));
        }
        let shown = of_source(&(doubled + "E")).unwrap();
        assert!(shown.len() == LONGEST + CUT.len() && shown.starts_with("a::f::<(i32, i32), "), "{shown}");
    }

    /// A number as names refer to what stands before.
    fn number(at: usize, base: usize) -> String {
        let letters = if base == 36 { 'A'..='Z' } else { 'a'..='z' };
        let digits: Vec<char> = ('0'..='9').chain(letters).chain('A'..='Z').take(base).collect();
        match at / base {
            0 => digits[at].to_string(),
            more => number(more, base) + &digits[at % base].to_string(),
        }
    }

    #[test]
    fn characters_are_not_cut() {
        let mut text = Bounded::default();
        assert!(text.write_str(&"é".repeat(LONGEST)).is_err());
        assert_eq!(text.end(Err(fmt::Error)).map(|text| text.len()), Some(LONGEST + CUT.len()));
    }

    #[test]
    fn parameters_are_left_out() {
        for (name, head) in [
            ("Ledger<long>::total() const", "Ledger<long>::total"),
            ("f(int (*)(long), S&) const &", "f"),
            ("Call::operator()(int) const [clone .isra.0]", "Call::operator()"),
            ("main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)#1}::operator()"),
            ("shop::price", "shop::price"),
            ("<shop::Till as core::fmt::Display>::fmt", "<shop::Till as core::fmt::Display>::fmt"),
            ("f)", "f)"),
            ("", ""),
        ] {
            assert_eq!(without_parameters(name), head, "{name}");
        }
    }
}
