//! Every program on the interpreter.

use ubpf_program_tests::{parse, run_all, BoundMaps, Engine};
use ubpf_rs::{
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter},
};

struct Interp;

impl Engine for Interp {
    fn prepare(&self, program: VerifiedProgram, _maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

#[test]
fn every_program_ends_as_its_file_says() {
    let summary = run_all(&Interp);
    let faults: Vec<String> = summary.faults.iter().map(ToString::to_string).collect();
    println!("{} programs", summary.cases);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(summary.cases >= 250);
}

#[test]
fn a_wrong_expectation_is_found() {
    let text = "== case\n<- mem 01\n r0 = 1\n *(u8 *)(r1 + 0) = 2\n exit\n";
    for wrong in [
        "-> r0 2\n-> mem 02",
        "-> r0 1",
        "-> r0 1\n-> mem 02\n-> output line",
        "-> r0 1\n-> mem 02\n-> map 1 2 3",
        "-> stop PC 0 budget\n-> mem 02",
        "-> refused unknown",
    ] {
        let cases = parse(&format!("{text}{wrong}")).unwrap();
        let faults = ubpf_program_tests::check("file", &cases[0], &Interp);
        assert!(!faults.is_empty(), "{wrong}");
    }
    let right = parse(&format!("{text}-> r0 1\n-> mem 02")).unwrap();
    assert!(ubpf_program_tests::check("file", &right[0], &Interp).is_empty());
}

#[test]
fn a_mistake_in_a_file_is_named() {
    for (text, message) in [
        ("exit", "line 1: a case begins with `== NAME`"),
        ("== a\n exit", "line 1: `-> r0`, `-> stop` or `-> refused` is missing"),
        ("== a\n-> r0 0\n-> r0 1\nexit", "line 3: a case ends in one way only"),
        ("== a\n-> r0 0\n\nexits", "line 4: a register is expected at `exits`"),
        ("== a\n<- memory 0", "line 2: nothing can be given as memory"),
        ("== a\n<- mem 0", "line 2: `0` are no bytes"),
        ("== a\n-> r0 0\nexit\n== a\n", "line 4: a second case named a"),
    ] {
        assert_eq!(parse(text).err().unwrap().to_string(), message);
    }
}
