//! What it takes to answer the worst programs.

use super::{results::Figure, Plan};
use crate::Result;

/// Milliseconds of CPU time within which any program is answered.
const MOST: f64 = 100.0;
/// Nanoseconds that a unit of work may stand for.
const UNIT: f64 = 1.0;

/// The worst answer, the worst unit, and each answer.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let passes = if plan.smoke { "1" } else { "5" };
    let samples = plan.sample(&plan.program, &["answers", passes])?;
    let mut figures = Vec::new();
    for (prefix, worst, unit, most) in
        [("answer.", "answer.worst", "ms", MOST), ("answer-unit.", "answer.unit.worst", "ns", UNIT)]
    {
        let names = samples.names(prefix);
        let spread = samples.over(|get| {
            let values = names.iter().map(|name| get(&format!("{prefix}{name}")));
            values.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
        })?;
        figures.push(Figure::at_most(worst, spread, unit, most));
    }
    for name in samples.names("answer.") {
        figures.push(Figure::plain(format!("answer.{name}"), samples.of(&format!("answer.{name}"))?, "ms"));
    }
    Ok(figures)
}
