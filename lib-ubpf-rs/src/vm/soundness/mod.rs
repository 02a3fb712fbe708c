//! The step checker: runs admitted programs with every check on and compares each concrete machine with the states of the
//! verifier. What is proved must hold, whatever the program. For tests and fuzz targets.

use super::{AccessKind, Executable, Interpreter, Memory, Moment, Run, Stop, StopKind, STACK_BYTES};
use crate::{
    helpers::{
        Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps,
        TwoKeyModel,
    },
    isa::{AluOp, Insn, Operand, Width},
    maps::{Map, Maps, ValueWindow},
    platform::{Thread, Ticks},
    program::{limits::FRAME_BYTES, Abi, MapDef, MapFlags, MapKind, MapName, Program},
    verifier::{self, Access, Concrete, Event, Pass, Policy, State, VerifiedProgram, Work, INNER},
};
use alloc::sync::Arc;
use std::{collections::HashMap, format, string::String, vec, vec::Vec};

mod programs;
#[path = "../../../tests/common/silent.rs"]
mod silent;
#[cfg(test)]
mod tests;

pub use programs::{random_program, random_program_with_maps, Numbers};

/// A host without map, symbols, clock or console.
pub(crate) struct Nobody;

impl TwoKeyMaps for Nobody {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Model(self)
    }
}

impl TwoKeyModel for Nobody {
    fn get(&self, key1: u64, key2: u64) -> Option<u64> {
        (!key1.is_multiple_of(3)).then_some(key1.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key2)
    }
    fn put(&self, _key1: u64, _key2: u64, _value: u64) {}
    fn del(&self, _key1: u64, _key2: u64) {}
}

impl TracedCall for Nobody {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for Nobody {
    fn now_ns(&self) -> u64 {
        77
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

/// The states that each completed analysis has seen, by instruction.
#[derive(Default)]
struct Seen {
    states: HashMap<(Pass, usize), Vec<State>>,
    complete: Vec<Pass>,
}

/// An admitted program with the states on which that rests.
pub struct Checked {
    verified: VerifiedProgram,
    seen: Seen,
    maps: Option<Maps>,
}

/// Verifies a program without maps; `None` when it is refused.
pub fn verify(insns: &[Insn]) -> Option<Checked> {
    verify_for(insns, Abi::Classic, None)
}

/// Verifies a program with the maps that [`random_program_with_maps`] makes use of; `None` when it is refused.
pub fn verify_with_maps(insns: &[Insn]) -> Option<Checked> {
    verify_for(insns, Abi::Linux, Some(maps()))
}

/// An array, a hash, a constant, data and a ring.
pub fn maps() -> Maps {
    let name = MapName::new("test").unwrap();
    let map = |kind, [key_size, value_size, max_entries]: [u32; 3], flags| {
        Map::new(MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }).unwrap()
    };
    let none = MapFlags::empty();
    let mut constant = map(MapKind::Array, [4, 12, 1], MapFlags::RDONLY_PROG);
    constant.fill(0, &[3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80]).unwrap();
    constant.freeze().unwrap();
    let others = [map(MapKind::Array, [4, 24, 4], none), map(MapKind::Hash, [8, 16, 4], none)];
    let data = map(MapKind::Array, [4, 32, 1], none);
    let ring = map(MapKind::Ringbuf, [0, 0, 4096], none);
    Maps::new(others.into_iter().chain([constant, data, ring]).map(Arc::new).collect()).unwrap()
}

fn verify_for(insns: &[Insn], abi: Abi, maps: Option<Maps>) -> Option<Checked> {
    let program = Program { name: "test".into(), insns: insns.into(), entry: 0, abi, probing: Vec::new() };
    let helpers = Registry::with_builtins().unwrap();
    let mut seen = Seen::default();
    let mut observe = |event: Event<'_>| match event {
        Event::Before { pass, pc, state } => {
            seen.states.entry((pass, pc)).or_default().push(state.clone());
        }
        Event::Complete(pass) => seen.complete.push(pass),
    };
    let infos = maps.as_ref().map_or(Vec::new(), |maps| maps.infos().unwrap());
    let verified = verifier::verify_observed(
        program,
        Policy::Guarded,
        &verifier::Environment::new(&helpers).with_maps(&infos),
        &mut Work::default(),
        Some(&mut observe),
    );
    verified.ok().map(|verified| Checked { verified, seen, maps })
}

impl Checked {
    /// Runs the program once; says where the verifier was wrong.
    pub fn run(&self, argument: &mut [u8], budget: u64) -> Result<(), String> {
        let helpers = Registry::with_builtins().unwrap();
        let mut stack = vec![0u8; STACK_BYTES + 7];
        let aligned = stack.as_ptr().align_offset(8);
        let stack = &mut stack[aligned..aligned + STACK_BYTES];
        let len = argument.len() as u64;
        let memory = Memory::new(argument, stack);
        let memory = match &self.maps {
            Some(maps) => memory.with_maps(maps),
            None => memory,
        };
        let mut run = Run { args: [memory.argument().base, len], memory, budget, helpers: &helpers, host: &Nobody };
        let proofs = super::proofs_hold(&self.verified, &run);
        let interpreter = Interpreter::new(self.verified.clone());
        let (mut executed, mut wrong) = (0, None);
        super::executed::take();
        let result = interpreter.run_watched(&mut run, &mut |moment| {
            executed += self.verified.insn_charge(moment.pc);
            if wrong.is_none() && proofs {
                wrong = self.check(&moment, len).err();
            }
        });
        wrong.map_or(Ok(()), Err)?;
        let charged = budget - run.budget;
        drop(run);
        self.check_rings()?;
        executed += super::executed::take();
        if executed > charged {
            return Err(format!("what weighs {executed} was charged {charged}"));
        }
        if !proofs {
            return Ok(());
        }
        self.check_end(interpreter.verified(), result)
    }

    /// Empties the rings: whatever the program left behind, nobody waits for it.
    fn check_rings(&self) -> Result<(), String> {
        for ring in self.maps.iter().flat_map(Maps::iter) {
            while ring.read_record(&mut []).is_some() {}
            if ring.ring_number(0) != 0 {
                return Err("a ring waits for a record".into());
            }
        }
        Ok(())
    }

    fn check(&self, moment: &Moment<'_>, len: u64) -> Result<(), String> {
        let pc = moment.pc;
        if !self.verified.reachable(pc) {
            return Err(format!("PC {pc} is reached"));
        }
        self.check_divisor(moment)?;
        self.check_reach(moment, len)?;
        let calls: Vec<usize> = moment.calls().collect();
        let records: Vec<(u64, u64)> = moment.memory.records().iter().collect();
        let machine = Concrete {
            regs: moment.regs,
            calls: &calls,
            argument: (moment.memory.argument().base, len),
            stack_top: moment.memory.stack_top(),
            read: &|addr, size| moment.memory.load(addr, size),
            begins: &|slot, addr| self.begins(moment.memory, slot, addr),
            stands: &|slot, number| self.stands(moment.memory, slot, number),
            records: &records,
        };
        for &pass in &self.seen.complete {
            let states = self.seen.states.get(&(pass, pc));
            let states = states.map_or(&[][..], |s| s.as_slice());
            if !states.iter().rev().any(|state| state.admits(&machine).is_ok()) {
                let last = states.last();
                let why = last.map(|s| format!("{:?}; {s}", s.admits(&machine)));
                return Err(format!("{pass:?}: no state at PC {pc} stands for {:x?}: {why:?}", moment.regs));
            }
        }
        Ok(())
    }

    /// Whether a value of the map in this place begins there.
    fn begins(&self, memory: &Memory<'_>, slot: u16, addr: u64) -> bool {
        let Some((maps, map)) = self.maps.as_ref().and_then(|maps| Some((maps, maps.get(slot & !INNER)?))) else {
            return false;
        };
        let (def, window) = match slot & INNER {
            0 => (*map.def(), map.window()),
            _ => match map.def().inner {
                Some(inner) => (inner.named(map.def().name), maps.inner_window(addr, memory.records().stay())),
                None => return false,
            },
        };
        let Some(ValueWindow { base, len, .. }) = window else { return false };
        let distance = addr.wrapping_sub(base);
        distance < len && distance.is_multiple_of(def.value_stride())
    }

    /// Whether a number stands for the map in this place, or for one that may be within it.
    fn stands(&self, memory: &Memory<'_>, slot: u16, number: u64) -> bool {
        let Some(map) = self.maps.as_ref().and_then(|maps| maps.get(slot & !INNER)) else { return false };
        let Some(found) = memory.records().map(number) else { return false };
        match slot & INNER {
            0 => core::ptr::eq(found, &**map),
            _ => map.def().inner.is_some_and(|inner| inner.fits(found.def())),
        }
    }

    fn check_divisor(&self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(Insn::Alu { op, width, src: Operand::Reg(src), .. }) = self.verified.program().insns.get(moment.pc)
        else {
            return Ok(());
        };
        if !matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod) {
            return Ok(());
        }
        let value = moment.regs[src.index()];
        let (zero, minus_one) = match width {
            Width::W64 => (value == 0, value == u64::MAX),
            Width::W32 => (value as u32 == 0, value as u32 == u32::MAX),
        };
        if zero && self.verified.divisor_is_not_zero(moment.pc)
            || minus_one && self.verified.divisor_is_not_minus_one(moment.pc)
        {
            return Err(format!("the divisor at PC {} is {value:#x}", moment.pc));
        }
        Ok(())
    }

    /// Whoever lends a program less than it is told of counts on how far it goes.
    fn check_reach(&self, moment: &Moment<'_>, len: u64) -> Result<(), String> {
        let pc = moment.pc;
        let (base, off, size) = match self.verified.program().insns.get(pc) {
            Some(
                &(Insn::Load { base, off, size, .. }
                | Insn::Store { base, off, size, .. }
                | Insn::Atomic { base, off, size, .. }),
            ) => (base, off, size),
            _ => return Ok(()),
        };
        let address = moment.regs[base.index()].wrapping_add(off as i64 as u64);
        let below = moment.memory.stack_top().wrapping_sub(address);
        let in_frame = below.wrapping_sub(1) % FRAME_BYTES as u64 + 1;
        let deepest = self.verified.stack_reach();
        if self.verified.access(pc) == Access::Proved && below <= STACK_BYTES as u64 && in_frame > deepest {
            return Err(format!(
                "the access at PC {pc} is {in_frame} bytes into a frame, of which {deepest} are reached"
            ));
        }
        let from = address.wrapping_sub(moment.memory.argument().base);
        let reach = self.verified.argument_reach();
        let proved = self.verified.access(pc) == Access::Proved;
        let first = self.verified.argument_first();
        if proved && from < len && (from < first || from + size.bytes() as u64 > reach) {
            return Err(format!(
                "the access at PC {pc} is {from} bytes into the argument, of which {first} to {reach} are reached"
            ));
        }
        Ok(())
    }

    fn check_end(&self, program: &VerifiedProgram, result: Result<u64, Stop>) -> Result<(), String> {
        let Err(stop) = result else { return Ok(()) };
        let faults = matches!(stop.kind, StopKind::OutOfBounds { .. } | StopKind::Unaligned { .. });
        let helper =
            matches!(stop.kind, StopKind::OutOfBounds { access: AccessKind::HelperRead | AccessKind::HelperWrite, .. });
        if (faults || helper) && program.access(stop.pc) == Access::Proved {
            return Err(format!("a proved access faults: {stop}"));
        }
        Ok(())
    }
}

/// A program, an instruction a line.
pub fn text(insns: &[Insn]) -> String {
    let lines = insns.iter().enumerate().map(|(pc, insn)| format!("{pc:3}: {}", insn));
    lines.collect::<Vec<_>>().join("\n")
}
