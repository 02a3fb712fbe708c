//! From the programs of an object to those that are verified: decoded, and with the names in them resolved.

use super::{Object, Relocation, SlotNeed};
use crate::{
    isa::{self, Call, DecodeError, ImmKind, Insn, RawInsn},
    platform::{copied, Cancelled, Pause},
    program::{limits::PIECE, Abi, Program},
};
use alloc::vec::Vec;

/// What an object asks the image for.
pub trait Externs {
    /// The number of the helper with this name, in a numbering.
    fn helper(&self, abi: Abi, name: &str) -> Option<u32>;
    /// Whether there is a helper of this number.
    fn has_helper(&self, abi: Abi, number: u32) -> bool;
    /// The address of the symbol with this name.
    fn symbol(&self, name: &str) -> Option<u64>;
}

/// Why a program of an object cannot be loaded. The texts are the object's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LowerError<'a> {
    /// An instruction is malformed.
    Decode {
        /// The program.
        program: &'a str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// No helper has the name.
    UnknownHelper {
        /// The program.
        program: &'a str,
        /// The call.
        pc: u32,
        /// The name.
        name: &'a str,
    },
    /// The helper of the name has another number.
    HelperNumber {
        /// The program.
        program: &'a str,
        /// The call.
        pc: u32,
        /// The name.
        name: &'a str,
        /// Number in the call.
        number: u32,
        /// Number of the helper.
        known: u32,
    },
    /// No symbol has the name.
    UnknownSymbol {
        /// The program.
        program: &'a str,
        /// The wide load.
        pc: u32,
        /// The name.
        name: &'a str,
    },
    /// There is no such program.
    NoProgram,
    /// Nobody wants the answer any more.
    Cancelled,
    /// No memory.
    NoMemory,
}

impl From<Cancelled> for LowerError<'_> {
    fn from(_: Cancelled) -> Self {
        LowerError::Cancelled
    }
}

/// What an instruction needs and the image does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing<'a> {
    /// In words.
    Text(&'a str),
    /// A helper.
    Helper(u32),
}

const CALL: u8 = 0x85;

/// A helper that is not there is as good as any other thing that is missing: only a way that calls it is refused.
fn mark_unknown_helpers(
    insns: &mut [Insn],
    abi: Abi,
    names: &dyn Externs,
    pause: &mut Pause<'_>,
) -> Result<(), Cancelled> {
    let mut first = 0u32;
    for piece in insns.chunks_mut(PIECE) {
        pause()?;
        for (pc, insn) in (first..).zip(piece.iter_mut()) {
            match *insn {
                Insn::Call(Call::Helper(number)) if !names.has_helper(abi, number) => *insn = Insn::Call(Call::Btf(pc)),
                _ => {}
            }
        }
        first = first.saturating_add(PIECE as u32);
    }
    Ok(())
}

impl<'a> Object<'a> {
    /// The program at a place in the list, with what it needs of the image. What could not be resolved stands in it as a call by BTF id, whose
    /// number is its own place: the verifier refuses the program where it can be reached, and [`missing`](Self::missing) says what it is.
    pub fn lower(&self, index: usize, names: &dyn Externs, pause: &mut Pause<'_>) -> Result<Program, LowerError<'a>> {
        let def = self.programs.get(index).ok_or(LowerError::NoProgram)?;
        let mut insns = Vec::new();
        loop {
            match isa::decode_some(def.code, &mut insns, PIECE) {
                Ok(true) => pause()?,
                Ok(false) => break,
                Err(DecodeError::NoMemory) => return Err(LowerError::NoMemory),
                Err(error) => {
                    let program = def.name;
                    return Err(LowerError::Decode { program, error });
                }
            }
        }
        let mut probing = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.program as usize == index) {
            pause()?;
            if slot.need == SlotNeed::Probing {
                probing.try_reserve(1).map_err(|_| LowerError::NoMemory)?;
                probing.push(slot.pc);
                continue;
            }
            let insn = insns.get_mut(slot.pc as usize).ok_or(LowerError::NoProgram)?;
            let place = InsnPlace { program: def.name, pc: slot.pc };
            fill(insn, slot.need, place, self.abi, names)?;
        }
        mark_unknown_helpers(&mut insns, self.abi, names, pause)?;
        let name = copied(def.name).ok_or(LowerError::NoMemory)?;
        Ok(Program { name, insns, entry: 0, abi: self.abi, probing })
    }

    /// What is missing at an instruction of a program where the verifier has refused it.
    pub fn missing(&self, index: usize, pc: usize) -> Option<Missing<'a>> {
        let here = |slot: &&Relocation<'_>| slot.program as usize == index && slot.pc as usize == pc;
        if let Some(SlotNeed::Missing(text)) = self.slots.iter().find(here).map(|slot| slot.need) {
            return Some(Missing::Text(text));
        }
        let insn = self.programs.get(index)?.code.as_chunks::<8>().0.get(pc)?;
        let insn = RawInsn::from_bytes(*insn);
        (insn.opcode == CALL && insn.src == 0).then_some(Missing::Helper(insn.imm as u32))
    }

    /// The function of a program that an instruction belongs to, by its name.
    pub fn function_at(&self, index: usize, pc: usize) -> Option<&'a str> {
        let before = |f: &&super::FunctionName<'_>| f.program as usize == index && f.start as usize <= pc;
        self.functions.iter().rev().find(before).map(|function| function.name)
    }
}

/// An instruction, for messages.
#[derive(Clone, Copy)]
struct InsnPlace<'a> {
    program: &'a str,
    pc: u32,
}

fn fill<'a>(
    insn: &mut Insn,
    need: SlotNeed<'a>,
    InsnPlace { program, pc }: InsnPlace<'a>,
    abi: Abi,
    names: &dyn Externs,
) -> Result<(), LowerError<'a>> {
    let mut load = |address| {
        if let Insn::LoadImm64 { kind: ImmKind::Value, imm, .. } = insn {
            *imm = address;
        }
    };
    match need {
        SlotNeed::Helper(name) => {
            let known = names.helper(abi, name);
            let known = known.ok_or(LowerError::UnknownHelper { program, pc, name })?;
            match *insn {
                Insn::Call(Call::Helper(number)) if number != 0 && number != known => {
                    return Err(LowerError::HelperNumber { program, pc, name, number, known });
                }
                _ => *insn = Insn::Call(Call::Helper(known)),
            }
        }
        SlotNeed::Symbol(name) => {
            let address = names.symbol(name);
            load(address.ok_or(LowerError::UnknownSymbol { program, pc, name })?);
        }
        SlotNeed::WeakSymbol(name) => load(names.symbol(name).unwrap_or(0)),
        SlotNeed::Missing(_) => *insn = Insn::Call(Call::Btf(pc)),
        SlotNeed::Probing => {}
    }
    Ok(())
}
