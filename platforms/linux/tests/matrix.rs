//! Sources for each kind of map and section, as every compiler makes objects of them: packed, loaded, and run in each way with one result.
//! `UBPF_MATRIX=all` takes each level of each compiler for each CPU, with types and without.

#[path = "common/objects.rs"]
mod common;
#[path = "../../../tests/objects/matrix.rs"]
mod matrix;

use common::*;
use matrix::{rows, Compiler, Row};
use std::path::Path;
use ubpf_rs::{
    runtime::{LoadOptions, Runtime},
    verifier::Policy,
};

/// What a source asks for by name.
#[export_name = "myfun"]
#[used]
static MYFUN_OF_SOURCES: u64 = 0;

/// Compiles and packs; `None` where the compiler is not there.
fn package(compiler: &Compiler, source: &str) -> Option<Result<Vec<u8>, String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let object = folder().join("matrix.o");
    if let Err(error) = compiler.run(&root, source, &object) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        assert!(!compiler.is_kept() || compiler.level == "-O0", "{source}: tests/objects/v4 has no object of it");
        return None;
    }
    let options = ubpf_pack::Options { name: source.into(), ..ubpf_pack::Options::default() };
    Some(ubpf_pack::pack(&std::fs::read(object).unwrap(), &options))
}

/// Whether a refusal is one that the row or the compiler explains. What -O0 makes calls helpers through numbers that it has loaded from memory,
/// which Linux refuses.
fn is_explained(compiler: &Compiler, row: &Row, strict: bool, reason: &str) -> bool {
    let place = reason.contains("PC ");
    (compiler.level == "-O0" && strict && place)
        || (row.loops && strict && place && reason.contains("the end is not proved"))
        || (row.types && !compiler.types && reason.contains("there is no symbol"))
}

/// Whether a program gives what it should, in every way in which it may run; how often it was refused instead.
fn check(engine: &Runtime, compiler: &Compiler, row: &Row) -> usize {
    let mut refused = 0;
    for way in all_ways() {
        let strict = way.policy == Some(Policy::Strict);
        if strict && row.checked {
            continue;
        }
        let options = LoadOptions { program: Some(row.program), ..way };
        let about = format!("{}:{} {compiler} {:?} {:?}", row.source, row.program, way.policy, way.engine);
        match engine.exec_file("matrix.pkg", &mut row.given.clone(), &options) {
            Ok(report) => assert_eq!(report.value as u32, row.result, "{about}"),
            Err(error) => {
                let reason = error.to_string();
                assert!(is_explained(compiler, row, strict, &reason), "{about}: {reason}");
                refused += 1;
            }
        }
        assert_eq!(maps(engine), [""; 0], "{about}");
    }
    refused
}

#[test]
fn every_compiler_makes_the_same_of_every_source() {
    let (engine, _turn) = engine();
    let compilers = Compiler::list(std::env::var("UBPF_MATRIX").is_ok_and(|value| value == "all"));
    let rows = rows().unwrap();
    let sources = rows.chunk_by(|a, b| a.source == b.source);
    assert!(sources.clone().count() >= 25);
    let (mut packages, mut runs, mut refused) = (0, 0, 0);
    for rows in sources {
        let source = rows[0].source;
        for compiler in compilers.iter().filter(|compiler| compiler.takes(&rows[0])) {
            let Some(package) = package(compiler, source) else { continue };
            let package = match package {
                Err(reason) if rows[0].types && !compiler.types => {
                    assert!(reason.contains("compile with -g"), "{source} {compiler}: {reason}");
                    continue;
                }
                package => package.unwrap_or_else(|reason| panic!("{source} {compiler}: {reason}")),
            };
            std::fs::write(folder().join("matrix.pkg"), package).unwrap();
            refused += rows.iter().map(|row| check(engine, compiler, row)).sum::<usize>();
            runs += rows.len() * all_ways().len();
            packages += 1;
        }
    }
    println!("{packages} packages, {runs} runs, {refused} of them refused");
    // Nothing is explained away by far.
    assert!(refused * 10 < runs, "{refused} of {runs}");
}
