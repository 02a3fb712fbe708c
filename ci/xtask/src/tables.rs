//! The lists of `docs/compatibility.md`: helpers, kinds of maps and sections, from the same rows as the code.

use crate::Result;
use std::fmt::Write;
use ubpf_rs::{
    helpers::BUILTINS,
    object::ProgramKind,
    program::{Abi, MapKind, PointKind},
    text::{self, Sentence},
};

/// The page.
pub const PAGE: &str = "docs/compatibility.md";

/// The page with its lists as they are now.
pub fn page(page: &str) -> Result<String> {
    [("sections", sections()), ("kinds of maps", kinds()), ("helpers", helpers())]
        .into_iter()
        .try_fold(page.to_owned(), |page, (what, list)| between(&page, what, &list))
}

/// The page of codes.
pub const CODES: &str = "docs/codes.md";

/// What each code of a terse image stands for, and the values behind it, as they stand there.
pub fn codes() -> String {
    let mut rows: Vec<(String, &Sentence)> =
        text::sentences().map(|sentence| (text::code_of(sentence.text), sentence)).collect();
    rows.sort_by_key(|(code, _)| code.clone());
    rows.dedup_by_key(|(code, _)| code.clone());
    let mut page = String::from(
        "# Codes of a terse image

`LIBUBPF_RS_TERSE` has a code in the place of each of these sentences, and behind it its values: `#1a2b3c(7|0x10)`. A `\\` in a value
stands before a `(`, `|`, `)` or `\\` that belongs to it; a value may have codes in it. `ushell` shows the sentences. A code is made of
its sentence, so it is the same in each version that has the sentence. `cargo xtask headers` writes this list.

| code | sentence | values |
| --- | --- | --- |
",
    );
    for (code, sentence) in rows {
        let text = sentence.text.replace('|', "\\|");
        let _ = writeln!(page, "| `{code}` | {text} | {} |", sentence.names.join(", "));
    }
    page
}

/// Puts a list between its marks.
fn between(page: &str, what: &str, list: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {what}, from their rows -->\n"), format!("<!-- end of {what} -->\n"));
    let missing = || format!("{PAGE} has no `{}`", begin.trim_end());
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("{PAGE} has no `{}`", end.trim_end()))?;
    Ok(format!("{before}{begin}\n{list}\n{end}{after}"))
}

/// A row for each helper of Linux, by its first number.
fn helpers() -> String {
    let numbers = |row: &ubpf_rs::helpers::Row| -> Vec<u32> {
        let of_linux = row.numbers.iter().filter(|(abi, _)| *abi == Abi::Linux);
        of_linux.map(|&(_, number)| number).collect()
    };
    let mut rows: Vec<_> =
        BUILTINS.iter().map(|row| (numbers(row), row)).filter(|(numbers, _)| !numbers.is_empty()).collect();
    rows.iter_mut().for_each(|(numbers, _)| numbers.sort_unstable());
    rows.sort_by_key(|(numbers, _)| numbers[0]);
    let mut text = String::from("| number | helper | |\n| --- | --- | --- |\n");
    for (numbers, row) in rows {
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let _ = writeln!(text, "| {} | `{}` | {} |", numbers.join(", "), row.name, row.doc.replace('|', "\\|"));
    }
    text
}

/// A row for each kind of map, by its number.
fn kinds() -> String {
    // The classic map is none of Linux's.
    let mut kinds: Vec<MapKind> = MapKind::ALL.iter().copied().filter(|kind| *kind != MapKind::TwoKey).collect();
    kinds.sort_by_key(|kind| *kind as u32);
    let mut text = String::from("| number | kind |\n| --- | --- |\n");
    for kind in kinds {
        let _ = writeln!(text, "| {} | {} |", kind as u32, kind.name());
    }
    text
}

/// A row for each thing that calls programs, with the sections that say so.
fn sections() -> String {
    let mut groups: Vec<(ProgramKind, Option<PointKind>, Vec<String>)> = Vec::new();
    for (name, kind, point) in ubpf_pack::sections() {
        let name = format!("`{name}`");
        match groups.iter_mut().find(|group| group.0 == kind && group.1 == point) {
            Some(group) => group.2.push(name),
            None => groups.push((kind, point, vec![name])),
        }
    }
    let mut text = String::from("| sections | are given | at |\n| --- | --- | --- |\n");
    for (kind, point, names) in groups {
        let given = match kind {
            ProgramKind::Memory => "memory",
            ProgramKind::Registers => "registers",
            ProgramKind::Arguments => "arguments",
            ProgramKind::Xdp | ProgramKind::Classifier | ProgramKind::Socket => "a packet",
            ProgramKind::Tracepoint => "a record",
            ProgramKind::Words => "words",
            ProgramKind::Sample => "a sample",
            ProgramKind::Unfired => "128 bytes",
        };
        let _ = writeln!(text, "| {} | {given} | {} |", names.join(", "), point.map_or("", PointKind::word));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_the_place_of_the_former_one() {
        let page = "a\n<!-- x, from their rows -->\nold\n<!-- end of x -->\nb\n";
        let new = between(page, "x", "| new |\n").unwrap();
        assert_eq!(new, "a\n<!-- x, from their rows -->\n\n| new |\n\n<!-- end of x -->\nb\n");
        assert_eq!(between(&new, "x", "| new |\n").unwrap(), new);
        assert!(between(page, "y", "").is_err());
    }

    /// Each row of the code has its own in the page, which has no others.
    #[test]
    fn the_page_says_what_the_rows_say() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = std::fs::read_to_string(root.join(PAGE)).unwrap();
        let listed = std::fs::read_to_string(root.join(CODES)).unwrap();
        assert!(codes() == listed, "{CODES} is not what the sentences say: run cargo xtask headers");
        assert!(page(&text).unwrap() == text, "{PAGE} is not what the rows say: run cargo xtask headers");
    }
}
