//! The programs of `tests/programs`, run in the image on every engine.

use alloc::{boxed::Box, format, string::String};

use ubpf_program_tests::{run_all, Engine};
use ubpf_rs::jit::{JitProgram, Options};
use ubpf_rs::verifier::VerifiedProgram;
use ubpf_rs::vm::{Executable, Interpreter};

use crate::{memory::CodeMemory, walk};

struct Interpreted;

impl Engine for Interpreted {
    fn prepare(&self, program: VerifiedProgram) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

struct Compiled(Options);

impl Engine for Compiled {
    fn prepare(&self, program: VerifiedProgram) -> Result<Box<dyn Executable>, String> {
        let code = JitProgram::new(program, &CodeMemory, self.0).map_err(|(error, _)| format!("{error}"))?;
        // With the code in its place, sealed.
        walk::survey().map_err(|broken| format!("{broken}"))?;
        Ok(Box::new(code))
    }
}

/// Runs all of them; a panic says what was not as it should be.
pub fn run() {
    let usual = Options::default();
    let guarded = Options { guard_all: true, ..usual };
    let baseline = Options { baseline: true, ..usual };
    check("interpreter", &Interpreted);
    check("compiler", &Compiled(usual));
    check("compiler, every access checked", &Compiled(guarded));
    check("compiler, any CPU", &Compiled(baseline));
}

fn check(name: &str, engine: &dyn Engine) {
    let summary = run_all(engine);
    summary.faults.iter().for_each(|fault| println!("{name}: {fault}"));
    assert!(summary.faults.is_empty() && summary.cases > 0, "{name}: see above");
    println!("{name}: {} programs passed", summary.cases);
}
