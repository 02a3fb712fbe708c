//! What each operation takes beside what it is charged.

use super::{results::Figure, sample::Spread, Plan};
use crate::Result;

/// Units of time that a unit of budget may stand for, in machine code and interpreted.
const MOST: [(&str, f64); 2] = [("jit", 4.0), ("interp", 30.0)];

/// All figures: for each engine the worst operation, and every one of them.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let passes = if plan.smoke { "1" } else { "40" };
    let samples = plan.sample(&plan.program, &["charges", passes])?;
    let mut figures = Vec::new();
    for (engine, most) in MOST {
        let names = samples.names(&format!("charge.{engine}."));
        let worst = samples.over(|get| {
            let ratios = names.iter().map(|name| get(&format!("charge.{engine}.{name}")));
            ratios.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
        })?;
        figures.push(Figure::at_most(format!("charge.worst.{engine}"), worst, "x", most));
        for name in names {
            let ratio: Spread = samples.of(&format!("charge.{engine}.{name}"))?;
            figures.push(Figure::plain(format!("charge.{engine}.{name}"), ratio, "x"));
        }
    }
    let miss = samples.of("charge-ns.jit.cache_miss")?;
    figures.push(Figure::plain("charge.cache_miss", miss, "ns"));
    Ok(figures)
}
