//! Tests of the libraries, run in the image: the programs of `tests/programs` on every engine, and the shell's tests,
//! whose files are compiled here once more.

#![allow(clippy::duplicate_mod)] // each of the shell's test files brings its fake along

use alloc::{boxed::Box, format, string::String};

use ubpf_program_tests::{run_all, BoundMaps, Engine};
use ubpf_rs::jit::{JitProgram, Options};
use ubpf_rs::verifier::VerifiedProgram;
use ubpf_rs::vm::{Executable, Interpreter};

use crate::{memory::CodeMemory, walk};

struct Interpreted;

impl Engine for Interpreted {
    fn prepare(&self, program: VerifiedProgram, _maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

struct Compiled(Options);

impl Engine for Compiled {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        let code = JitProgram::with_maps(program, maps, &CodeMemory, self.0, &mut Default::default())
            .map_err(|(error, _)| format!("{error}"))?;
        // With the code in its place, sealed.
        walk::survey().map_err(|broken| format!("{broken}"))?;
        Ok(Box::new(code))
    }
}

#[path = "../../lib-ushell-rs/tests/engine.rs"]
mod engine;
#[path = "../../lib-ushell-rs/tests/robustness.rs"]
mod robustness;
#[path = "../../lib-ushell-rs/tests/transcripts.rs"]
mod transcripts;

macro_rules! run {
    ($($module:ident: $($test:ident)*;)*) => {
        $($(
            $module::$test();
            println!(concat!(stringify!($module), ": ", stringify!($test), " passed"));
        )*)*
    };
}

/// Runs all tests of the shell; a panic says what was not as it should be.
pub fn shell() {
    run! {
        engine: a_session;
        transcripts: sessions keys;
        robustness: long_values_come_in_pieces records_are_shown_as_they_come records_behind_discarded_ones a_ring_that_is_never_empty what_a_session_attached_goes_with_it
            what_is_cancelled_says_so_once
            who_asks_again_disturbs_nothing
            cutting_the_input_changes_nothing
            random_bytes_never_stall_it
            a_long_line_is_refused_once
            a_long_line_is_refused_at_a_terminal_too
            a_reader_who_does_not_read_holds_the_writer_up
            control_c_ends_long_output
            what_a_command_writes_at_once_is_bounded
            commands_of_the_application
            a_client_that_vanishes_leaves_the_old_file
            uploads_of_all_sizes
            a_file_that_is_refused_is_not_taken_for_commands
            input_without_a_connection_starts_a_session
            quit_ends_the_session;
    }
}

/// Runs all programs; a panic says what was not as it should be.
pub fn programs() {
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
