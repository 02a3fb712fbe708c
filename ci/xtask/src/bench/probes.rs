//! What a hit costs: by program, and by how many programs sit on one function.

use super::{instructions, results::Figure, sample::Spread, Plan};
use crate::Result;

/// All figures.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let folder = plan.programs();
    let programs = folder.to_string_lossy();
    let rounds = if plan.smoke { "1" } else { "15" };
    let samples = plan.sample(&plan.program, &["probes", &programs, rounds])?;
    let mut figures = Vec::new();
    for name in samples.names("probe.") {
        let name = format!("probe.{name}");
        figures.push(Figure::plain(format!("{name}.ns"), samples.of(&name)?, "ns"));
    }
    // What a hit costs is what a call takes longer than one of a function that has only its nop.
    let net = |name: &str| {
        let name = name.to_owned();
        move |get: &dyn Fn(&str) -> Option<f64>| Some(get(&name)? - get("probe.none")?)
    };
    let ratio = |name: &str, base: &str| {
        let (cost, base) = (net(name), net(base));
        samples.over(|get| Some(cost(get)? / base(get)?))
    };
    figures.push(Figure::at_most("probe.noop/hand", ratio("probe.noop.1", "probe.hand")?, "x", 1.4));
    figures.push(Figure::at_most("probe.noop.8/noop", ratio("probe.noop.8", "probe.noop.1")?, "x", 4.0));
    figures.push(Figure::at_most("probe.count/hand", ratio("probe.count", "probe.hand")?, "x", 5.0));
    figures.push(Figure::at_most("probe.notify.net", samples.over(net("probe.notify"))?, "ns", 40.0));
    let more = samples.over(|get| Some(get("probe.return.noop")? - get("probe.noop.1")?))?;
    figures.push(Figure::at_most("probe.return-entry", more, "ns", 10.0));
    figures.push(Figure::at_most("probe.latency.net", samples.over(net("probe.latency"))?, "ns", 60.0));
    let over = |name: &str| {
        let name = format!("probe.object.{name}");
        samples.over(move |get: &dyn Fn(&str) -> Option<f64>| Some(get(&name)? - get("probe.object.nothing")?))
    };
    for (name, figure, most) in [
        ("counts", "probe.object.counter", 2.0),
        ("looks_up", "probe.object.lookup", 12.0),
        ("updates", "probe.object.update", 30.0),
        ("reserves", "probe.object.record", 25.0),
    ] {
        figures.push(Figure::at_most(figure, over(name)?, "ns", most));
    }
    let stub = samples.over(|get| Some(get("probe.none")? / get("probe.plain")?))?;
    figures.push(Figure::plain("probe.none/plain", stub, "x"));
    for (name, target) in [("exec.file", 6.0), ("exec.memory", 1.5)] {
        let time = samples.over(|get| Some(get(name)? / 1e3))?;
        figures.push(Figure::at_most(name, time, "us", target));
    }
    figures.extend(counted(plan, &programs)?);
    Ok(figures)
}

/// Instructions per call: the difference between many calls and few, by the calls between.
fn counted(plan: &Plan, programs: &str) -> Result<Vec<Figure>> {
    const CASES: &[&str] =
        &["plain", "hand", "none", "noop.1", "noop.8", "noop.16", "count", "count.8", "get_count", "notify"];
    const FEW: u64 = 1000;
    const MANY: u64 = 5000;
    let mut figures = Vec::new();
    if plan.smoke {
        return Ok(figures);
    }
    for case in CASES {
        let name = format!("probe.{case}");
        let count = |calls: u64| {
            let calls = calls.to_string();
            instructions(&plan.program, &[], &["probe-instructions", programs, &name, &calls])
        };
        let (Some(few), Some(many)) = (count(FEW)?, count(MANY)?) else {
            println!("valgrind is not installed: no instructions are counted");
            return Ok(figures);
        };
        let each = (many - few) / (MANY - FEW) as f64;
        figures.push(Figure::plain(format!("{name}.instructions"), Spread::exact(each), "insns"));
    }
    Ok(figures)
}
