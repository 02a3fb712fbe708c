//! A program as machine code: made, looked at, called, given back.

use super::{
    adds, analysis,
    arch::{self, Draft},
    code::{style, RegisterUse, StopSites, Style},
    context::Window,
    linked::{fingerprint, LinkedProgram},
    JitError, Options,
};
use crate::{
    helpers::{needs_of_call, takes_a_map, Inline, Needs},
    isa::{Call, Insn, Reg},
    maps::{LookupForm, Maps},
    platform::{ExecBlock, ExecMemory},
    verifier::{Uses, VerifiedProgram, Warning, Work},
    vm::{
        go_on, proofs_hold, CodeAddress, Detour, Direct, Executable, Given, Interpreter, Run, Slices, Stop,
        AT_A_STRETCH, STACK_BYTES,
    },
};
use alloc::{sync::Arc, vec::Vec};
use core::slice;

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

/// A program as machine code in executable memory, which it gives back when dropped.
pub struct JitProgram {
    /// Holds the program, and runs it where the code cannot.
    interpreter: Interpreter,
    /// Where the code came from, to be given back; `None` for code that is linked into the image.
    memory: Option<(&'static dyn ExecMemory, ExecBlock)>,
    pub(super) at: usize,
    len: usize,
    pub(super) entry: usize,
    sites: StopSites,
    registers: RegisterUse,
    metered: bool,
    /// Every access is checked.
    guarded: bool,
    pub(super) maps: BoundMaps,
}

/// The maps whose addresses are in the code, and where their values lie.
#[derive(Default)]
pub(super) struct BoundMaps {
    maps: Option<Arc<Maps>>,
    /// Those that may be written first.
    pub(super) windows: Vec<Window>,
    pub(super) writable: usize,
}

impl BoundMaps {
    /// Checks that the maps are as those that `program` was verified for.
    fn new(maps: Option<Arc<Maps>>, program: &VerifiedProgram) -> Result<BoundMaps, JitError> {
        let Some(maps) = maps else {
            return program.maps().is_empty().then(BoundMaps::default).ok_or(JitError::OtherMaps);
        };
        if !maps.iter().map(|map| map.def()).eq(program.maps()) {
            return Err(JitError::OtherMaps);
        }
        let mut windows = Vec::new();
        windows.try_reserve_exact(maps.windows().len()).map_err(|_| JitError::NoMemory)?;
        windows.extend(maps.windows().iter().map(|window| Window::new(window.base, window.len)));
        let writable = maps.windows().iter().filter(|window| window.writable).count();
        Ok(BoundMaps { maps: Some(maps), windows, writable })
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
        let maps = match BoundMaps::new(maps, &program) {
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
        if style.extended && !arch::is_extended() {
            return Err(arch::NOT_EXTENDED);
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
            maps: BoundMaps::default(),
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
    pub(super) fn pc_at(&self, address: u64) -> usize {
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

    /// What the jump or local call at `pc` charges.
    pub(super) fn cost(&self, pc: usize, insn: &Insn) -> u64 {
        if let Insn::Call(Call::Local(off)) = *insn {
            let target = analysis::relative(pc, off.into());
            return self.verified().function_charge(target);
        }
        let target = analysis::jump_target(pc, insn).unwrap_or(pc);
        self.verified().jump_charge(pc, target)
    }
}

impl Drop for JitProgram {
    fn drop(&mut self) {
        if let Some((memory, block)) = self.memory {
            // SAFETY: who runs the code borrows the program, and whoever else was given its address has held the program until then.
            unsafe { memory.free(block) };
        }
    }
}

impl JitProgram {
    /// What a helper that is called directly needs; `None` where it cannot be.
    fn needs_of(&self, pc: usize, number: u32) -> Option<Needs> {
        let verified = self.verified();
        let abi = verified.program().abi;
        let inline = Inline::of(abi, number);
        let needs = match (inline, arch::map_form(verified, self.maps.get(), pc)) {
            // Where the values lie is in the code.
            (Some(Inline::Lookup), LookupForm::Indexed(_)) => Some(Needs::empty()),
            (Some(inline @ Inline::Reserve), LookupForm::Records(_)) => Some(inline.needs()),
            (Some(inline), _) if !inline.is_of_a_map() => Some(inline.needs()),
            // What it finds there is its own until it is over, and not from one call of a helper to the next.
            _ if self.may_be_within(pc, number) => None,
            _ => needs_of_call(abi, number),
        };
        let lane = self.maps.get().is_some_and(Maps::need_lane);
        Some(needs? | if lane { Needs::LANE } else { Needs::empty() })
    }

    /// Whether the map that a helper is given holds maps, or is one that such a map holds, or may be where it is one of several.
    fn may_be_within(&self, pc: usize, number: u32) -> bool {
        let (verified, maps) = (self.verified(), self.maps.get());
        match verified.map_at(pc) {
            Some(slot) => maps.and_then(|maps| maps.get(slot)).is_none_or(|map| map.def().kind.holds_maps()),
            None => maps.is_some_and(Maps::hold_maps) && takes_a_map(verified.program().abi, number),
        }
    }

    /// Most that may be executed between two charges: all of a function.
    fn stretch(&self) -> u64 {
        self.verified().longest_stretch()
    }
}

impl Executable for JitProgram {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        match self.fits(run) {
            true => {
                let result = self.enter(run, None);
                go_on(result, run, None)
            }
            false => self.interpreter.run(run),
        }
    }

    fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop> {
        let Slices { units, pause } = slices;
        let result = match self.fits(run) {
            // Without charges in it, the code is over soon. With charges that stand too far apart, it is not for slices.
            true if !self.metered => self.enter(run, None),
            true if self.stretch() <= AT_A_STRETCH => self.enter(run, Some(Slices { units, pause: &mut *pause })),
            _ => return self.interpreter.run_in_slices(run, Slices { units, pause }),
        };
        go_on(result, run, Some(Slices { units, pause }))
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

    fn direct(&self) -> Result<Direct, Detour> {
        let verified = self.verified();
        let uses = verified.uses();
        if uses.intersects(Uses::CALLX | Uses::LOCAL_CALLS) {
            return Err(Detour::Calls);
        }
        if self.guarded || uses.contains(Uses::GUARDED) {
            return Err(Detour::Guarded);
        }
        let program = verified.program();
        let mut needs = Needs::empty();
        for (pc, insn) in program.insns.iter().enumerate() {
            if let (&Insn::Call(Call::Helper(number)), true) = (insn, verified.reachable(pc)) {
                needs |= self.needs_of(pc, number).ok_or(Detour::Helper(program.abi, number))?;
            }
        }
        if self.metered {
            return Err(Detour::Metered);
        }
        // Nobody would take back what it still holds at its end.
        let holds = |warning: &Warning| matches!(warning, Warning::HeldRecord { .. });
        if needs.contains(Needs::RECORDS) && verified.warnings().iter().any(holds) {
            return Err(Detour::Record);
        }
        let reads = |reg| self.registers.reads & analysis::bit(reg) != 0;
        Ok(Direct {
            // SAFETY: the code lives as long as this program, and changes what its draft recorded.
            code: unsafe { CodeAddress::new(self.at.wrapping_add(self.entry)) },
            inline: if self.registers.straight { self.len.wrapping_sub(1) } else { 0 },
            clobbers: self.registers.clobbers,
            reads_argument: reads(Reg::R1),
            reads_length: reads(Reg::R2),
            needs,
            block: 0,
            cookie: 0,
            stack: verified.stack_reach().next_multiple_of(8),
            given: Given::Call,
            argument_first: verified.argument_first(),
            argument: verified.argument_reach(),
            argument_needed: verified.argument_needed(),
            cost: verified.worst_cost().ok_or(Detour::Metered)?,
            adds: adds::adds(program),
        })
    }
}

fn install(
    program: &VerifiedProgram,
    maps: Option<&Maps>,
    memory: &'static dyn ExecMemory,
    style: Style,
    work: &mut Work<'_>,
) -> Result<(ExecBlock, usize, usize, StopSites, RegisterUse), JitError> {
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
