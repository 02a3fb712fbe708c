//! What is written down of a measurement.

use super::sample::Spread;
use crate::Result;
use std::{fmt, fs, path::Path};

/// A figure and what it must reach.
pub struct Figure {
    /// Name: parts by dots, from the general to the particular.
    pub name: String,
    /// Over all processes.
    pub spread: Spread,
    /// Its unit; `x` for a ratio.
    pub unit: &'static str,
    /// What it must reach.
    pub target: Goal,
}

/// What a figure must reach.
#[derive(Clone, Copy, PartialEq)]
pub enum Goal {
    /// Nothing.
    None,
    /// So much or less.
    AtMost(f64),
    /// So much or more.
    AtLeast(f64),
}

impl Goal {
    fn value(self) -> Option<f64> {
        match self {
            Goal::None => None,
            Goal::AtMost(value) | Goal::AtLeast(value) => Some(value),
        }
    }

    fn met(self, value: f64) -> Option<bool> {
        match self {
            Goal::None => None,
            Goal::AtMost(target) => Some(value <= target),
            Goal::AtLeast(target) => Some(value >= target),
        }
    }
}

impl Figure {
    /// A figure without a target.
    pub fn plain(name: impl Into<String>, spread: Spread, unit: &'static str) -> Figure {
        Figure { name: name.into(), spread, unit, target: Goal::None }
    }

    /// A figure that must be at most so much.
    pub fn at_most(name: impl Into<String>, spread: Spread, unit: &'static str, target: f64) -> Figure {
        Figure { target: Goal::AtMost(target), ..Figure::plain(name, spread, unit) }
    }

    /// A figure that must be at least so much.
    pub fn at_least(name: impl Into<String>, spread: Spread, unit: &'static str, target: f64) -> Figure {
        Figure { target: Goal::AtLeast(target), ..Figure::plain(name, spread, unit) }
    }

    /// As one line of JSON. Names and units need no escapes.
    fn json(&self) -> String {
        let number = |value: Option<f64>| match value.filter(|v| v.is_finite()) {
            Some(value) => format!("{}", (value * 1e4).round() / 1e4),
            None => "null".into(),
        };
        let Spread { median, low, high } = self.spread;
        let met = self.target.met(median).map_or("null".into(), |met| met.to_string());
        format!(
            "{{\"name\": \"{}\", \"value\": {}, \"low\": {}, \"high\": {}, \"unit\": \"{}\", \"target\": {}, \"met\": {met}}}",
            self.name,
            number(Some(median)),
            number(Some(low)),
            number(Some(high)),
            self.unit,
            number(self.target.value()),
        )
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, low, high } = self.spread;
        write!(f, "{:44} {median:10.2} {:5} ({low:.2} to {high:.2})", self.name, self.unit)?;
        match (self.target, self.target.met(median)) {
            (Goal::AtMost(target), Some(met)) => write!(f, " at most {target}{}", missed(met)),
            (Goal::AtLeast(target), Some(met)) => write!(f, " at least {target}{}", missed(met)),
            _ => Ok(()),
        }
    }
}

fn missed(met: bool) -> &'static str {
    if met {
        ""
    } else {
        ": MISSED"
    }
}

/// Writes the figures of one evaluation, one object a line.
pub fn write(folder: &Path, group: &str, figures: &[Figure]) -> Result<()> {
    let lines: Vec<String> = figures.iter().map(Figure::json).collect();
    Ok(fs::write(folder.join(group).with_extension("jsonl"), lines.join("\n"))?)
}

/// Makes `results.json`, one list, of the evaluations that were measured so far.
pub fn join<'a>(folder: &Path, groups: impl Iterator<Item = &'a str>) -> Result<()> {
    let texts = groups.filter_map(|group| fs::read_to_string(folder.join(group).with_extension("jsonl")).ok());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    Ok(fs::write(folder.join("results.json"), format!("[\n{}\n]\n", lines.join(",\n")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_its_target_is_met() {
        let figure = |value, target| Figure::at_most("a.b", Spread::exact(value), "x", target).json();
        let expected =
            r#"{"name": "a.b", "value": 1.5, "low": 1.5, "high": 1.5, "unit": "x", "target": 2, "met": true}"#;
        assert_eq!(figure(1.5, 2.0), expected);
        assert!(figure(2.5, 2.0).ends_with("\"met\": false}"));
        let loss = Figure::at_least("loss", Spread::exact(-4.0), "%", -5.0);
        assert!(loss.json().ends_with("\"met\": true}"));
        let plain = Figure::plain("p", Spread::exact(f64::NAN), "ns").json();
        assert!(plain.contains("\"value\": null") && plain.ends_with("\"target\": null, \"met\": null}"));
    }
}
