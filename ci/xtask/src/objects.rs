//! The programs of `tests/objects/matrix.data` in a running image: each source compiled and packed here, sent over its shell, run in every way
//! that the shell offers, and attached where its sections say.

#[path = "../../../tests/objects/matrix.rs"]
mod matrix;

use crate::{setup, target, usage, Result};
use matrix::{rows, Compiler, Row};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use ubpf_client::text::TextClient;

/// What the sources are compiled by.
const COMPILER: Compiler = Compiler::clang("-O2", "-mcpu=v3");
/// Sources whose programs are attached, with how many of them say where.
const ATTACHED: &[(&str, usize)] = &[("entry_sections", 4), ("exits", 3)];
/// Longest wait for a call of the function.
const PATIENCE: Duration = Duration::from_secs(30);

/// `cargo xtask objects --socket SHELL [--unpacked]`
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    match arguments {
        [option, socket] if option == "--socket" => run(root, &PathBuf::from(socket), Sent::Packages),
        [option, socket, unpacked] if option == "--socket" && unpacked == "--unpacked" => {
            run(root, &PathBuf::from(socket), Sent::Objects)
        }
        _ => Err(usage("usage: cargo xtask objects --socket SHELL [--unpacked]")),
    }
}

/// What is sent to the image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Packages, made here.
    Packages,
    /// The objects, which the image packs.
    Objects,
}

impl Sent {
    fn ending(self) -> &'static str {
        match self {
            Sent::Packages => "pkg",
            Sent::Objects => "o",
        }
    }
}

/// Plays all of it; fails at the first thing that is not as it must be.
pub fn run(root: &Path, socket: &Path, sent: Sent) -> Result<()> {
    setup::ensure()?;
    let mut shell = TextClient::synchronised(socket)?;
    let rows = rows()?;
    let (mut sources, mut runs) = (0, 0);
    for rows in rows.chunk_by(|a, b| a.source == b.source) {
        let Some(source) = rows.first().map(|row| row.source) else { continue };
        let file = format!("{source}.{}", sent.ending());
        shell.send(&file, &file_of(root, source, sent)?)?;
        for row in rows {
            runs += each_way(&mut shell, &file, row)?;
        }
        if let Some((_, programs)) = ATTACHED.iter().find(|(attached, _)| *attached == source) {
            attach(&mut shell, &file, *programs)?;
        }
        shell.expect(&format!("rm {file}"), "")?;
        sources += 1;
    }
    let left = shell.command("map list")?;
    if !left.trim().is_empty() {
        return Err(format!("maps are left: {left}").into());
    }
    println!("objects: passed ({sources} sources, {runs} runs)");
    Ok(())
}

fn file_of(root: &Path, source: &str, sent: Sent) -> Result<Vec<u8>> {
    let folder = target::folder(root, "bpf").join("objects");
    fs::create_dir_all(&folder)?;
    let object = folder.join(source).with_extension("o");
    COMPILER.run(root, source, &object).map_err(|error| format!("{}: {error}", COMPILER.command))?;
    let object = fs::read(&object)?;
    if sent == Sent::Objects {
        return Ok(object);
    }
    let options = ubpf_pack::Options { name: source.into(), ..ubpf_pack::Options::default() };
    Ok(ubpf_pack::pack(&object, &options)?)
}

/// Runs a program proved and with its accesses checked, interpreted and as machine code; gives how often.
fn each_way(shell: &mut TextClient, file: &str, row: &Row) -> Result<usize> {
    let policies: &[&str] = if row.checked || row.loops { &["checked"] } else { &["strict", "checked"] };
    let mut command = format!("prog run {file} -p {}", row.program);
    if !row.given.is_empty() {
        command.push_str(" --data hex:");
        row.given.iter().try_for_each(|byte| write!(command, "{byte:02x}"))?;
    }
    for policy in policies {
        for engine in ["interp", "jit"] {
            let command = format!("{command} --policy {policy} --engine {engine}");
            let answer = shell.command(&command)?;
            if returned(&answer) != Some(row.result) {
                return Err(format!("{command}\n{answer}expected {}", row.result).into());
            }
        }
    }
    Ok(policies.len() * 2)
}

/// The lower half of what the answer says that the program returned.
fn returned(answer: &str) -> Option<u32> {
    let number = answer.lines().find_map(|line| line.strip_prefix("The program returned: "))?;
    let number: u64 = number.split(' ').next()?.parse().ok()?;
    Some(number as u32)
}

/// Attaches the programs of a source, waits until each has run, and takes them off.
fn attach(shell: &mut TextClient, file: &str, programs: usize) -> Result<()> {
    let command = format!("prog attach {file} --args 1");
    let answer = shell.command(&command)?;
    if answer.lines().filter(|line| line.contains(" was attached to ")).count() != programs {
        return Err(format!("{command}\n{answer}").into());
    }
    let begin = Instant::now();
    loop {
        let list = shell.command("bpf_list myfun -v")?;
        let of_source = || list.lines().filter(|line| line.contains(&format!(" - {file}:")));
        if of_source().count() == programs
            && of_source().all(|line| !line.contains("(runs 0,") && line.contains("failures 0"))
        {
            break;
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("{file}: not all of {programs} programs have run:\n{list}").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    shell.expect("bpf_detach 'my*'", "detached successfully")?;
    Ok(())
}
