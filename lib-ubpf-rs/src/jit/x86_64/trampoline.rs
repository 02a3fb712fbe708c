//! Code between a traced function and the programs attached there, for programs that need nothing but their argument.
//!
//! Two pieces per site. The *gate* is what the site calls; it is never freed and leads wherever its slot says. The
//! *trampoline* calls the programs, and is replaced whenever they change. A gate counts who goes into trampolines and who comes
//! out, so that one is freed only when nobody is in it: also the instructions before the first and after the last count are the
//! gate's.
//!
//! Such programs call nothing that could be traced, so one may run while another hook runs: nothing is claimed, and nobody is turned away.

pub use crate::jit::surroundings::{call_helper_directly, Helpers};

use super::asm::{at, Alu, Asm, Cc, W};
use super::regs::Gpr;
use crate::{
    helpers::Needs,
    jit::{context::Context, surroundings::argument_words},
    platform::Owner,
    verifier::planted::{self, Bug},
    vm::Direct,
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
pub const LANE_STEP: u64 = size_of::<Context>() as u64;

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

/// What a trampoline refers to, all within 2 GiB of it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Where it will stand.
    pub at: u64,
    /// Its gate.
    pub gate: u64,
    /// What programs know the site by.
    pub key: u64,
    /// Whether its gate has had another site, so that somebody from there may come yet.
    pub moved: bool,
    /// Length of the argument that programs are told.
    pub argument_len: u32,
    /// Where runs take their lane; needed where a program [needs one](Needs::LANE).
    pub lane: Option<LanePlace>,
    /// Of programs at returns: what they find on the stack; `None` at entries.
    pub returns: Option<AtReturn>,
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
}

/// Bytes of the stack that the pad takes beside the gate's: the frame, five registers and the slot.
const PAD: u64 = 7 * 8;
/// Where the frame and the result are when a trampoline begins, above the gate's rax.
const FRAME_AT: i32 = 16;
const RESULT_AT: i32 = 56;

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
const JMP_MEMORY: [u8; 2] = [0xff, 0x25];
const JMP: [u8; 1] = [0xe9];
const CALL: [u8; 1] = [0xe8];
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
enum Step {
    Enter,
    Leave,
    TakeBack,
}

impl Placed<'_> {
    /// Counts; with counters of its own rax holds the address of their block.
    fn count(&mut self, counters: Counters, step: Step) {
        match counters {
            Counters::Shared { entered, left, locked } => {
                self.asm.raw(if locked { &LOCK } else { &[] });
                match step {
                    Step::Enter => self.to(&INC, entered),
                    Step::Leave => self.to(&INC, left),
                    Step::TakeBack => self.to(&DEC, entered),
                }
            }
            Counters::Own { entered, left, .. } => {
                let (opcode, offset) = match step {
                    Step::Enter => (INC_AT_RAX, entered),
                    Step::Leave => (INC_AT_RAX, left),
                    Step::TakeBack => (DEC_AT_RAX, entered),
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
    let none = own.then(|| {
        code.asm.test_rr(W::Q, Gpr::Rax, Gpr::Rax);
        code.asm.skip_if(Cc::E)
    });
    code.count(gate.counters, Step::Enter);
    code.to(&JMP_MEMORY, gate.target);
    code.pad_to(LEAVE as usize);
    code.find_block(gate.counters);
    code.count(gate.counters, Step::Leave);
    code.asm.pop(Gpr::Rax);
    code.asm.ret();
    code.pad_to(GENERAL as usize);
    code.count(gate.counters, Step::TakeBack);
    if let Some(none) = none {
        code.asm.land(none);
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
    let changed = changed(around, programs);
    saved(changed).for_each(|reg| code.asm.push(reg));
    write_calls(&mut code, around, programs, saved(changed).count() as i32);
    saved(changed).rev().for_each(|reg| code.asm.pop(reg));
    code.to(&JMP, around.gate.wrapping_add(LEAVE));
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
/// it leaves the lane as it has found it.
fn write_calls(code: &mut Placed<'_>, around: Surroundings, programs: &[Direct], mut pushed: i32) {
    let lane = around.lane.filter(|_| need_lane(programs));
    if let Some(place) = lane {
        code.lane_op(&PUSH, place, &[]);
        code.lane_op(&MOV_IMM, place, &[0; 4]);
        pushed = pushed.wrapping_add(1);
    }
    for (index, program) in programs.iter().enumerate() {
        write_call(code, around, program, index == 0, pushed);
    }
    if let Some(place) = lane {
        if let LanePlace::Own { owner, offset, .. } = place {
            code.load_block(owner, offset);
        }
        code.lane_op(&POP, place, &[]);
    }
}

/// Registers that are changed, one bit each.
fn changed(around: Surroundings, programs: &[Direct]) -> u16 {
    let mut body = Placed { asm: Asm::default(), at: around.at, reach: true };
    write_calls(&mut body, around, programs, 0);
    let changed = body.asm.writes();
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
    let of = |program: &Direct| {
        let argument = argument_words(program);
        let helper = if program.needs.contains(Needs::HELPERS) { HELPER } else { 0 };
        program.stack.saturating_add(argument.saturating_mul(WORD)).saturating_add(WORD).saturating_add(helper)
    };
    let most = programs.iter().map(of).fold(0, u64::max);
    let saved = saved(changed(around, programs)).count() as u64;
    let lane = if need_lane(programs) { WORD } else { 0 };
    let pad = around.returns.map_or(0, |_| PAD);
    GATE.saturating_add(pad).saturating_add(saved.saturating_mul(WORD)).saturating_add(lane).saturating_add(most)
}

/// Whether r10 must be the end of a frame.
fn has_frame(program: &Direct) -> bool {
    program.stack > 0 || program.needs.contains(Needs::FRAME)
}

/// On the stack the frame, as far as the program may look, then the argument: zeros likewise, or what is known of a call that returns, then the
/// key. `pushed` are the words that lie between the gate's rax and them.
fn write_call(code: &mut Placed<'_>, around: Surroundings, program: &Direct, first: bool, pushed: i32) {
    let frame = (program.stack / 8) as i32;
    let words = argument_words(program) as i32;
    let all = frame.wrapping_add(words);
    let told = around.returns.map_or(0, |_| words.wrapping_sub(1).max(0));
    let zeros = all.wrapping_sub(i32::from(words > 0)).wrapping_sub(told);
    if zeros > 0 {
        code.asm.alu_rr(W::D, Alu::Xor, Gpr::Rax, Gpr::Rax);
        let dirty = planted::active(Bug::DirtyArgument);
        let filler = if dirty { Gpr::Rcx } else { Gpr::Rax };
        (0..zeros).for_each(|_| code.asm.push(filler));
    }
    if let Some(at) = around.returns {
        for word in (1..=told).rev() {
            let below = 8 * pushed.wrapping_add(all).wrapping_sub(1).wrapping_sub(word);
            match word {
                1 => code.asm.raw(&PUSH_FROM_STACK),
                _ => code.load_from_stack(FRAME_AT.wrapping_add(below)),
            }
            match word {
                1 => code.asm.raw(&RESULT_AT.wrapping_add(below).to_le_bytes()),
                _ => {
                    code.asm.raw(&PUSH_AT_RAX);
                    code.asm.raw(&at.arguments.wrapping_add(8 * (word - 2)).to_le_bytes());
                }
            }
        }
    }
    if words > 0 {
        code.asm.mov_ri(Gpr::Rax, around.key);
        code.asm.push(Gpr::Rax);
        if first || !planted::active(Bug::OneArgument) {
            code.asm.mov_rr(W::Q, Gpr::Rdi, Gpr::Rsp);
        }
    }
    if program.reads_length {
        code.asm.mov_ri(Gpr::Rsi, u64::from(around.argument_len));
    }
    if has_frame(program) {
        code.asm.lea(W::Q, Gpr::Rbp, at(Gpr::Rsp, 8 * all));
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
