//! Results as a page: tables of all figures, and of each that is missed by how much, why, and what was tried (`notes.txt`).

use crate::{
    plot::{read, Figure},
    Result,
};
use std::{
    fmt::{self, Write},
    fs,
    path::Path,
};

/// Sections by the beginning of the figures' names, with what a reader must know of them. `sections.txt` has them as blocks:
/// a line `== BEGINNING TITLE`, then text.
const SECTIONS: &str = include_str!("../sections.txt");
/// Why a target is missed and what was tried: lines `NAME: text`.
const NOTES: &str = include_str!("../notes.txt");

/// Writes the page.
pub fn run(results: &Path, page: &Path) -> Result<()> {
    let machine = fs::read_to_string(results.with_file_name("machine.txt")).unwrap_or_default();
    let figures = read(results)?;
    let mut text = String::new();
    write_page(&mut text, machine.trim(), &figures)?;
    page.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(fs::write(page, text)?)
}

fn write_page(out: &mut String, machine: &str, figures: &[Figure]) -> fmt::Result {
    let (opening, sections) = SECTIONS.split_once("\n== ").unwrap_or((SECTIONS, ""));
    writeln!(out, "# Performance\n\n{}\n\n{machine}\n\n## Targets\n", opening.trim())?;
    targets(out, figures)?;
    misses(out, figures)?;
    for section in sections.split("\n== ") {
        let (head, text) = section.split_once('\n').unwrap_or((section, ""));
        let (beginning, title) = head.split_once(' ').unwrap_or((head, head));
        let shown: Vec<&Figure> = figures.iter().filter(|f| f.name.starts_with(beginning)).collect();
        if !shown.is_empty() {
            writeln!(out, "\n## {title}\n\n{}\n", text.trim())?;
            table(out, &shown)?;
        }
    }
    Ok(())
}

fn targets(out: &mut String, figures: &[Figure]) -> fmt::Result {
    writeln!(out, "| figure | measured | range | target | |\n| --- | ---: | ---: | ---: | --- |")?;
    for figure in figures {
        if let (Some(target), Some(met)) = (figure.target, figure.met) {
            let verdict = if met { "met" } else { "**missed**" };
            let (value, range) = shown(figure);
            writeln!(out, "| `{}` | {value} {} | {range} | {target} | {verdict} |", figure.name, figure.unit)?;
        }
    }
    Ok(())
}

fn misses(out: &mut String, figures: &[Figure]) -> fmt::Result {
    let missed: Vec<&Figure> = figures.iter().filter(|figure| figure.met == Some(false)).collect();
    if missed.is_empty() {
        return writeln!(out, "\nEvery target is met.");
    }
    writeln!(out, "\n## What is missed\n")?;
    for figure in missed {
        let by = match (figure.value, figure.target) {
            (Some(value), Some(target)) if target > 0.0 => format!("{:.2} times the target", value / target),
            (Some(value), Some(target)) => format!("{:.2} {} from the target", (value - target).abs(), figure.unit),
            _ => "not measured".into(),
        };
        let note = NOTES.lines().find_map(|line| line.strip_prefix(figure.name.as_str())?.strip_prefix(": "));
        writeln!(out, "- `{}`: {by}. {}", figure.name, note.unwrap_or("The cause is not known yet."))?;
    }
    Ok(())
}

fn table(out: &mut String, figures: &[&Figure]) -> fmt::Result {
    writeln!(out, "| figure | median | range | unit |\n| --- | ---: | ---: | --- |")?;
    for figure in figures {
        let (value, range) = shown(figure);
        writeln!(out, "| `{}` | {value} | {range} | {} |", figure.name, figure.unit)?;
    }
    Ok(())
}

fn shown(figure: &Figure) -> (String, String) {
    let number = |value: Option<f64>| {
        value.map_or("-".into(), |v| if v.abs() >= 1000.0 { format!("{v:.0}") } else { format!("{v:.2}") })
    };
    let range =
        if figure.low == figure.high { String::new() } else { format!("{} to {}", number(figure.low), number(figure.high)) };
    (number(figure.value), range)
}
