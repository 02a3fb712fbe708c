//! The same figures inside the QEMU image, in guest instructions, by the shell's own `bench`; and the way to the shell and back, there
//! and in a Linux process.

use super::{
    results::Figure,
    sample::{Samples, Spread},
    Plan,
};
use crate::{
    demo::{Demo, STUBS},
    qemu::{self, Machine, Options},
    samples, Result,
};
use std::{fs, io::Write, path::Path, time::Instant};
use ubpf_client::text::TextClient;

/// Numbers of programs on one function.
const NUMBERS: [usize; 6] = [1, 2, 4, 8, 12, 16];

/// All figures.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let image = qemu::build_image(&plan.root)?;
    let mut figures = instructions(plan, &image)?;
    figures.extend(round_trips(plan, &image)?);
    let bytes = qemu::stripped_bytes(&image)?;
    figures.push(Figure::plain("guest.image", Spread::exact(bytes as f64 / 1024.0), "KiB"));
    Ok(figures)
}

/// The sample programs, and as many more noops and counts as one function gets.
fn files(plan: &Plan) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = samples::files(&plan.programs())?;
    for name in ["noop", "count"] {
        let code = fs::read(plan.programs().join(name).with_extension("bin"))?;
        files.extend((1..16).map(|copy| (format!("{name}{copy}.bin"), code.clone())));
    }
    Ok(files)
}

/// With one nanosecond of guest time for each instruction, times are counts of instructions.
fn instructions(plan: &Plan, image: &Path) -> Result<Vec<Figure>> {
    let options = Options {
        command_line: "-- 1000000".into(),
        initrd: Some(qemu::archive(&files(plan)?)),
        icount: true,
        ..Options::default()
    };
    let machine = Machine::start(&plan.root, image, &options)?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let runs = if plan.smoke { 400 } else { 4000 };
    let mut figures = Vec::new();
    let mut bench = |client: &mut TextClient, name: &str, file: &str| -> Result<()> {
        let answer = client.command(&format!("bench myfun {file} --runs {runs}"))?;
        if figures.is_empty() {
            figures.push(Figure::plain("guest.probe.none", call(&answer, "bare stub")?, "insns"));
        }
        let with = call(&answer, &format!("with {file}"))?;
        figures.push(Figure::plain(format!("guest.probe.{name}"), with, "insns"));
        Ok(())
    };
    for name in ["noop", "count", "get_count", "notify"] {
        bench(&mut client, name, &format!("{name}.bin"))?;
    }
    for name in ["noop", "count"] {
        for number in 1..16 {
            let file = format!("{name}{number}.bin");
            if NUMBERS.contains(&(number + 1)) {
                // One is there already, and one less than the number of the next.
                let first = (number == 1).then(|| format!("{name}.bin"));
                if let Some(first) = first {
                    client.expect(&format!("bpf_attach myfun {first}"), "attached")?;
                }
                bench(&mut client, &format!("{name}.{}", number + 1), &file)?;
            }
            client.expect(&format!("bpf_attach myfun {file}"), "attached")?;
        }
        client.expect("bpf_detach myfun", "detached")?;
    }
    Ok(figures)
}

/// The median and the least in a line of the answer of `bench`.
fn call(answer: &str, beginning: &str) -> Result<Spread> {
    let parsed = || {
        let line = answer.lines().find_map(|line| line.strip_prefix(beginning)?.strip_prefix(": "))?;
        let (median, rest) = line.split_once(" ns a call, least ")?;
        let (least, _) = rest.split_once(',')?;
        let (median, least) = (median.parse().ok()?, least.parse().ok()?);
        Some(Spread { median, low: least, high: median })
    };
    parsed().ok_or_else(|| format!("bench answered {answer:?}, without the line \"{beginning}\"").into())
}

/// Microseconds of an empty line there and the prompt back.
fn line(client: &mut TextClient, turns: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..turns {
        let begin = Instant::now();
        client.stream.write_all(b"\n")?;
        client.until(|text| text.ends_with(b"> "))?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Spread::of(times).map(|spread| spread.median).ok_or_else(|| "no turns".into())
}

fn round_trips(plan: &Plan, image: &Path) -> Result<Vec<Figure>> {
    let turns = if plan.smoke { 20 } else { 300 };
    let mut samples = Samples::default();
    let stubs = STUBS.first().ok_or("no kind of entry stub")?;
    for _ in 0..plan.processes {
        let demo = Demo::start(&plan.root, stubs, 1_000_000)?;
        let linux = line(&mut TextClient::at_prompt(&demo.target().socket)?, turns)?;
        drop(demo);
        let options = Options { command_line: "-- 1000000".into(), ..Options::default() };
        let machine = Machine::start(&plan.root, image, &options)?;
        let qemu = line(&mut TextClient::at_prompt(&machine.socket)?, turns)?;
        samples.add(&format!("linux\t{linux}\nqemu\t{qemu}\n"))?;
    }
    Ok(vec![
        Figure::plain("port.line.linux", samples.of("linux")?, "us"),
        Figure::plain("port.line.qemu", samples.of("qemu")?, "us"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_bench_is_read() {
        let answer = "bare stub: 6.00 ns a call, least 5.98, 400 calls\n\
                      with count.bin: 34.51 ns a call, least 34.00, 400 calls; a hit costs 28.51 ns\n";
        let spread = call(answer, "with count.bin").unwrap();
        assert_eq!(spread, Spread { median: 34.51, low: 34.0, high: 34.51 });
        assert!(call(answer, "with noop.bin").is_err());
    }
}
