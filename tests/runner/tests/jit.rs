//! Every program as machine code: with proved accesses bare, with every access checked, and for a CPU without extensions.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "../../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

use ubpf_program_tests::{run_all, BoundMaps, Engine};
use ubpf_rs::{
    jit::{JitProgram, Options},
    verifier::VerifiedProgram,
    vm::Executable,
};

struct Jit(Options);

impl Engine for Jit {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        let code = JitProgram::with_maps(program, maps, &pages::Pages, self.0, &mut Default::default());
        code.map(|code| Box::new(code) as _).map_err(|(error, _)| error.to_string())
    }
}

#[test]
fn every_program_ends_as_its_file_says() {
    let usual = Options::default();
    for options in [usual, Options { guard_all: true, ..usual }, Options { baseline: true, ..usual }] {
        let summary = run_all(&Jit(options));
        let faults: Vec<String> = summary.faults.iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{options:?}\n{}", faults.join("\n"));
        assert!(summary.cases >= 250);
    }
}
