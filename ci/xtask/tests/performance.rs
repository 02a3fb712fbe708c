//! docs/performance.md is written from measurements and from the texts in `bench`: what is put into it by hand would be lost by the next
//! `cargo xtask bench --doc`.

use std::{fs, path::Path};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).expect(file)
}

/// What is no text: headings, tables, what is missed, the machine, and nothing.
fn is_of_measurements(paragraph: &str) -> bool {
    paragraph.is_empty()
        || ["#", "|", "- `", "Machine: ", "Every target is met."].iter().any(|w| paragraph.starts_with(w))
}

#[test]
fn every_text_of_the_page_stands_in_the_bench() {
    let (page, sections, closing) =
        (read("docs/performance.md"), read("bench/sections.txt"), read("bench/closing.txt"));
    let closing = format!("\n{}\n", closing.trim());
    let written = page.strip_suffix(&closing).expect("the page ends with bench/closing.txt");
    for paragraph in written.split("\n\n").map(str::trim) {
        assert!(
            is_of_measurements(paragraph) || sections.contains(paragraph),
            "this text of docs/performance.md belongs into bench/sections.txt:\n{paragraph}"
        );
    }
}
