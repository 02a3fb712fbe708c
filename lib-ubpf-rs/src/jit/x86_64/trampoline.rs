//! Code between a traced function and the programs attached there, for programs that need nothing but their argument.
//!
//! Two pieces per site. The *gate* is what the site calls; it is never freed and leads wherever its slot says. The
//! *trampoline* calls the programs, and is replaced whenever they change. A gate counts who goes into trampolines and who comes
//! out, so that one is freed only when nobody is in it: also the instructions before the first and after the last count are the
//! gate's.
//!
//! Such programs call nothing that could be traced, so one may run while another hook runs: nothing is claimed, and nobody is turned away.

pub use crate::jit::surroundings::{call_helper_directly, Helpers};

use super::asm::{at, Alu, Asm, Cc, Forward, W};
use super::regs::Gpr;
use crate::{
    helpers::Needs,
    jit::{context::RunContext, surroundings::argument_words},
    platform::{OwnMark, Owner},
    verifier::planted::{self, Bug},
    vm::{Direct, Given},
};
use core::slice;

/// Bytes of a gate.
pub const GATE_BYTES: usize = 64;
/// Offset in a gate of the way out of a trampoline.
const LEAVE: u64 = 32;
/// Offset in a gate of the way to the general entry of hooks.
const GENERAL: u64 = 50;

/// Where a gate counts.
#[derive(Clone, Copy, Debug)]
pub enum Counters {
    /// Variables within 2 GiB of the gate.
    Shared {
        /// Those who went in.
        entered: u64,
        /// Those who came out.
        left: u64,
        /// Whether more than one CPU counts there.
        locked: bool,
    },
    /// In a block of the thread or CPU; whoever has none takes the general entry.
    Own {
        /// Where the word with the block's address is.
        owner: Owner,
        /// The word's offset there.
        offset: i32,
        /// Offset in the block of the counter of those who went in.
        entered: i32,
        /// The same of those who came out.
        left: i32,
    },
}

/// Bytes from the block of a program's helpers for one lane to that for the next.
pub const LANE_STEP: u64 = size_of::<RunContext>() as u64;

/// What the word holds in which a thread or CPU has the lane with this place among those that somebody has; 0 while there is none to be had.
pub const fn lane_word(place: usize) -> u64 {
    LANE_STEP.wrapping_mul(place as u64 + 1)
}

/// Where the word is that says which lane is to be had.
#[derive(Clone, Copy, Debug)]
pub enum LanePlace {
    /// In the block of counters that the gate has found, at this offset.
    Own {
        /// As of the counters.
        owner: Owner,
        /// The same.
        offset: i32,
        /// Offset in the block.
        word: i32,
    },
    /// A variable within 2 GiB: there is one CPU.
    Shared(u64),
}

/// What a gate refers to; addresses are within 2 GiB of it.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Where it stands.
    pub at: u64,
    /// Where it counts.
    pub counters: Counters,
    /// How it sees that the engine's own control path comes, for which the general entry knows what to do; of no matter where the thread has
    /// no counters of its own then.
    pub own: Option<OwnMark>,
    /// Variable that holds where to go.
    pub target: u64,
    /// General entry of hooks, which wants the stack as the site's call left it.
    pub general: u64,
}

/// Where a slot's variable points while there is no trampoline.
pub const fn general_way(gate: u64) -> u64 {
    gate.wrapping_add(GENERAL)
}

/// Where a slot's variable points when nothing is to be run there but hits are counted.
pub const fn way_out(gate: u64) -> u64 {
    gate.wrapping_add(LEAVE)
}

/// Bytes of a thunk.
pub const THUNK_BYTES: usize = 80;
/// Offset in a thunk of the way out of a trampoline, and of that for calls that come back.
const STAY: usize = 24;
const COME_BACK: usize = 52;

/// Where a site jumps to whose calls come back. It leads to the site's gate as if the site had called that, and out of trampolines without a
/// return that the CPU would expect elsewhere: so its own stack of return addresses is right when the function is called above the pad.
#[derive(Clone, Copy, Debug)]
pub struct Thunk {
    /// Where it stands.
    pub at: u64,
    /// Where the function goes on.
    pub key: u64,
    /// The gate.
    pub gate: u64,
    /// Where the gate counts.
    pub counters: Counters,
    /// The routine that calls the body, whose address is below the slot.
    pub return_call: u64,
}

/// Where a trampoline whose site jumps by a thunk leads when it is done.
pub const fn way_out_of_thunk(thunk: u64, comes_back: bool) -> u64 {
    thunk.wrapping_add(if comes_back { COME_BACK } else { STAY } as u64)
}

/// Writes a thunk; false when something is out of its reach or `out` is shorter than [`THUNK_BYTES`].
pub fn write_thunk(out: &mut [u8], thunk: Thunk) -> bool {
    if out.len() < THUNK_BYTES {
        return false;
    }
    let mut code = Placed { asm: Asm::new(out), at: thunk.at, reach: true };
    code.asm.raw(&PUSH_IMM);
    code.asm.raw(&(thunk.key as u32).to_le_bytes());
    code.asm.raw(&MOV_UPPER_HALF);
    code.asm.raw(&((thunk.key >> 32) as u32).to_le_bytes());
    code.to(&JMP, thunk.gate);
    for (offset, dropped) in [(STAY, 8), (COME_BACK, 16)] {
        code.pad_to(offset);
        code.find_block(thunk.counters);
        code.count(thunk.counters, CounterStep::Leave);
        code.asm.pop(Gpr::Rax);
        code.asm.lea(W::Q, Gpr::Rsp, at(Gpr::Rsp, dropped));
        match offset {
            STAY => code.asm.raw(&JMP_BELOW_STACK),
            _ => code.to(&JMP, thunk.return_call),
        }
    }
    code.pad_to(THUNK_BYTES);
    code.reach && code.asm.len() == THUNK_BYTES
}

/// What a trampoline refers to, all within 2 GiB of it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Where it will stand.
    pub at: u64,
    /// Its gate.
    pub gate: u64,
    /// Where it leads when it is done: [`way_out`], or [`way_out_of_thunk`].
    pub way_out: u64,
    /// What programs know the site by.
    pub key: u64,
    /// Where the traced function begins.
    pub start: u64,
    /// Whether its gate has had another site, so that somebody from there may come yet.
    pub moved: bool,
    /// Where runs take their lane; needed where a program [needs one](Needs::LANE).
    pub lane: Option<LanePlace>,
    /// Of programs at returns: what they find on the stack; `None` at entries.
    pub returns: Option<AtReturn>,
    /// At entries: what makes the call come back, where other programs wait for its return.
    pub take: Option<Take>,
}

/// How calls are made to come back.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    /// The routine that does it: called with the site in rax, above the return address the gate's rax, where the function goes on, and the
    /// slot. Equal where it has done so; else nothing is changed. It keeps every register.
    pub routine: u64,
    /// The site, and 1 more where the function is called above the pad.
    pub site: u64,
}

/// What the pad has on the stack when it calls the gate of a site, above its return address: the address of the call's frame, then
/// rdi, rsi, rdx, rcx and rax as the function left them, and the slot.
#[derive(Clone, Copy, Debug)]
pub struct AtReturn {
    /// One more than the largest id of the programs: a call that was entered before one of them came goes the general way.
    pub since: i32,
    /// Offset in the frame of the word that is compared with it.
    pub bound: i32,
    /// Offset in the frame of the arguments.
    pub arguments: i32,
    /// Offset in the frame of where the call returns to.
    pub home: i32,
    /// The routine that says how long the call of the frame in rax has taken, in rax; it keeps all other registers.
    pub took: u64,
}

/// Bytes of the stack that the pad takes beside the gate's: the frame, five registers and the slot.
const PAD: u64 = 7 * 8;
/// Bytes of the stack that the routine takes that makes calls come back, its return address included, and that which says how long one took.
const TAKE: u64 = 6 * 8;
const TOOK: u64 = 3 * 8;
/// Where things are when a trampoline begins, above the gate's rax: the slot at an entry; at a return the frame, the registers that the pad has
/// saved, and the slot.
const SLOT_AT_ENTRY: i32 = 16;
const FRAME_AT: i32 = 16;
const RESULT_AT: i32 = 56;
const SLOT_AT_RETURN: i32 = 64;
const SAVED_BY_PAD: [(Gpr, i32); 5] =
    [(Gpr::Rdi, 24), (Gpr::Rsi, 32), (Gpr::Rdx, 40), (Gpr::Rcx, 48), (Gpr::Rax, RESULT_AT)];

/// Code at a known address. Remembers whether something was out of reach.
struct Placed<'b> {
    asm: Asm<'b>,
    at: u64,
    reach: bool,
}

impl Placed<'_> {
    /// An instruction that ends in a 32-bit distance to `target`.
    fn to(&mut self, opcode: &[u8], target: u64) {
        self.asm.raw(opcode);
        let end = self.at.wrapping_add(self.asm.len() as u64).wrapping_add(4);
        let distance = i32::try_from(target.wrapping_sub(end) as i64);
        self.reach &= distance.is_ok();
        self.asm.raw(&distance.unwrap_or(0).to_le_bytes());
    }

    fn pad_to(&mut self, offset: usize) {
        while self.asm.len() < offset {
            self.asm.raw(&[0xcc]);
        }
    }
}

const INC: [u8; 3] = [0x48, 0xff, 0x05];
const DEC: [u8; 3] = [0x48, 0xff, 0x0d];
const INC_AT_RAX: [u8; 3] = [0x48, 0xff, 0x80];
const DEC_AT_RAX: [u8; 3] = [0x48, 0xff, 0x88];
const LOCK: [u8; 1] = [0xf0];
const RAX_FROM_SEGMENT: [u8; 4] = [0x48, 0x8b, 0x04, 0x25];
const RAX_FROM_MEMORY: [u8; 3] = [0x48, 0x8b, 0x05];
/// With memory.
const CMP_RAX: [u8; 3] = [0x48, 0x3b, 0x05];
/// With 32 bits of offset in fs, and one byte.
const CMP_OF_THREAD: [u8; 5] = [0x64, 0x48, 0x83, 0x3c, 0x25];
const JMP_MEMORY: [u8; 2] = [0xff, 0x25];
const JMP: [u8; 1] = [0xe9];
const CALL: [u8; 1] = [0xe8];
/// With 32 bits, of which the sign fills the upper half; and that half with its own.
const PUSH_IMM: [u8; 1] = [0x68];
const MOV_UPPER_HALF: [u8; 4] = [0xc7, 0x44, 0x24, 0x04];
const JMP_BELOW_STACK: [u8; 4] = [0xff, 0x64, 0x24, 0xf8];
const JNE: [u8; 2] = [0x0f, 0x85];
/// With 32 bits of the key; the gate has put rax above the return address.
const CMP_RETURN_ADDRESS: [u8; 4] = [0x81, 0x7c, 0x24, 0x08];

const JE: [u8; 2] = [0x0f, 0x84];
const JB: [u8; 2] = [0x0f, 0x82];
/// With 32 bits of offset, and 32 of the number.
const CMP_AT_RAX: [u8; 3] = [0x48, 0x81, 0xb8];
/// With 32 bits of offset from rsp, or from rax.
const RAX_FROM_STACK: [u8; 4] = [0x48, 0x8b, 0x84, 0x24];
const PUSH_FROM_STACK: [u8; 3] = [0xff, 0xb4, 0x24];
const PUSH_AT_RAX: [u8; 2] = [0xff, 0xb0];

/// An instruction with one operand in memory: opcode, and what stands in place of a register.
struct LaneOp {
    opcode: &'static [u8],
    digit: u8,
}
const AT_RAX: u8 = 0x80;
const AT_RIP: u8 = 0x05;
/// With one byte of 0 behind it.
const CMP_ZERO: LaneOp = LaneOp { opcode: &[0x48, 0x83], digit: 7 };
/// With four bytes behind it.
const MOV_IMM: LaneOp = LaneOp { opcode: &[0x48, 0xc7], digit: 0 };
const PUSH: LaneOp = LaneOp { opcode: &[0xff], digit: 6 };
const POP: LaneOp = LaneOp { opcode: &[0x8f], digit: 0 };

/// A counter's step, as an instruction.
#[derive(Clone, Copy)]
enum CounterStep {
    Enter,
    Leave,
    TakeBack,
}

impl Placed<'_> {
    /// Counts; with counters of its own rax holds the address of their block.
    fn count(&mut self, counters: Counters, step: CounterStep) {
        match counters {
            Counters::Shared { entered, left, locked } => {
                self.asm.raw(if locked { &LOCK } else { &[] });
                match step {
                    CounterStep::Enter => self.to(&INC, entered),
                    CounterStep::Leave => self.to(&INC, left),
                    CounterStep::TakeBack => self.to(&DEC, entered),
                }
            }
            Counters::Own { entered, left, .. } => {
                let (opcode, offset) = match step {
                    CounterStep::Enter => (INC_AT_RAX, entered),
                    CounterStep::Leave => (INC_AT_RAX, left),
                    CounterStep::TakeBack => (DEC_AT_RAX, entered),
                };
                self.asm.raw(&opcode);
                self.asm.raw(&offset.to_le_bytes());
            }
        }
    }

    fn find_block(&mut self, counters: Counters) {
        if let Counters::Own { owner, offset, .. } = counters {
            self.load_block(owner, offset);
        }
    }

    /// Jumps ahead where the engine's own control path may run. Changes rax.
    fn skip_if_own(&mut self, mark: OwnMark) -> Forward {
        match mark {
            OwnMark::OfThread { offset } => {
                self.asm.raw(&CMP_OF_THREAD);
                self.asm.raw(&offset.to_le_bytes());
                self.asm.raw(&[0]);
                self.asm.skip_if(Cc::Ne)
            }
            OwnMark::Same { running, own } => {
                self.to(&RAX_FROM_MEMORY, running);
                self.to(&CMP_RAX, own);
                self.asm.skip_if(Cc::E)
            }
        }
    }

    /// rax = what lies so far above the stack pointer.
    fn load_from_stack(&mut self, offset: i32) {
        self.asm.raw(&RAX_FROM_STACK);
        self.asm.raw(&offset.to_le_bytes());
    }

    /// rax = the address of the block of the thread or CPU.
    fn load_block(&mut self, owner: Owner, offset: i32) {
        let prefix = match owner {
            Owner::Thread => 0x64,
            Owner::Cpu => 0x65,
        };
        self.asm.raw(&[prefix]);
        self.asm.raw(&RAX_FROM_SEGMENT);
        self.asm.raw(&offset.to_le_bytes());
    }

    /// An instruction on the word of the lane, with what follows its operand. rax holds the address of the block.
    fn lane_op(&mut self, op: &LaneOp, place: LanePlace, behind: &[u8]) {
        self.asm.raw(op.opcode);
        let (mode, disp) = match place {
            LanePlace::Own { word, .. } => (AT_RAX, word),
            LanePlace::Shared(address) => {
                let end = self.at.wrapping_add((self.asm.len() + 5 + behind.len()) as u64);
                let distance = i32::try_from(address.wrapping_sub(end) as i64);
                self.reach &= distance.is_ok();
                (AT_RIP, distance.unwrap_or(0))
            }
        };
        self.asm.raw(&[mode | op.digit << 3]);
        self.asm.raw(&disp.to_le_bytes());
        self.asm.raw(behind);
    }
}

/// Writes a gate; false when something is out of its reach or `out` is shorter than [`GATE_BYTES`].
///
/// A trampoline finds rax on the stack, where the gate has put it, and takes it off again on its way out. A block that a thread
/// has is never taken from it, so that one look for it is enough.
pub fn write_gate(out: &mut [u8], gate: Gate) -> bool {
    if out.len() < GATE_BYTES {
        return false;
    }
    let mut code = Placed { asm: Asm::new(out), at: gate.at, reach: true };
    let own = matches!(gate.counters, Counters::Own { .. });
    code.asm.push(Gpr::Rax);
    code.find_block(gate.counters);
    let elsewhere = match gate.own {
        _ if own => {
            code.asm.test_rr(W::Q, Gpr::Rax, Gpr::Rax);
            Some(code.asm.skip_if(Cc::E))
        }
        Some(mark) => Some(code.skip_if_own(mark)),
        None => None,
    };
    code.count(gate.counters, CounterStep::Enter);
    code.to(&JMP_MEMORY, gate.target);
    code.pad_to(LEAVE as usize);
    code.find_block(gate.counters);
    code.count(gate.counters, CounterStep::Leave);
    code.asm.pop(Gpr::Rax);
    code.asm.ret();
    code.pad_to(GENERAL as usize);
    code.count(gate.counters, CounterStep::TakeBack);
    if let Some(elsewhere) = elsewhere {
        code.asm.land(elsewhere);
    }
    code.asm.pop(Gpr::Rax);
    code.to(&JMP, gate.general);
    code.pad_to(GATE_BYTES);
    code.reach && code.asm.len() == GATE_BYTES
}

/// Writes a trampoline that runs `programs` in order and gives its length; what does not fit into `out` is only counted.
/// `None` when something is out of reach.
pub fn write(out: &mut [u8], around: Surroundings, programs: &[Direct]) -> Option<usize> {
    let mut code = Placed { asm: Asm::new(out), at: around.at, reach: true };
    if around.moved {
        // Return addresses that reach one gate differ in their low halves.
        code.asm.raw(&CMP_RETURN_ADDRESS);
        code.asm.raw(&(around.key as u32).to_le_bytes());
        code.to(&JNE, general_way(around.gate));
    }
    if let Some(at) = around.returns {
        code.load_from_stack(FRAME_AT);
        code.asm.raw(&CMP_AT_RAX);
        code.asm.raw(&at.bound.to_le_bytes());
        code.asm.raw(&at.since.to_le_bytes());
        if let Some(LanePlace::Own { owner, offset, .. }) = around.lane {
            code.load_block(owner, offset);
        }
        code.to(&JB, general_way(around.gate));
    }
    let lane = around.lane.filter(|_| need_lane(programs));
    if let Some(place) = lane {
        // The gate has left the block's address in rax. Who interrupts a run that has the lane finds none.
        code.lane_op(&CMP_ZERO, place, &[0]);
        code.to(&JE, general_way(around.gate));
    }
    // The last that may send a call the general way.
    if let Some(take) = around.take {
        code.asm.mov_ri(Gpr::Rax, take.site);
        code.to(&CALL, take.routine);
        if let Some(LanePlace::Own { owner, offset, .. }) = around.lane {
            code.load_block(owner, offset);
        }
        code.to(&JNE, general_way(around.gate));
    }
    let changed = changed(around, programs);
    saved(changed).for_each(|reg| code.asm.push(reg));
    write_calls(&mut code, around, programs, changed);
    saved(changed).rev().for_each(|reg| code.asm.pop(reg));
    code.to(&JMP, around.way_out);
    code.reach.then_some(code.asm.len())
}

/// Longest code of a program that is copied into a trampoline, in bytes.
const LONGEST_INLINE: usize = 96;

/// All registers but the stack pointer and rax, which the gate has saved.
const ALL: [Gpr; 14] = [
    Gpr::Rcx,
    Gpr::Rdx,
    Gpr::Rsi,
    Gpr::Rdi,
    Gpr::R8,
    Gpr::R9,
    Gpr::R10,
    Gpr::R11,
    Gpr::Rbx,
    Gpr::Rbp,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
];

fn need_lane(programs: &[Direct]) -> bool {
    programs.iter().any(|program| program.needs.contains(Needs::LANE))
}

/// What takes a lane has it on the stack during the calls. It comes between two instructions of another one that takes it, or after both: then
/// it leaves the lane as it has found it. `changed` are the registers that were saved.
fn write_calls(code: &mut Placed<'_>, around: Surroundings, programs: &[Direct], changed: u16) {
    let lane = around.lane.filter(|_| need_lane(programs));
    if let Some(place) = lane {
        code.lane_op(&PUSH, place, &[]);
        code.lane_op(&MOV_IMM, place, &[0; 4]);
    }
    let pushed = saved(changed).count().wrapping_add(usize::from(lane.is_some())) as i32;
    for (index, program) in programs.iter().enumerate() {
        ProgramCall { code, around, program, changed, pushed }.write(index == 0);
    }
    if let Some(place) = lane {
        if let LanePlace::Own { owner, offset, .. } = place {
            code.load_block(owner, offset);
        }
        code.lane_op(&POP, place, &[]);
    }
}

/// Registers that are changed and have to be saved, one bit each.
fn changed(around: Surroundings, programs: &[Direct]) -> u16 {
    let mut body = Placed { asm: Asm::default(), at: around.at, reach: true };
    write_calls(&mut body, around, programs, 0);
    let by_pad = SAVED_BY_PAD.iter().filter(|_| around.returns.is_some());
    let by_pad = by_pad.fold(0, |saved, (register, _)| saved | 1 << register.number());
    let changed = body.asm.writes() & !by_pad;
    match planted::active(Bug::LostRegister) {
        true => changed & !(1 << Gpr::Rbx.number()),
        false => changed,
    }
}

fn saved(changed: u16) -> impl DoubleEndedIterator<Item = Gpr> {
    ALL.into_iter().filter(move |reg| changed & 1 << reg.number() != 0)
}

/// Bytes of the traced function's stack that programs take, the return address of its call included.
pub fn stack_bytes(around: Surroundings, programs: &[Direct]) -> u64 {
    const WORD: u64 = 8;
    // The return address, and rax.
    const GATE: u64 = 2 * WORD;
    // The number, the return address, and what the tracer's routine keeps.
    const HELPER: u64 = 10 * WORD;
    // The number, the return address, and what a routine that needs no more keeps.
    const ROUTINE: u64 = 6 * WORD;
    let of = |program: &Direct| {
        let words = argument_words(program).len().wrapping_add(site_words(program)) as u64;
        let helper = match program.needs {
            needs if needs.contains(Needs::HELPERS) => HELPER,
            needs if needs.intersects(Needs::OUTPUT | Needs::TIME | Needs::RECORDS) => ROUTINE,
            _ => 0,
        };
        let run = WORD.saturating_add(helper).max(TOOK);
        program.stack.saturating_add(words.saturating_mul(WORD)).saturating_add(run)
    };
    let most = programs.iter().map(of).fold(0, u64::max);
    let saved = saved(changed(around, programs)).count() as u64;
    let lane = if need_lane(programs) { WORD } else { 0 };
    let pad = around.returns.map_or(0, |_| PAD);
    let take = around.take.map_or(0, |_| TAKE);
    let runs = saved.saturating_mul(WORD).saturating_add(lane).saturating_add(most).max(take);
    GATE.saturating_add(pad).saturating_add(runs)
}

/// Whether r10 must be the end of a frame.
fn has_frame(program: &Direct) -> bool {
    program.stack > 0 || program.needs.contains(Needs::FRAME)
}

/// Words above the frame that say of the site what the program asks for.
fn site_words(program: &Direct) -> usize {
    if program.needs.contains(Needs::SITE) {
        2
    } else {
        0
    }
}

/// What stands in a word of an argument.
enum Word {
    Zero,
    Key,
    /// A register as the function has left it.
    Register(Gpr),
    /// What the function was given.
    Argument(usize),
    /// Where the function returns to.
    Home,
    /// The stack pointer: at an entry as it was called, at a return as the caller has it.
    Stack,
    /// How long the call took.
    Took,
}

/// The registers in the order of Linux; those that are not known are 0.
const IN_ORDER: [Option<Gpr>; 15] = [
    None,
    None,
    None,
    None,
    Some(Gpr::Rbp),
    Some(Gpr::Rbx),
    Some(Gpr::R11),
    Some(Gpr::R10),
    Some(Gpr::R9),
    Some(Gpr::R8),
    Some(Gpr::Rax),
    Some(Gpr::Rcx),
    Some(Gpr::Rdx),
    Some(Gpr::Rsi),
    Some(Gpr::Rdi),
];
const ARGUMENTS: [Gpr; 6] = [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::Rcx, Gpr::R8, Gpr::R9];

impl Word {
    fn of(given: Given, at_return: bool, index: usize) -> Word {
        let register = |register: Option<&Gpr>| register.map_or(Word::Zero, |&register| Word::Register(register));
        match (given, index, at_return) {
            (Given::Call, 0, _) | (Given::Registers, 16, false) => Word::Key,
            (Given::Call, 1, true) => Word::Register(Gpr::Rax),
            (Given::Call, 2..=7, true) => Word::Argument(index.wrapping_sub(2)),
            (Given::Call, 8, true) => Word::Took,
            (Given::Registers, 16, true) => Word::Home,
            (Given::Registers, 19, _) => Word::Stack,
            (Given::Registers, ..) => register(IN_ORDER.get(index).and_then(Option::as_ref)),
            (Given::Arguments(_), _, false) => register(ARGUMENTS.get(index)),
            (Given::Arguments(count), _, true) if index < count.into() => Word::Argument(index),
            (Given::Arguments(count), _, true) if index == count.into() => Word::Register(Gpr::Rax),
            (Given::Call, ..) | (Given::Arguments(_), _, true) => Word::Zero,
        }
    }
}

/// A program that a trampoline calls. `pushed` are the words that lie between the gate's rax and its own.
struct ProgramCall<'c, 'b, 'p> {
    code: &'c mut Placed<'b>,
    around: Surroundings,
    program: &'p Direct,
    changed: u16,
    pushed: i32,
}

impl ProgramCall<'_, '_, '_> {
    /// On the stack what it asks of the site; the frame, as far as the program may look: zeros; then of the argument the words that it looks at, the
    /// last one first.
    fn write(mut self, first: bool) {
        self.tell_of_site();
        let (around, program) = (self.around, self.program);
        let frame = (program.stack / 8) as i32;
        let words = argument_words(program);
        let below = frame.wrapping_add(words.len() as i32);
        let all = below.wrapping_add(site_words(program) as i32);
        let of = |index: usize| Word::of(program.given, around.returns.is_some(), index);
        let last_zeros = words.clone().rev().take_while(|&n| matches!(of(n), Word::Zero)).count();
        let told = words.start..words.end.wrapping_sub(last_zeros);
        let zeros = frame.wrapping_add(last_zeros as i32);
        if zeros > 0 {
            self.code.asm.alu_rr(W::D, Alu::Xor, Gpr::Rax, Gpr::Rax);
            let dirty = planted::active(Bug::DirtyArgument);
            let filler = if dirty { Gpr::Rcx } else { Gpr::Rax };
            (0..zeros).for_each(|_| self.code.asm.push(filler));
            self.pushed = self.pushed.wrapping_add(zeros);
        }
        for index in told.rev() {
            self.push(of(index));
        }
        let ProgramCall { code, .. } = self;
        if !words.is_empty() && (first || !planted::active(Bug::OneArgument)) {
            match words.start {
                0 => code.asm.mov_rr(W::Q, Gpr::Rdi, Gpr::Rsp),
                first => code.asm.lea(W::Q, Gpr::Rdi, at(Gpr::Rsp, (first as i32).wrapping_mul(-8))),
            }
        }
        if program.reads_length {
            code.asm.mov_ri(Gpr::Rsi, program.given.length() as u64);
        }
        if has_frame(program) {
            code.asm.lea(W::Q, Gpr::Rbp, at(Gpr::Rsp, 8 * below));
        }
        if program.needs.contains(Needs::LANE) {
            // The lane's word is that of the first block and one step.
            code.asm.mov_ri(Gpr::R9, program.block.wrapping_sub(LANE_STEP));
            code.asm.alu_rm(W::Q, Alu::Add, Gpr::R9, at(Gpr::Rsp, 8 * all));
        } else if program.block != 0 {
            code.asm.mov_ri(Gpr::R9, program.block);
        }
        code.asm.also_writes(program.clobbers);
        if (1..=LONGEST_INLINE).contains(&program.inline) {
            // SAFETY: a program's code stays readable and as it is for as long as the program lives, which the caller holds.
            code.asm.raw(unsafe { slice::from_raw_parts(program.code.get() as *const u8, program.inline) });
        } else {
            code.to(&CALL, program.code.get() as u64);
        }
        if all > 0 {
            code.asm.alu_ri(W::Q, Alu::Add, Gpr::Rsp, 8 * all);
        }
    }

    /// Where the function begins lies lowest, at the end of the frame.
    fn tell_of_site(&mut self) {
        let words = [self.program.cookie, self.around.start];
        for word in words.into_iter().take(site_words(self.program)) {
            self.code.asm.mov_ri(Gpr::Rax, word);
            self.code.asm.push(Gpr::Rax);
            self.pushed = self.pushed.wrapping_add(1);
        }
    }

    /// How far what stands so far above the gate's rax is from the stack pointer.
    fn above(&self, offset: i32) -> i32 {
        offset.wrapping_add(self.pushed.wrapping_mul(8))
    }

    fn push_from_stack(&mut self, offset: i32) {
        self.code.asm.raw(&PUSH_FROM_STACK);
        self.code.asm.raw(&offset.to_le_bytes());
    }

    /// A word of the call's frame.
    fn push_from_frame(&mut self, offset: i32) {
        self.code.load_from_stack(self.above(FRAME_AT));
        self.code.asm.raw(&PUSH_AT_RAX);
        self.code.asm.raw(&offset.to_le_bytes());
    }

    /// Pushes a word; changes rax.
    fn push(&mut self, word: Word) {
        match (word, self.around.returns) {
            (Word::Key, _) => {
                self.code.asm.mov_ri(Gpr::Rax, self.around.key);
                self.code.asm.push(Gpr::Rax);
            }
            (Word::Register(register), at_return) => self.push_register(register, at_return.is_some()),
            (Word::Stack, at_return) => {
                // A caller has the return address off its stack.
                let slot = at_return.map_or(SLOT_AT_ENTRY, |_| SLOT_AT_RETURN.wrapping_add(8));
                self.code.asm.lea(W::Q, Gpr::Rax, at(Gpr::Rsp, self.above(slot)));
                self.code.asm.push(Gpr::Rax);
            }
            (Word::Argument(n), Some(at)) => {
                self.push_from_frame(at.arguments.wrapping_add((n as i32).wrapping_mul(8)))
            }
            (Word::Home, Some(at)) => self.push_from_frame(at.home),
            (Word::Took, Some(at)) => {
                self.code.load_from_stack(self.above(FRAME_AT));
                self.code.to(&CALL, at.took);
                self.code.asm.push(Gpr::Rax);
            }
            (Word::Zero | Word::Argument(_) | Word::Home | Word::Took, _) => self.code.asm.push_imm(0),
        }
        self.pushed = self.pushed.wrapping_add(1);
    }

    /// A register of the function: where it was saved, or as it is.
    fn push_register(&mut self, register: Gpr, at_return: bool) {
        let by_pad = SAVED_BY_PAD.iter().find(|(saved, _)| at_return && *saved == register);
        let by_gate = (register == Gpr::Rax).then_some(&(Gpr::Rax, 0));
        if let Some(&(_, offset)) = by_pad.or(by_gate) {
            return self.push_from_stack(self.above(offset));
        }
        match saved(self.changed).position(|saved| saved == register) {
            // The first one below the gate's rax, the others below it.
            Some(place) => self.push_from_stack(self.above((place as i32).wrapping_add(1).wrapping_mul(-8))),
            None => self.code.asm.push(register),
        }
    }
}
