//! Loaded programs under generation-tagged ids: a stale id is an error, never another program.

use super::{compiler, host::Services, Error};
use crate::{
    helpers::{Registry, TWO_KEY_HELPERS},
    isa::{Call, ImmKind, Insn},
    maps::{HeldProgram, InUse, Lane, Map, Maps},
    object::ProgramKind,
    program::MapKind,
    tracer::{AtSite, Point},
    verifier::{Policy, Uses},
    vm::{Callee, Detour, Direct, Executable},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    any::Any,
    sync::atomic::{AtomicU64, Ordering},
};
use spin::Once;

/// Names a loaded program: slot in the low 16 bits, generation in the 40 bits above. Never 0, and never given twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProgramId(u64);

/// The last generation of a slot; afterwards the slot is not used again.
const LAST_GENERATION: u64 = (1 << 40) - 1;

impl ProgramId {
    /// As a number for the C interface.
    pub fn raw(self) -> u64 {
        self.0
    }
    /// From a number; it may name nothing.
    pub fn from_raw(raw: u64) -> Self {
        ProgramId(raw)
    }
    fn slot(self) -> usize {
        (self.0 & 0xffff) as usize
    }
    fn generation(self) -> u64 {
        self.0 >> 16
    }
}

/// How machine code runs directly, with the helpers that it has then.
struct Directly {
    direct: Direct,
    _helpers: Option<compiler::Helpers>,
}

/// A loaded program.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) code: Arc<dyn Executable>,
    /// The helpers it was verified with.
    pub(super) helpers: &'static Registry,
    /// Why it is interpreted where machine code was to be expected.
    pub(super) fallback: Option<&'static str>,
    /// The maps it was verified with; they live as long as it.
    pub(super) maps: Option<Arc<InUse>>,
    /// Whether its runs need lanes of their own.
    needs_lane: bool,
    /// What its argument is.
    pub(super) kind: ProgramKind,
    /// The object that it belongs to, which lives as long as it; nobody asks it for more.
    pub(super) object: Option<Arc<dyn Any + Send + Sync>>,
    /// What it is attached to, or why it cannot be attached.
    pub(super) point: Result<AtSite, &'static str>,
    /// Whether it says so itself; else who attaches it may say that it is for returns.
    pub(super) says_where: bool,
    /// Whether it may go on in another program, which may look at more than it does.
    goes_on: bool,
    /// How it runs directly, or why it does not, found when that is asked first: all its instructions are looked at for it.
    directly: Arc<Once<Result<Directly, Detour>>>,
}

impl Loaded {
    /// A program that is given memory.
    pub(super) fn new(
        name: String,
        code: Arc<dyn Executable>,
        helpers: &'static Registry,
        fallback: Option<&'static str>,
        maps: Option<Arc<InUse>>,
    ) -> Loaded {
        // Whom a register calls, nobody knows before.
        let goes_on = code.verified().uses().contains(Uses::CALLX) || calls(&*code, helpers, [TAIL_CALL]);
        let needs_lane = goes_on || maps.as_ref().is_some_and(|maps| maps.need_lane()) || calls(&*code, helpers, [CPU]);
        // There are no programs but in maps.
        let has_maps = maps.is_some();
        Loaded {
            name,
            code,
            helpers,
            fallback,
            maps,
            needs_lane,
            kind: ProgramKind::Memory,
            object: None,
            point: Ok(Point::Entry),
            says_where: false,
            goes_on: goes_on && has_maps,
            directly: Arc::default(),
        }
    }

    /// Whether it, or one that it goes on in, may look at more of what it is given than so many bytes.
    pub(super) fn may_look_behind(&self, bytes: u64) -> bool {
        let verified = self.code.verified();
        let (_, guarded) = verified.accesses();
        self.goes_on || guarded > 0 || verified.argument_reach() > bytes
    }

    /// Whether it is given registers, and may look at them.
    pub(super) fn needs_registers(&self) -> bool {
        self.kind != ProgramKind::Memory && self.may_look_behind(0)
    }

    /// How its machine code is called from machine code, with what it needs of helpers.
    pub(super) fn direct(&self, services: &'static Services) -> Result<Direct, Detour> {
        match self.directly.call_once(|| self.find_directly(services)) {
            Ok(directly) => Ok(directly.direct),
            Err(detour) => Err(*detour),
        }
    }

    fn find_directly(&self, services: &'static Services) -> Result<Directly, Detour> {
        let direct = self.code.direct()?;
        if direct.needs.is_empty() {
            return Ok(Directly { direct, _helpers: None });
        }
        let around = (self.code.verified().program().abi, self.own_maps());
        let helpers = compiler::helpers_of(&direct, around, self.helpers, services).ok_or(Detour::Memory)?;
        Ok(Directly { direct: Direct { block: helpers.block(), ..direct }, _helpers: Some(helpers) })
    }

    fn own_maps(&self) -> Option<Arc<Maps>> {
        self.maps.as_ref().map(|maps| maps.maps())
    }

    /// What it is given, and by which numbers it calls: programs that call each other by tail calls have this in common.
    fn likeness(&self) -> u32 {
        let abi = self.code.verified().program().abi;
        (self.kind as u32).wrapping_add(1) << 8 | abi as u32
    }

    /// The program as a map holds it.
    pub(super) fn callee_of(&self, map: &Map, object: Option<&str>) -> Result<HeldProgram, Error> {
        self.is_like(map)?;
        let own = self.name.rsplit_once(':').map_or(self.name.as_str(), |(_, own)| own);
        let name = match object {
            Some(object) if object != own => format!("{object}:{own}"),
            _ => String::from(own),
        };
        let (code, maps, helpers) = (self.code.clone(), self.own_maps(), Some(self.helpers));
        Ok(Arc::new(Callee { name, code, maps, helpers }))
    }

    /// Whether the program can be one of those that a map holds, or call them.
    fn is_like(&self, map: &Map) -> Result<(), Error> {
        match map.takes_programs_like(self.likeness()) {
            true => Ok(()),
            false => {
                let (name, map) = (&self.name, map.def().name);
                let reason =
                    format!("{name}: the programs that map {map} holds or is used by are given something else");
                Err(Error::Object { reason })
            }
        }
    }

    /// Maps that hold programs and that this one names hold only such as it.
    pub(super) fn claim_programs(&self) -> Result<(), Error> {
        let Some(maps) = &self.maps else { return Ok(()) };
        for insn in &self.code.verified().program().insns {
            let Insn::LoadImm64 { kind: ImmKind::MapIndex, imm, .. } = *insn else { continue };
            let map = u16::try_from(imm).ok().and_then(|slot| maps.get(slot));
            if let Some(map) = map.filter(|map| map.def().kind == MapKind::ProgArray) {
                self.is_like(map)?;
            }
        }
        Ok(())
    }

    /// Whether it looks into the two-key map.
    pub(super) fn calls_a_map_helper(&self) -> bool {
        calls(&*self.code, self.helpers, TWO_KEY_HELPERS)
    }

    /// The lane for a run. *Hook path.*
    ///
    /// # Errors
    /// It needs one, and all are in use.
    pub(super) fn claim_lane(&self) -> Result<Option<Lane>, NoLane> {
        match self.needs_lane {
            true => Lane::claim().map(Some).ok_or(NoLane),
            false => Ok(None),
        }
    }

    /// What there is to be said about it: by the verifier, and by whoever chose the engine.
    pub(super) fn remarks(&self) -> Vec<String> {
        let verified = self.code.verified();
        let mut remarks: Vec<String> = verified.warnings().iter().map(ToString::to_string).collect();
        let (proved, guarded) = verified.accesses();
        if guarded > 0 && verified.policy() == Policy::Guarded {
            let all = proved + guarded;
            remarks.push(format!("{}: {guarded} of {all} memory accesses are checked at run time", self.name));
        }
        if let Some(why) = self.fallback {
            remarks.push(format!("{} is interpreted: {why}", self.name));
        }
        remarks
    }
}

/// All lanes are in use: so many runs of programs with values per CPU are going on at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoLane;

/// What programs with such values ask for.
const CPU: &str = "bpf_get_smp_processor_id";

/// What it is that programs go on in others with, which may ask for it.
const TAIL_CALL: &str = "bpf_tail_call";

/// Whether a program calls one of some helpers, which have one number each. A program may be long: it is gone over by numbers alone.
fn calls<const N: usize>(code: &dyn Executable, helpers: &Registry, names: [&str; N]) -> bool {
    let program = code.verified().program();
    if !code.verified().uses().contains(Uses::HELPERS) {
        return false;
    }
    let numbers = names.map(|name| helpers.number(program.abi, name));
    program
        .insns
        .iter()
        .any(|insn| matches!(*insn, Insn::Call(Call::Helper(number)) if numbers.contains(&Some(number))))
}

/// Longest name of a program, in bytes.
const LONGEST_NAME: usize = 256;

/// Whether a program can have this name, which may be the path of its file: it has a length that messages can bear, and can be shown.
pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The generation of a slot's first program, above those of engines that were stopped: an id is never given twice.
static FIRST_GENERATION: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
pub(super) struct Programs {
    slots: Vec<ProgramSlot>,
}

struct ProgramSlot {
    generation: u64,
    loaded: Option<Loaded>,
}

impl ProgramSlot {
    fn is_free(&self) -> bool {
        self.loaded.is_none() && self.generation < LAST_GENERATION
    }
}

impl Programs {
    pub(super) fn insert(&mut self, loaded: Loaded) -> Result<ProgramId, Error> {
        let free = self.slots.iter().position(ProgramSlot::is_free);
        let index = match free {
            Some(index) => index,
            None if self.slots.len() > 0xffff => return Err(Error::NoMemory),
            None => {
                self.slots.try_reserve(1).map_err(|_| Error::NoMemory)?;
                self.slots.push(ProgramSlot { generation: FIRST_GENERATION.load(Ordering::Relaxed), loaded: None });
                self.slots.len() - 1
            }
        };
        let slot = self.slots.get_mut(index).ok_or(Error::NoMemory)?;
        slot.generation += 1;
        slot.loaded = Some(loaded);
        Ok(ProgramId(slot.generation << 16 | index as u64))
    }

    pub(super) fn get(&self, id: ProgramId) -> Result<Loaded, Error> {
        let slot = self.slots.get(id.slot());
        slot.filter(|s| s.generation == id.generation())
            .and_then(|s| s.loaded.clone())
            .ok_or(Error::StaleProgram { id: id.raw() })
    }

    pub(super) fn remove(&mut self, id: ProgramId) -> Result<Loaded, Error> {
        let slot = self.slots.get_mut(id.slot());
        slot.filter(|s| s.generation == id.generation())
            .and_then(|s| s.loaded.take())
            .ok_or(Error::StaleProgram { id: id.raw() })
    }

    /// Takes out the first program in slot `from` or behind it, and gives the slot after it. Its id is stale from now on.
    pub(super) fn take_from(&mut self, from: usize) -> Option<(usize, Loaded)> {
        let mut slots = self.slots.iter_mut().enumerate().skip(from);
        slots.find_map(|(at, slot)| Some((at + 1, slot.loaded.take()?)))
    }

    /// Begins with other generations when there is an engine again.
    pub(super) fn end(&self) {
        let last = self.slots.iter().map(|slot| slot.generation).max();
        FIRST_GENERATION.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.iter().filter(|s| s.loaded.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        isa::{assemble, decode},
        platform::{Clock, Platform},
        program::{Abi, Program},
        runtime::{image::Image, snapshot::Snapshot},
        tracer::Ring,
        verifier::{self, Environment, VerifiedProgram, Work},
        vm::{Interpreter, Run, Slices, Stop},
    };
    use std::boxed::Box;

    /// Machine code whose instructions are looked at, which is counted.
    struct LookedAt(Interpreter, AtomicU64);

    impl Executable for LookedAt {
        fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
            self.0.run(run)
        }
        fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop> {
            self.0.run_in_slices(run, slices)
        }
        fn verified(&self) -> &VerifiedProgram {
            self.0.verified()
        }
        fn engine(&self) -> &'static str {
            "jit"
        }
        fn interprets(&self, _run: &Run<'_>, _in_slices: bool) -> bool {
            false
        }
        fn direct(&self) -> Result<Direct, Detour> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Err(Detour::Helper(Abi::Linux, 5))
        }
    }

    struct Never;

    impl Clock for Never {
        fn now_ns(&self) -> u64 {
            0
        }
    }

    /// A list of what is attached asks it of every program while it holds a lock; one program may be at thousands of functions.
    #[test]
    fn the_way_of_a_program_is_found_once() {
        let insns = decode(&assemble("r0 = 0\nexit").unwrap()).unwrap();
        let program = Program { name: "test".into(), insns, entry: 0, abi: Abi::Linux, probing: Vec::new() };
        let helpers: &'static Registry = Box::leak(Box::new(Registry::with_builtins().unwrap()));
        let environment = Environment::new(helpers);
        let verified = verifier::verify(program, Policy::Guarded, &environment, &mut Work::default()).unwrap();
        let code = Arc::new(LookedAt(Interpreter::new(verified), AtomicU64::new(0)));
        let services: &'static Services = Box::leak(Box::new(Services {
            platform: Platform::bare("test", &Never),
            map: Once::new(),
            image: Snapshot::new(Image::default()),
            ring: Ring::new(4096).unwrap(),
            arena: (0, 0),
        }));
        let loaded = Loaded::new("test".into(), code.clone(), helpers, None, None);
        for attached in [&loaded, &loaded.clone(), &loaded] {
            assert_eq!(attached.direct(services), Err(Detour::Helper(Abi::Linux, 5)));
        }
        assert_eq!(code.1.load(Ordering::Relaxed), 1);
    }
}
