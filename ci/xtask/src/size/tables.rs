//! The tables, as they stand in the page.

use super::{
    build::{Build, Own, PARTS},
    series::{Series, STEPS},
};
use std::fmt::Write as _;

/// The name of a row, and its value in a column.
type Row<T> = (&'static str, fn(&T) -> u64);

/// What single builds have.
pub fn builds(builds: &[(String, Build)]) -> String {
    let mut text = String::from("| build | image | in memory |\n| --- | ---: | ---: |\n");
    for (name, build) in builds {
        row(&mut text, name, &[build.file, build.loaded]);
    }
    let own: Vec<(&str, &Own)> =
        builds.iter().filter_map(|(name, build)| Some((name.as_str(), build.own.as_ref()?))).collect();
    if !own.is_empty() {
        text.push('\n');
        parts(&mut text, &own);
    }
    text
}

/// What the series of each version has.
pub fn series(all: &[Series]) -> String {
    let mut text = String::from("Bytes of the stripped image, and its growth over the one without the library:\n\n");
    growth(&mut text, all);
    text.push_str("\nOur own code in the whole image, before it is linked:\n\n");
    let own: Vec<(&str, &Own)> =
        all.iter().filter_map(|series| Some((series.version.as_str(), series.builds.first()?.own.as_ref()?))).collect();
    parts(&mut text, &own);
    text.push_str(
        "\nMemory, with nothing attached, by the count of Unikraft's allocator while the application sleeps:\n\n",
    );
    memory(&mut text, all);
    text.push_str(
        "\nInstructions of the guest from its start, by QEMU's count (`-icount shift=0`: a nanosecond of guest time each):\n\n",
    );
    boot(&mut text, all);
    text
}

fn row(text: &mut String, name: &str, values: &[u64]) {
    // Writing into a string does not fail.
    let _ = write!(text, "| {name} |");
    for value in values {
        let _ = write!(text, " {} |", grouped(*value));
    }
    text.push('\n');
}

fn head<'a>(text: &mut String, first: &str, columns: impl Iterator<Item = String> + Clone + 'a) {
    let _ = write!(text, "| {first} |");
    for column in columns.clone() {
        let _ = write!(text, " {column} |");
    }
    text.push_str("\n| --- |");
    columns.for_each(|_| text.push_str(" ---: |"));
    text.push('\n');
}

fn growth(text: &mut String, all: &[Series]) {
    let columns = all.iter().flat_map(|series| {
        let version = &series.version;
        [version.clone(), "growth".into(), "step".into()]
    });
    head(text, "left out, one after the other", columns);
    for left_out in 0..=STEPS.len() {
        let name = match left_out.checked_sub(1).and_then(|step| STEPS.get(step)) {
            Some((option, what)) => format!("`{option}`: {what}"),
            None => "nothing".into(),
        };
        let file = |series: &Series, at: usize| series.builds.get(at).map_or(0, |build| build.file);
        let values = all.iter().flat_map(|series| {
            let here = file(series, left_out);
            let before = file(series, left_out.saturating_sub(1));
            let least = file(series, STEPS.len());
            [here, here.saturating_sub(least), before.saturating_sub(here)]
        });
        row(text, &name, &values.collect::<Vec<u64>>());
    }
}

fn parts(text: &mut String, own: &[(&str, &Own)]) {
    head(text, "part", own.iter().map(|(name, _)| (*name).to_owned()));
    let names = PARTS.iter().map(|(name, _)| *name).chain(["the rest: assembly, static functions of the glue"]);
    for (number, name) in names.enumerate() {
        let code = own.iter().map(|(_, own)| own.code.get(number).copied().unwrap_or(0));
        row(text, name, &code.collect::<Vec<u64>>());
    }
    let items: [Row<Own>; 5] = [
        ("code, together", |own| own.code.iter().sum()),
        ("constants: messages, tables", |own| own.constants),
        ("names of functions (`LIBUBPF_RS_SYMBOLS_KIB`)", |own| own.names),
        ("data", |own| own.data),
        ("memory for machine code (`LIBUBPF_RS_JIT_KIB`)", |own| own.arena),
    ];
    for (name, item) in items {
        row(text, name, &own.iter().map(|(_, own)| item(own)).collect::<Vec<u64>>());
    }
}

fn memory(text: &mut String, all: &[Series]) {
    head(text, "", all.iter().map(|series| series.version.clone()));
    let items: [Row<Series>; 5] = [
        ("free without the library", |series| series.free.1),
        ("free with it", |series| series.free.0),
        ("taken by it", taken),
        (
            "of that, the image's growth where it is loaded: code, constants, names, data, memory for machine code",
            loaded,
        ),
        ("of that, the rest: heap and the stacks of the shell's thread, as the allocator rounds them", |series| {
            taken(series).saturating_sub(loaded(series))
        }),
    ];
    for (name, item) in items {
        row(text, name, &all.iter().map(item).collect::<Vec<u64>>());
    }
}

fn boot(text: &mut String, all: &[Series]) {
    head(text, "", all.iter().map(|series| series.version.clone()));
    let items: [Row<Series>; 3] = [
        ("to the first answer of the shell", |series| series.boot.0),
        ("without the library, until the application has begun and sleeps", |series| series.boot.1),
        ("more with it", |series| series.boot.0.saturating_sub(series.boot.1)),
    ];
    for (name, item) in items {
        row(text, name, &all.iter().map(item).collect::<Vec<u64>>());
    }
}

/// What the library adds to the image where it is loaded.
fn loaded(series: &Series) -> u64 {
    let of = |build: Option<&Build>| build.map_or(0, |build| build.loaded);
    of(series.builds.first()).saturating_sub(of(series.builds.last()))
}

fn taken(series: &Series) -> u64 {
    series.free.1.saturating_sub(series.free.0)
}

/// `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let values = [0, 12, 123, 1_234, 123_456, 1_234_567].map(grouped);
        assert_eq!(values, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }
}
