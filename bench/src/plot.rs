//! Results as pictures.

use crate::Result;
use plotters::prelude::*;
use serde::Deserialize;
use std::{fs, path::Path};

/// One object of `results.json`.
#[derive(Deserialize)]
pub struct Figure {
    pub name: String,
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub unit: String,
    pub target: Option<f64>,
    pub met: Option<bool>,
}

/// What was measured.
pub fn read(results: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(results).map_err(|error| format!("{}: {error}", results.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// A picture: file, title, unit of its values, and which figures it shows: what their names begin and end with.
struct Picture {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    beginning: &'static str,
    end: &'static str,
    logarithmic: bool,
}

const PICTURES: &[Picture] = &[
    Picture {
        file: "probes.svg",
        title: "One call of a traced function",
        axis: "ns",
        beginning: "probe.",
        end: ".ns",
        logarithmic: true,
    },
    Picture {
        file: "engines.svg",
        title: "Engines, geometric means against native gcc -O2",
        axis: "times native",
        beginning: "engine.mean.",
        end: "",
        logarithmic: true,
    },
    Picture {
        file: "jit.svg",
        title: "Machine code with proved accesses, by program",
        axis: "times native gcc -O2",
        beginning: "engine.jit-proved.",
        end: "",
        logarithmic: false,
    },
    Picture {
        file: "stubs-time.svg",
        title: "SQLite with entry stubs and nothing attached, time",
        axis: "%",
        beginning: "stubs.time.",
        end: "",
        logarithmic: false,
    },
    Picture {
        file: "stubs-text.svg",
        title: "SQLite with entry stubs, size of .text",
        axis: "%",
        beginning: "stubs.text.",
        end: "",
        logarithmic: false,
    },
    Picture {
        file: "guest.svg",
        title: "One call of a function in the QEMU image",
        axis: "guest instructions",
        beginning: "guest.probe.",
        end: "",
        logarithmic: true,
    },
];

/// Draws every picture that there are figures for.
pub fn run(results: &Path, folder: &Path) -> Result<()> {
    let figures = read(results)?;
    for picture in PICTURES {
        bars(picture, &figures, &folder.join(picture.file))?;
    }
    curve(&figures, &folder.join("programs.svg"))
}

/// A row of bars with the range of each.
fn bars(picture: &Picture, figures: &[Figure], file: &Path) -> Result<()> {
    let shown: Vec<(&str, f64, f64, f64)> = figures
        .iter()
        .filter_map(|figure| {
            let name = figure.name.strip_prefix(picture.beginning)?.strip_suffix(picture.end)?;
            Some((name, figure.value?, figure.low?, figure.high?))
        })
        .collect();
    if shown.is_empty() {
        return Ok(());
    }
    let most = shown.iter().fold(0.0, |most: f64, bar| most.max(bar.3)) * 1.1;
    let least = shown.iter().fold(0.0, |least: f64, bar| least.min(bar.2)) * 1.1;
    let height = 90 + 26 * shown.len() as u32;
    let area = SVGBackend::new(file, (800, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let scale = |value: f64| if picture.logarithmic { (1.0 + value.max(0.0)).log10() } else { value };
    let rows = shown.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(picture.title, ("sans-serif", 18))
        .margin(10)
        .y_label_area_size(170)
        .build_cartesian_2d(scale(least)..scale(most) * 1.15, -rows..0.0)?;
    for (row, (name, value, low, high)) in shown.iter().enumerate() {
        let y = -(row as f64) - 0.5;
        let bar = Rectangle::new([(0.0, y - 0.35), (scale(*value), y + 0.35)], BLUE.mix(0.5).filled());
        chart.draw_series([bar])?;
        chart.draw_series([PathElement::new([(scale(*low), y), (scale(*high), y)], BLACK.stroke_width(2))])?;
        let text = format!("{value:.2} {}", picture.axis);
        chart.draw_series([Text::new(
            text,
            (scale(value.max(*high)) + scale(most) * 0.01, y + 0.2),
            ("sans-serif", 12),
        )])?;
        let at = chart.backend_coord(&(scale(0.0).min(scale(least)), y));
        area.draw(&Text::new((*name).to_owned(), (12, at.1 - 6), ("sans-serif", 13)))?;
    }
    Ok(area.present()?)
}

/// Cost by the number of programs on one function.
fn curve(figures: &[Figure], file: &Path) -> Result<()> {
    let points = |program: &str| -> Vec<(f64, f64)> {
        let of = |figure: &Figure| {
            let rest = figure.name.strip_prefix("probe.")?.strip_prefix(program)?.strip_suffix(".ns")?;
            let count = if rest.is_empty() { "1" } else { rest.strip_prefix('.')? };
            Some((count.parse().ok()?, figure.value?))
        };
        let mut points: Vec<(f64, f64)> = figures.iter().filter_map(of).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let lines = [("noop", points("noop"), BLUE), ("count", points("count"), RED)];
    let all = || lines.iter().flat_map(|line| &line.1);
    let [widest, most] = all().fold([0.0, 0.0], |[x, y]: [f64; 2], point| [x.max(point.0), y.max(point.1)]);
    if all().count() == 0 {
        return Ok(());
    }
    let area = SVGBackend::new(file, (800, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Programs on one function", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..widest + 1.0, 0.0..most * 1.1)?;
    chart.configure_mesh().x_desc("programs").y_desc("ns per call").draw()?;
    for (name, points, colour) in &lines {
        let line = chart.draw_series(LineSeries::new(points.clone(), colour))?;
        let colour = *colour;
        line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).draw()?;
    Ok(area.present()?)
}
