//! Results as a page: what was to be reached beside what peers reach (`rows.txt`); of each figure that is missed by how much, why, and
//! what was tried (`notes.txt`); tables of all figures with what they show (`sections.txt`); what is said at the end (`closing.txt`).

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
/// What must be reached, in order: lines `NAME | WHAT | PEERS | AIM`.
const ROWS: &str = include_str!("../rows.txt");
/// The page's end.
const CLOSING: &str = include_str!("../closing.txt");
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
    writeln!(out, "\n{}", CLOSING.trim())
}

fn targets(out: &mut String, figures: &[Figure]) -> fmt::Result {
    writeln!(
        out,
        "| what | peers | target | aim | measured | range | |\n| --- | --- | ---: | ---: | ---: | ---: | --- |"
    )?;
    for row in ROWS.lines() {
        let mut cells = row.split('|').map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        let (name, what, peers, aim) = (cell(), cell(), cell(), cell());
        let Some(figure) = figures.iter().find(|figure| figure.name == name) else {
            writeln!(out, "| {what} (`{name}`) | {peers} | | {aim} | | | not measured |")?;
            continue;
        };
        let (value, range) = shown(figure);
        let target = figure.target.unwrap_or_default();
        let verdict = verdict(figure, aim);
        writeln!(
            out,
            "| {what} (`{name}`) | {peers} | {target} {0} | {aim} | {value} {0} | {range} | {verdict} |",
            figure.unit
        )?;
    }
    Ok(())
}

fn verdict(figure: &Figure, aim: &str) -> &'static str {
    let at_aim = match (figure.value, aim.parse::<f64>()) {
        // Losses are negative: more is better.
        (Some(value), Ok(aim)) if aim < 0.0 => value >= aim,
        (Some(value), Ok(aim)) => value <= aim,
        _ => false,
    };
    match figure.met {
        Some(true) if at_aim => "met, and the aim",
        Some(true) => "met",
        _ => "**missed**",
    }
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
    let range = if figure.low == figure.high {
        String::new()
    } else {
        format!("{} to {}", number(figure.low), number(figure.high))
    };
    (number(figure.value), range)
}
