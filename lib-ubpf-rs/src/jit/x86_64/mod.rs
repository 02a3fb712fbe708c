//! The x86-64 compiler and what runs its code.
//!
//! Emitted code is called with r9 = context, r12 = budget, rbp = end of the program's stack, rdi and rsi = r1 and r2; it gives
//! r0 in rax. It may change every register but rsp, r9 and, where nothing is metered, r12.

mod asm;
mod context;
mod emit;
mod linked;
#[cfg(all(test, target_os = "linux"))]
mod maps_tests;
mod regs;
mod surroundings;
#[cfg(test)]
mod tests;
pub mod trampoline;

use super::{analysis, JitError, Options};
use crate::{
    helpers::{needs_of_call, Inline, Needs, Places, RingLayout},
    isa::{Call, Insn, Reg},
    maps::{Maps, TwoKeyLayout},
    platform::{Cancelled, ExecBlock, ExecMemory, Ticks},
    verifier::{Uses, VerifiedProgram, Work},
    vm::{
        begin, call_helper, proofs_hold, AccessKind, Called, CodeAddress, Direct, Executable, Interpreter, Metering,
        Reserve, Run, Slices, Stop, StopKind, AT_A_STRETCH, ENDLESS, FRAME_BYTES, STACK_BYTES,
    },
};
use alloc::{sync::Arc, vec::Vec};
use context::{stop, Context, Routines, Window, BIAS};
use core::{
    arch::{global_asm, x86_64::__cpuid, x86_64::__cpuid_count},
    mem::offset_of,
    slice,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};
use emit::{Draft, Registers, StopSites, Style};
use linked::fingerprint;
pub use linked::{Ahead, LinkedProgram};

extern "sysv64" {
    fn ubpf_jit_enter(context: *mut Context, code: usize) -> u64;
}
extern "C" {
    // Not to be called from Rust: emitted code reaches them with arguments in registers of its own.
    fn ubpf_jit_helper();
    fn ubpf_jit_helper_keep();
    fn ubpf_jit_map_get();
    fn ubpf_jit_map_put();
    fn ubpf_jit_map_add();
    fn ubpf_jit_notify();
    fn ubpf_jit_time();
    #[cfg(test)]
    fn ubpf_jit_end();
    fn ubpf_jit_stop_budget();
    fn ubpf_jit_refill();
    fn ubpf_jit_stop_depth();
    fn ubpf_jit_stop_unaligned();
    fn ubpf_jit_load_1();
    fn ubpf_jit_load_2();
    fn ubpf_jit_load_4();
    fn ubpf_jit_load_8();
    fn ubpf_jit_store_1();
    fn ubpf_jit_store_2();
    fn ubpf_jit_store_4();
    fn ubpf_jit_store_8();
}

global_asm!(
    include_str!("shared.S"),
    BIAS = const BIAS,
    SAVED_RSP = const offset(offset_of!(Context, saved_rsp)),
    BUDGET = const offset(offset_of!(Context, budget)),
    TOP = const offset(offset_of!(Context, top)),
    ARGS = const offset(offset_of!(Context, args)),
    STOP = const offset(offset_of!(Context, stop)),
    STOP_AT = const offset(offset_of!(Context, stop_at)),
    STOP_ADDR = const offset(offset_of!(Context, stop_addr)),
    HELPER_RSP = const offset(offset_of!(Context, helper_rsp)),
    FRAME = const offset(offset_of!(Context, frame)),
    CALL = const offset(offset_of!(Context, call)),
    REFILL = const offset(offset_of!(Context, refill)),
    ARGUMENT = const offset(offset_of!(Context, argument)),
    ARENA = const offset(offset_of!(Context, arena)),
    RODATA = const offset(offset_of!(Context, rodata)),
    VALUES = const offset(offset_of!(Context, values)),
    VALUES_WRITABLE = const offset(offset_of!(Context, values_writable)),
    VALUES_ALL = const offset(offset_of!(Context, values_all)),
    RECORDS = const offset(offset_of!(Context, records)),
    RECORDS_HELD = const offset(offset_of!(Context, records_held)),
    WINDOW_BYTES = const size_of::<Window>(),
    RING_SLOTS = const offset(offset_of!(Context, output) + offset_of!(RingLayout, slots)),
    RING_MASK = const offset(offset_of!(Context, output) + offset_of!(RingLayout, mask)),
    RING_HEAD = const offset(offset_of!(Context, output) + offset_of!(RingLayout, head)),
    RING_LOST = const offset(offset_of!(Context, output) + offset_of!(RingLayout, lost)),
    RECORD_TURN = const RingLayout::TURN,
    RECORD_TIME = const RingLayout::TIME,
    RECORD_KEY = const RingLayout::KEY,
    RECORD_KIND = const RingLayout::KIND,
    RECORD_NOTIFY = const RingLayout::NOTIFY,
    RECORD_BITS = const RingLayout::SLOT_BITS,
    TICKS_START = const offset(offset_of!(Context, ticks) + offset_of!(Ticks, start)),
    TICKS_SCALE = const offset(offset_of!(Context, ticks) + offset_of!(Ticks, scale)),
    STOP_NONE = const stop::NONE,
    STOP_MEMORY = const stop::MEMORY,
    STOP_BUDGET = const stop::BUDGET,
    STOP_DEPTH = const stop::DEPTH,
    STOP_UNALIGNED = const stop::UNALIGNED,
    FRAME_BYTES = const FRAME_BYTES,
);

// Inline code of kinds of maps: a file per kind.
global_asm!(
    // The last, with the end of all of them.
    include_str!("two_key.S"),
    MAP = const offset(offset_of!(Context, map)),
    HELPER_KEEP = const offset(offset_of!(Context, routines) + offset_of!(Routines, helper_keep)),
    MAP_FACTOR = const TwoKeyLayout::FACTOR,
    MAP_FULL = const TwoKeyLayout::FULL,
    MAP_BUSY = const TwoKeyLayout::BUSY,
    MAP_VERSION = const TwoKeyLayout::VERSION,
);

/// Of a field, counted from where the context register points.
const fn offset(field: usize) -> isize {
    field as isize - BIAS as isize
}

fn address(routine: unsafe extern "C" fn()) -> usize {
    routine as *const () as usize
}

/// With inline helpers done by Rust, as all others.
fn routines() -> Routines {
    let helper = address(ubpf_jit_helper_keep);
    Routines {
        map_get: helper,
        map_put: helper,
        map_add: helper,
        notify: helper,
        time: helper,
        helper: address(ubpf_jit_helper),
        helper_keep: address(ubpf_jit_helper_keep),
        stop_budget: address(ubpf_jit_stop_budget),
        stop_depth: address(ubpf_jit_stop_depth),
        stop_unaligned: address(ubpf_jit_stop_unaligned),
        search: [
            address(ubpf_jit_load_1),
            address(ubpf_jit_load_2),
            address(ubpf_jit_load_4),
            address(ubpf_jit_load_8),
            address(ubpf_jit_store_1),
            address(ubpf_jit_store_2),
            address(ubpf_jit_store_4),
            address(ubpf_jit_store_8),
        ],
    }
}

/// With inline helpers done by routines of their own.
fn inline_routines() -> Routines {
    Routines {
        map_get: address(ubpf_jit_map_get),
        map_put: address(ubpf_jit_map_put),
        map_add: address(ubpf_jit_map_add),
        notify: address(ubpf_jit_notify),
        time: address(ubpf_jit_time),
        ..routines()
    }
}

/// Where what is written in `shared.S` starts and ends.
#[cfg(test)]
fn shared_code() -> (usize, usize) {
    (ubpf_jit_enter as *const () as usize, address(ubpf_jit_end))
}

/// Machine code to be looked at.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The code.
    pub bytes: Vec<u8>,
    /// Offset at which a run starts.
    pub entry: usize,
    /// Offset and PC where the code of an instruction starts, or what stands apart for it; ascending by offset.
    pub starts: Vec<(usize, usize)>,
}

impl Listing {
    /// What [`JitProgram::new`] makes of `program`, in plain memory; `None` where that runs out, or the work it takes is too much.
    pub fn new(program: &VerifiedProgram, options: Options) -> Option<Listing> {
        let mut work = Work::default();
        let draft = Draft::new(program, None, style(program, options), &mut work).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(draft.len()).ok()?;
        bytes.resize(draft.len(), 0);
        let mut starts = Vec::new();
        starts.try_reserve_exact(draft.starts().count()).ok()?;
        starts.extend(draft.starts());
        let (entry, _) = draft.write(&mut bytes, &mut work).ok()?;
        Some(Listing { bytes, entry, starts })
    }
}

fn style(program: &VerifiedProgram, options: Options) -> Style {
    Style {
        guard_all: options.guard_all,
        metered: options.metered || metered(program),
        bmi2: !options.baseline && has_bmi2(),
    }
}

/// Whether code has its charges in it: where they cannot be taken beforehand, and where it would otherwise run too long at a stretch.
fn metered(program: &VerifiedProgram) -> bool {
    program.worst_cost().is_none_or(|cost| cost > AT_A_STRETCH)
}

/// A program as machine code in executable memory, which it gives back when dropped.
pub struct JitProgram {
    /// Holds the program, and runs it where the code cannot.
    interpreter: Interpreter,
    /// Where the code came from, to be given back; `None` for code that is linked into the image.
    memory: Option<(&'static dyn ExecMemory, ExecBlock)>,
    at: usize,
    len: usize,
    entry: usize,
    sites: StopSites,
    registers: Registers,
    metered: bool,
    /// Every access is checked.
    guarded: bool,
    maps: Bound,
}

/// The maps whose addresses are in the code, and where their values lie.
#[derive(Default)]
struct Bound {
    maps: Option<Arc<Maps>>,
    /// Those that may be written first.
    windows: Vec<Window>,
    writable: usize,
}

impl Bound {
    /// Checks that the maps are as those that `program` was verified for.
    fn new(maps: Option<Arc<Maps>>, program: &VerifiedProgram) -> Result<Bound, JitError> {
        let Some(maps) = maps else {
            return program.maps().is_empty().then(Bound::default).ok_or(JitError::OtherMaps);
        };
        if !maps.iter().map(|map| map.def()).eq(program.maps()) {
            return Err(JitError::OtherMaps);
        }
        let mut windows = Vec::new();
        windows.try_reserve_exact(maps.windows().len()).map_err(|_| JitError::NoMemory)?;
        windows.extend(maps.windows().iter().map(|window| Window::new(window.base, window.len)));
        let writable = maps.windows().iter().filter(|window| window.writable).count();
        Ok(Bound { maps: Some(maps), windows, writable })
    }

    fn get(&self) -> Option<&Maps> {
        self.maps.as_deref()
    }

    /// Whether a run has the same ones.
    fn are_those_of(&self, run: &Run<'_>) -> bool {
        let address = |maps: &Maps| core::ptr::from_ref(maps);
        self.get().map(address) == run.memory.maps().map(address)
    }
}

impl JitProgram {
    /// Compiles `program`, which has no maps, into `memory`, on the account on which it was verified. A refusal gives the program back.
    #[allow(clippy::result_large_err)] // so that a program need not be copied to be interpreted instead
    pub fn new(
        program: VerifiedProgram,
        memory: &'static dyn ExecMemory,
        options: Options,
        work: &mut Work<'_>,
    ) -> Result<JitProgram, (JitError, VerifiedProgram)> {
        Self::with_maps(program, None, memory, options, work)
    }

    /// As [`new`](Self::new), for a program with maps: those that it was verified for, which are to be given to each run
    /// ([`Memory::with_maps`](crate::vm::Memory::with_maps)).
    #[allow(clippy::result_large_err)] // as above
    pub fn with_maps(
        program: VerifiedProgram,
        maps: Option<Arc<Maps>>,
        memory: &'static dyn ExecMemory,
        options: Options,
        work: &mut Work<'_>,
    ) -> Result<JitProgram, (JitError, VerifiedProgram)> {
        let maps = match Bound::new(maps, &program) {
            Ok(maps) => maps,
            Err(error) => return Err((error, program)),
        };
        let style = style(&program, options);
        match install(&program, maps.get(), memory, style, work) {
            Ok((block, len, entry, sites, registers)) => Ok(JitProgram {
                interpreter: Interpreter::plain(program),
                memory: Some((memory, block)),
                at: block.exec,
                len,
                entry,
                sites,
                registers,
                metered: style.metered,
                guarded: style.guard_all,
                maps,
            }),
            Err(error) => Err((error, program)),
        }
    }

    /// The program of a record, with the machine code that stands beside it. Refused, with the reason, when `program` is not what
    /// the code was made of, or when this CPU cannot run it.
    pub fn linked(program: VerifiedProgram, record: &LinkedProgram) -> Result<JitProgram, &'static str> {
        let style = record.style();
        if style.bmi2 && !has_bmi2() {
            return Err("it was compiled for CPUs with BMI2");
        }
        let bytes = [record.bytecode(), record.code()];
        if record.fingerprint != fingerprint(&program, style, bytes) {
            return Err("it was compiled by another version, or for other helpers than this image has");
        }
        let mut sites = Vec::new();
        let table = record.sites();
        sites.try_reserve_exact(table.len()).map_err(|_| "out of memory")?;
        sites.extend(table.iter().map(|&[end, pc]| (end, pc)));
        Ok(JitProgram {
            interpreter: Interpreter::plain(program),
            memory: None,
            at: record.code().as_ptr() as usize,
            len: record.code().len(),
            entry: record.entry as usize,
            sites,
            registers: record.registers(),
            metered: style.metered,
            guarded: style.guard_all,
            maps: Bound::default(),
        })
    }

    /// The machine code as it runs.
    pub fn code(&self) -> &[u8] {
        // SAFETY: `len` bytes of readable memory that this program owns, or that is linked into the image, and nobody writes any more.
        unsafe { slice::from_raw_parts(self.at as *const u8, self.len) }
    }

    /// Offset in [`code`](Self::code) at which a run starts.
    pub fn entry(&self) -> usize {
        self.entry
    }

    /// Whether the code counts the budget down; else its worst cost is taken before a run.
    pub fn metered(&self) -> bool {
        self.metered
    }

    /// Offsets in [`code`](Self::code) behind calls that may stop a run, with their PCs; ascending.
    pub fn stop_sites(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.sites.iter().map(|&(at, pc)| (at as usize, pc as usize))
    }

    /// The PC of the instruction whose emitted call returns to `address`.
    fn pc_at(&self, address: u64) -> usize {
        let at = (address as usize).wrapping_sub(self.at) as u32;
        let found = self.sites.binary_search_by_key(&at, |&(end, _)| end);
        let site = found.ok().and_then(|index| self.sites.get(index));
        site.map_or(self.verified().program().entry, |&(_, pc)| pc as usize)
    }

    /// Whether this run is one that the code was made for.
    fn fits(&self, run: &Run<'_>) -> bool {
        let stack = run.memory.stack();
        let verified = self.verified();
        stack.len == STACK_BYTES as u64
            && self.maps.are_those_of(run)
            && stack.base.is_multiple_of(8)
            && (self.guarded && self.metered || proofs_hold(verified, run))
            && (self.metered || verified.worst_cost().is_some_and(|worst| worst <= run.budget))
    }

    fn stopped(&self, context: &Context, run: &mut Run<'_>, by_helper: Option<HelperEnd>) -> Result<u64, Stop> {
        let pc = self.pc_at(context.stop_at);
        let insn = self.verified().program().insns.get(pc);
        let addr = context.stop_addr;
        let kind = match (context.stop, insn) {
            (stop::BUDGET, Some(insn)) => {
                run.budget = run.budget.wrapping_add(self.cost(pc, insn));
                StopKind::BudgetExhausted
            }
            (stop::DEPTH, _) => StopKind::CallDepth,
            (stop::CANCELLED, _) => StopKind::Cancelled,
            (stop::MEMORY, Some(insn)) => {
                let (access, size) = access(insn);
                StopKind::OutOfBounds { access, addr, size }
            }
            (stop::UNALIGNED, Some(insn)) => StopKind::Unaligned { addr, size: access(insn).1 },
            (stop::HELPER, _) => match by_helper {
                Some(HelperEnd::Ended) => return Ok(0),
                Some(HelperEnd::Stopped(kind)) => kind,
                None => StopKind::Internal,
            },
            _ => StopKind::Internal,
        };
        Err(Stop { pc, kind })
    }

    /// What the jump or local call at `pc` charges.
    fn cost(&self, pc: usize, insn: &Insn) -> u64 {
        if let Insn::Call(Call::Local(off)) = *insn {
            let target = analysis::relative(pc, off.into());
            return self.verified().function_charge(target);
        }
        let target = analysis::jump_target(pc, insn).unwrap_or(pc);
        self.verified().jump_charge(pc, target)
    }
}

fn access(insn: &Insn) -> (AccessKind, u64) {
    let (kind, size) = match *insn {
        Insn::Store { size, .. } => (AccessKind::Store, size),
        Insn::Atomic { size, .. } => (AccessKind::Atomic, size),
        Insn::Load { size, .. } => (AccessKind::Load, size),
        _ => (AccessKind::Load, crate::isa::Size::B),
    };
    (kind, size.bytes() as u64)
}

impl Drop for JitProgram {
    fn drop(&mut self) {
        if let Some((memory, block)) = self.memory {
            // SAFETY: who runs the code borrows the program, and whoever else was given its address has held the program until then.
            unsafe { memory.free(block) };
        }
    }
}

/// How a helper ended the run.
#[derive(Clone, Copy)]
enum HelperEnd {
    /// With r0 = 0, as it may.
    Ended,
    Stopped(StopKind),
}

/// What the function that calls helpers needs during a run.
struct Session<'s, 'a, 'p> {
    run: &'s mut Run<'a>,
    program: &'s VerifiedProgram,
    metering: Metering,
    end: Option<HelperEnd>,
    /// Of a run in slices: the budget beside the slice that the code counts down.
    reserve: Option<Reserve<'p>>,
}

impl JitProgram {
    /// What a helper that is called directly needs; `None` where it cannot be.
    fn needs_of(&self, pc: usize, number: u32) -> Option<Needs> {
        let verified = self.verified();
        let abi = verified.program().abi;
        let needs = match Inline::of(abi, number) {
            Some(Inline::Lookup) if emit::looks_up(verified, self.maps.get(), pc).is_some() => Some(Needs::empty()),
            Some(inline) if inline != Inline::Lookup => Some(inline.needs()),
            _ => needs_of_call(abi, number),
        };
        let lane = self.maps.get().is_some_and(Maps::need_lane);
        Some(needs? | if lane { Needs::LANE } else { Needs::empty() })
    }

    /// Most that may be executed between two charges: all of a function.
    fn stretch(&self) -> u64 {
        self.verified().longest_stretch()
    }

    fn enter(&self, run: &mut Run<'_>, slices: Option<Slices<'_>>) -> Result<u64, Stop> {
        let paid = begin(self.verified(), run)? == Metering::Prepaid;
        let at_the_end = run.budget;
        let mut reserve = None;
        if let Some(slices) = slices {
            let (rest, slice) = Reserve::new(slices, run.budget, paid);
            run.budget = slice;
            reserve = Some(rest);
        } else if paid {
            // Code that charges all the same never comes to an end of it.
            run.budget = ENDLESS;
        }
        let metering = if paid && reserve.is_none() { Metering::Prepaid } else { Metering::Metered };
        let mut context = Context::new(&run.memory, routines());
        let [r1, r2] = run.args;
        context.args = [r1, r2, 0, 0, 0];
        context.budget = run.budget;
        context.call = call as *const () as usize;
        context.find_values(&self.maps.windows, self.maps.writable);
        // The routines charge nothing.
        if metering == Metering::Prepaid {
            context.work_with(&Places::of(run.host), &inline_routines());
        }
        if reserve.is_some() {
            context.routines.stop_budget = address(ubpf_jit_refill);
            context.refill = refill as *const () as usize;
        }
        let mut session = Session { run, program: self.verified(), metering, end: None, reserve };
        context.session = (&raw mut session) as usize;
        // SAFETY: the code was emitted for a verified program: it calls only the routines of the context, touches only memory
        // that is proved or checked to be the program's, and returns with the stack and the kept registers as they were.
        let value = unsafe { ubpf_jit_enter(&raw mut context, self.at.wrapping_add(self.entry)) };
        let end = session.end;
        let reserve = session.reserve.map_or(0, |reserve| reserve.left());
        run.budget = context.budget.wrapping_add(reserve);
        let result = match context.stop {
            stop::NONE => Ok(value),
            _ => self.stopped(&context, run, end),
        };
        if paid {
            run.budget = at_the_end;
        }
        result
    }
}

impl Executable for JitProgram {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        match self.fits(run) {
            true => self.enter(run, None),
            false => self.interpreter.run(run),
        }
    }

    fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop> {
        match self.fits(run) {
            // Without charges in it, the code is over soon. With charges that stand too far apart, it is not for slices.
            true if !self.metered => self.enter(run, None),
            true if self.stretch() <= AT_A_STRETCH => self.enter(run, Some(slices)),
            _ => self.interpreter.run_in_slices(run, slices),
        }
    }

    fn verified(&self) -> &VerifiedProgram {
        self.interpreter.verified()
    }

    fn engine(&self) -> &'static str {
        "jit"
    }

    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool {
        let coarse = self.metered && self.stretch() > AT_A_STRETCH;
        !self.fits(run) || in_slices && coarse
    }

    fn machine_code(&self) -> Option<usize> {
        Some(self.len)
    }

    fn direct(&self) -> Option<Direct> {
        let verified = self.verified();
        let more = Uses::CALLX | Uses::LOCAL_CALLS | Uses::GUARDED;
        if self.guarded || self.metered || verified.uses().intersects(more) {
            return None;
        }
        let program = verified.program();
        let mut needs = Needs::empty();
        for (pc, insn) in program.insns.iter().enumerate() {
            if let (&Insn::Call(Call::Helper(number)), true) = (insn, verified.reachable(pc)) {
                needs |= self.needs_of(pc, number)?;
            }
        }
        let reads = |reg| self.registers.reads & analysis::bit(reg) != 0;
        Some(Direct {
            // SAFETY: the code lives as long as this program, and changes what its draft recorded.
            code: unsafe { CodeAddress::new(self.at.wrapping_add(self.entry)) },
            inline: if self.registers.straight { self.len.wrapping_sub(1) } else { 0 },
            clobbers: self.registers.clobbers,
            reads_argument: reads(Reg::R1),
            reads_length: reads(Reg::R2),
            needs,
            block: 0,
            stack: verified.stack_reach().next_multiple_of(8),
            argument: verified.argument_reach(),
            argument_needed: verified.argument_needed(),
            cost: verified.worst_cost()?,
            adds: super::adds::adds(program),
        })
    }
}

/// Called by emitted code (`shared.S`) for each helper call.
///
/// # Safety
/// `context` is that of a run, whose session lives.
unsafe extern "sysv64" fn call(context: *mut Context, number: u64) -> u64 {
    // SAFETY: see above; emitted code waits for this call and touches neither meanwhile.
    let (context, session) = unsafe { (&mut *context, &mut *((*context).session as *mut Session<'_, '_, '_>)) };
    let run = &mut *session.run;
    let slice = context.budget;
    let reserve = session.reserve.as_ref().map_or(0, Reserve::left);
    run.budget = slice.wrapping_add(reserve);
    let below = context.top.wrapping_sub(context.frame) as usize;
    run.memory.set_frames((below / FRAME_BYTES).wrapping_add(1));
    let abi = session.program.program().abi;
    let helpers = run.helpers;
    let known = u32::try_from(number).ok().and_then(|n| helpers.get(abi, n));
    // Where the call stands is found when it is needed: `pc_at`.
    let result = match known {
        Some(helper) => call_helper(run, helper, context.args, session.metering, 0).map_err(|stop| stop.kind),
        None => Err(StopKind::UnknownHelper { number }),
    };
    context.find_records(&run.memory);
    context.budget = run.budget;
    if let Some(reserve) = &mut session.reserve {
        match reserve.after(slice, run.budget) {
            Ok(rest) => context.budget = rest,
            Err(Cancelled) => {
                context.budget = 0;
                context.stop = stop::CANCELLED;
                return 0;
            }
        }
    }
    let end = match result {
        Ok(Called::Returned(value)) => return value,
        Ok(Called::Ended) => HelperEnd::Ended,
        Err(kind) => HelperEnd::Stopped(kind),
    };
    session.end = Some(end);
    context.stop = stop::HELPER;
    0
}

/// Called by emitted code (`shared.S`) when a run in slices has used up one: `context.budget` is below zero by what is missing.
///
/// # Safety
/// As for [`call`].
unsafe extern "sysv64" fn refill(context: *mut Context) {
    // SAFETY: see above; emitted code waits for this call and touches neither meanwhile.
    let (context, session) = unsafe { (&mut *context, &mut *((*context).session as *mut Session<'_, '_, '_>)) };
    let missing = 0u64.wrapping_sub(context.budget);
    match session.reserve.as_mut().and_then(|r| r.next(missing)) {
        Some(Ok(slice)) => context.budget = slice,
        Some(Err(Cancelled)) => {
            context.budget = 0;
            context.stop = stop::CANCELLED;
        }
        None => context.stop = stop::BUDGET,
    }
}

fn install(
    program: &VerifiedProgram,
    maps: Option<&Maps>,
    memory: &'static dyn ExecMemory,
    style: Style,
    work: &mut Work<'_>,
) -> Result<(ExecBlock, usize, usize, StopSites, Registers), JitError> {
    let draft = Draft::new(program, maps, style, work)?;
    let (bytes, registers) = (draft.len(), draft.registers());
    let block = memory.alloc(bytes).filter(|b| b.len >= bytes).ok_or(JitError::NoRoom { bytes })?;
    // SAFETY: an open block is writable memory of its length that belongs to whom it was given.
    let out = unsafe { slice::from_raw_parts_mut(block.write as *mut u8, bytes) };
    let result = match draft.write(out, work) {
        Ok((entry, sites)) if memory.seal(block) => return Ok((block, bytes, entry, sites, registers)),
        Ok(_) => JitError::NotExecutable,
        Err(error) => error,
    };
    // SAFETY: the block was not sealed, so nothing executes there.
    unsafe { memory.free(block) };
    Err(result)
}

/// Asked once: under a hypervisor each `cpuid` takes microseconds.
fn has_bmi2() -> bool {
    const BMI2: u32 = 1 << 8;
    const UNKNOWN: u8 = 2;
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    let known = KNOWN.load(Relaxed);
    if known != UNKNOWN {
        return known == 1;
    }
    let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & BMI2 != 0;
    KNOWN.store(has.into(), Relaxed);
    has
}
