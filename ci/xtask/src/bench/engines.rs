//! Engines on compute programs, beside native code and their peers.

use super::{
    results::Figure,
    sample::{geometric_mean, Samples, Spread},
    Plan,
};
use crate::Result;

/// An engine: its name in the samples, and the native code from the same source.
const ENGINES: &[(&str, &str)] = &[
    ("clang", "gcc"),
    ("jit-proved", "gcc"),
    ("jit-guarded", "gcc"),
    ("jit-unprovable", "gcc-unprovable"),
    ("interp", "gcc"),
    ("rbpf-interp", "gcc"),
    ("rbpf-jit", "gcc"),
    ("ubpf-interp", "gcc"),
    ("ubpf-jit", "gcc"),
];

/// All figures.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let rounds = if plan.smoke { "1" } else { "9" };
    let samples = plan.sample(&plan.engines, &[rounds])?;
    let programs = samples.names("gcc.");
    let mut strict = Vec::new();
    for program in &programs {
        if samples.of(&format!("strict.{program}"))?.median > 0.0 {
            strict.push(program.clone());
        }
    }
    let mut figures = means(&samples, &programs, &strict)?;
    for (engine, base) in ENGINES {
        if samples.names(&format!("{engine}.")).is_empty() {
            continue;
        }
        for program in &programs {
            let ratio = mean(&samples, engine, base, std::slice::from_ref(program))?;
            figures.push(Figure::plain(format!("engine.{engine}.{program}"), ratio, "x"));
        }
    }
    for program in &programs {
        let time = samples.of(&format!("gcc.{program}"))?;
        figures.push(Figure::plain(format!("engine.gcc.{program}.ns"), time, "ns"));
    }
    figures.extend(preparation(&samples)?);
    Ok(figures)
}

/// Time on an engine over that of native code, geometric mean over programs.
fn mean(samples: &Samples, engine: &str, base: &str, programs: &[String]) -> Result<Spread> {
    samples.over(|get| {
        let ratio = |program: &String| Some(get(&format!("{engine}.{program}"))? / get(&format!("{base}.{program}"))?);
        geometric_mean(programs.iter().map(ratio))
    })
}

fn means(samples: &Samples, programs: &[String], strict: &[String]) -> Result<Vec<Figure>> {
    let count = |programs: &[String]| Spread::exact(programs.len() as f64);
    let mut figures = vec![
        Figure::plain("engine.programs", count(programs), "count"),
        Figure::plain("engine.programs.strict", count(strict), "count"),
        Figure::at_most("engine.mean.jit-strict", mean(samples, "jit-proved", "gcc", strict)?, "x", 1.25),
    ];
    for (engine, base) in ENGINES {
        if samples.names(&format!("{engine}.")).is_empty() {
            continue;
        }
        let name = format!("engine.mean.{engine}");
        let value = mean(samples, engine, base, programs)?;
        figures.push(match *engine {
            "jit-guarded" => Figure::at_most(name, value, "x", 1.6),
            "interp" => Figure::at_most(name, value, "x", 30.0),
            _ => Figure::plain(name, value, "x"),
        });
    }
    let against_clang = mean(samples, "jit-proved", "clang", programs)?;
    figures.push(Figure::plain("engine.mean.jit-proved/clang", against_clang, "x"));
    Ok(figures)
}

fn preparation(samples: &Samples) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for step in samples.names("ready.") {
        let (name, time) = (format!("engine.ready.{step}"), samples.of(&format!("ready.{step}"))?);
        figures.push(match step.as_str() {
            "load+verify+jit.100" => Figure::at_most(name, time, "us", 40.0),
            _ => Figure::plain(name, time, "us"),
        });
    }
    figures.push(Figure::at_most("engine.density.proved", samples.of("density.proved")?, "B/insn", 5.5));
    figures.push(Figure::plain("engine.density.guarded", samples.of("density.guarded")?, "B/insn"));
    Ok(figures)
}
