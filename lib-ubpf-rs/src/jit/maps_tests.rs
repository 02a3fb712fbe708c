//! Random programs with maps: machine code and interpreter give the same result, memory, maps and budget left.

#[path = "../../tests/engines/pages.rs"]
mod pages;

use super::{JitProgram, Options};
use crate::{
    helpers::Registry,
    maps::Maps,
    program::{Abi, Program},
    verifier::{self, planted, planted::Bug, Environment, Policy, VerifiedProgram, Work},
    vm::{
        soundness::{self, random_program_with_maps, text, Nobody, Numbers},
        Executable, Interpreter, Memory, Run, Stop, STACK_BYTES,
    },
};
use std::{format, string::String, sync::Arc, vec, vec::Vec};

/// What is left of a run.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    result: Result<u64, Stop>,
    budget: u64,
    argument: Vec<u64>,
    maps: Vec<u64>,
}

struct World {
    helpers: Registry,
    maps: Arc<Maps>,
    argument: Vec<u64>,
    stack: Vec<u64>,
}

fn bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: plain memory of that length, borrowed exclusively.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

impl World {
    fn run(&mut self, code: &dyn Executable, argument: &[u64], budget: u64) -> Left {
        self.maps.iter().for_each(|map| map.reset());
        self.argument.copy_from_slice(argument);
        self.stack.fill(0);
        let memory = Memory::new(bytes(&mut self.argument), bytes(&mut self.stack)).with_maps(&self.maps);
        let region = memory.argument();
        let args = [region.base, region.len];
        let mut run = Run { args, memory, budget, helpers: &self.helpers, host: &Nobody };
        let result = code.run(&mut run);
        let budget = run.budget;
        drop(run);
        let mut maps = Vec::new();
        for window in self.maps.windows() {
            let words = (0..window.len / 8).map(|number| (window.base + 8 * number) as *const u64);
            // SAFETY: the values of a map, which nobody changes now.
            maps.extend(words.map(|word| unsafe { word.read() }));
        }
        for ring in self.maps.iter() {
            let mut record = [0; 4096];
            while let Some(len) = ring.read_record(&mut record) {
                maps.extend(record[..len].iter().map(|&byte| u64::from(byte)));
            }
            maps.push(ring.ring_number(0));
        }
        Left { result, budget, argument: self.argument.clone(), maps }
    }

    fn verify(&self, insns: &[crate::isa::Insn]) -> Option<VerifiedProgram> {
        let program =
            Program { name: "test".into(), insns: insns.into(), entry: 0, abi: Abi::Linux, probing: Vec::new() };
        let infos = self.maps.infos()?;
        let environment = Environment::new(&self.helpers).with_maps(&infos);
        verifier::verify(program, Policy::Guarded, &environment, &mut Work::default()).ok()
    }

    /// All engines on one program.
    fn agree(&mut self, insns: &[crate::isa::Insn], argument: &[u64], budget: u64) -> Result<bool, String> {
        let Some(verified) = self.verify(insns) else { return Ok(false) };
        let expected = self.run(&Interpreter::new(verified.clone()), argument, budget);
        let styles = [(false, false), (true, false), (false, true)];
        for (guard_all, metered) in styles {
            let options = Options { guard_all, metered, ..Options::default() };
            let maps = Some(self.maps.clone());
            let code = JitProgram::with_maps(verified.clone(), maps, &pages::Pages, options, &mut Work::default());
            let code = code.map_err(|(error, _)| format!("{error}"))?;
            let found = self.run(&code, argument, budget);
            if found != expected {
                return Err(format!("{options:?}: {found:x?}, not {expected:x?}\n{}", text(insns)));
            }
        }
        Ok(true)
    }
}

fn random_programs(programs: usize) -> Result<usize, String> {
    let helpers = Registry::with_builtins().unwrap();
    let maps = Arc::new(soundness::maps());
    let mut world = World { helpers, maps, argument: vec![0; 16], stack: vec![0; STACK_BYTES / 8] };
    let mut numbers = Numbers::Random(0x2545_f491_4f6c_dd1d);
    let mut admitted = 0;
    for _ in 0..programs {
        let insns = random_program_with_maps(&mut numbers);
        let argument: Vec<u64> = (0..16).map(|_| numbers.pick(&[0, 1, 2, 3, 8, 24, 0x80, u64::MAX])).collect();
        let budget = numbers.pick(&[100_000, 100_000, 300, 60]);
        admitted += usize::from(world.agree(&insns, &argument, budget)?);
    }
    Ok(admitted)
}

#[test]
fn programs_with_maps_are_the_same_on_all_engines() {
    let admitted = random_programs(1500).unwrap_or_else(|error| panic!("{error}"));
    assert!(admitted > 300, "{admitted} programs are admitted");
}

#[test]
fn a_check_that_leaves_out_the_size_is_found() {
    let found = planted::with(Bug::GuardSize, || random_programs(20_000));
    assert!(found.is_err());
}
