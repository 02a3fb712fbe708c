//! One case on one engine.

use crate::{
    case::{Case, End, Place, SyntaxError, Why},
    host::FixedHost,
    memory::Buffers,
    BoundMaps, Engine,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::fmt;
use ubpf_rs::{
    helpers::Registry,
    maps::{Held, InUse, Map, Maps},
    program::Program,
    verifier::{self, MapInfo, Policy, VerifiedProgram},
    vm::{AccessKind, Callee, Memory, Run, Stop, StopKind},
};

/// Something that is not as it should be.
pub struct Fault {
    /// File and case.
    pub place: String,
    /// What was found.
    pub what: String,
}

impl Fault {
    pub(crate) fn in_file(file: &str, error: &SyntaxError) -> Fault {
        Fault { place: file.into(), what: error.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs a case under each of its policies.
pub fn check(file: &str, case: &Case, engine: &dyn Engine) -> Vec<Fault> {
    let mut faults = Vec::new();
    for &policy in &case.policies {
        let trial = Trial { case, policy };
        for what in trial.run(engine) {
            let place = format!("{file}: {} ({policy:?})", case.name);
            faults.push(Fault { place, what });
        }
    }
    faults
}

struct Trial<'c> {
    case: &'c Case,
    policy: Policy,
}

/// Where things lie in one run.
#[derive(Clone, Copy)]
struct Bases<'m> {
    memory: u64,
    stack: u64,
    maps: Option<&'m Maps>,
}

impl Bases<'_> {
    fn resolve(self, place: Place) -> u64 {
        match place {
            Place::Number(number) => number,
            Place::Memory(distance) => self.memory.wrapping_add(distance as u64),
            Place::Stack(distance) => self.stack.wrapping_add(distance as u64),
            Place::Value(slot, distance) => {
                let window = self.maps.and_then(|maps| maps.get(slot)?.window());
                window.map_or(0, |window| window.base).wrapping_add(distance as u64)
            }
            Place::Somewhere => 0,
        }
    }

    fn is(self, found: u64, place: Place) -> bool {
        place == Place::Somewhere || found == self.resolve(place)
    }
}

impl Trial<'_> {
    fn run(&self, engine: &dyn Engine) -> Vec<String> {
        let Ok(helpers) = Registry::with_builtins() else {
            return ["no memory for the helpers".to_string()].into();
        };
        let maps = match self.maps() {
            Ok(maps) => maps,
            Err(problem) => return [problem].into(),
        };
        let infos = maps.as_ref().and_then(|maps| maps.infos()).unwrap_or_default();
        // Programs that maps hold may have the maps.
        let _in_use = maps.clone().map(InUse::new);
        for (slot, key, code) in &self.case.programs {
            let held = self.verified(code, &helpers, &infos).and_then(|program| {
                let code = Arc::from(engine.prepare(program, maps.clone())?);
                let held = Callee { name: "held".into(), code, maps: maps.clone(), helpers: None };
                let map = maps.as_ref().and_then(|maps| maps.get(*slot)).ok_or("no such map")?;
                map.hold(key[..].into(), Held::Program(Arc::new(held)), 0).map_err(|error| error.to_string())
            });
            if let Err(problem) = held {
                return [problem].into();
            }
        }
        let program = match (self.verified(&self.case.code, &helpers, &infos), &self.case.expected.end) {
            (Ok(_), End::Refused(reason)) => return [format!("loaded, not refused: {reason}")].into(),
            (Err(found), End::Refused(reason)) if found.starts_with(reason.as_str()) => {
                return Vec::new();
            }
            (Err(found), _) => return [format!("refused: {found}")].into(),
            (Ok(program), _) => program,
        };
        match engine.prepare(program, maps.clone()) {
            Ok(code) => self.compare(&*code, &helpers, maps.as_deref()),
            Err(reason) => [format!("not prepared: {reason}")].into(),
        }
    }

    fn verified(&self, code: &[u8], helpers: &Registry, maps: &[MapInfo<'_>]) -> Result<VerifiedProgram, String> {
        let program = Program::from_flat(&self.case.name, code, self.case.abi).map_err(|error| error.to_string())?;
        let program = Program { probing: self.case.probing.clone(), ..program };
        let environment = verifier::Environment::new(helpers).with_maps(maps);
        verifier::verify(program, self.policy, &environment, &mut verifier::Work::default())
            .map_err(|error| error.to_string())
    }

    /// The maps of a case with what they hold.
    fn maps(&self) -> Result<BoundMaps, String> {
        if self.case.maps.is_empty() {
            return Ok(None);
        }
        let mut list = Vec::new();
        for (slot, def) in (0..).zip(&self.case.maps) {
            let mut map = Map::new(*def).map_err(|error| error.to_string())?;
            let entries = self.case.entries.iter().filter(|(of, ..)| *of == slot);
            for (_, key, value) in entries {
                let put = map.update(key[..].into(), value[..].into(), 0, &mut 0);
                put.map_err(|error| error.to_string())?;
            }
            if def.has_one_value() && !def.is_writable_by_programs() {
                map.freeze().map_err(|error| error.to_string())?;
            }
            list.push(Arc::new(map));
        }
        for (slot, key, what) in &self.case.held {
            let (holder, held) = list.get(usize::from(*slot)).zip(list.get(usize::from(*what))).ok_or("no such map")?;
            holder.hold(key[..].into(), Held::Map(held.clone()), 0).map_err(|error| error.to_string())?;
        }
        Ok(Maps::new(list).map(Arc::new))
    }

    fn compare(&self, code: &dyn ubpf_rs::vm::Executable, helpers: &Registry, maps: Option<&Maps>) -> Vec<String> {
        let (case, expected) = (self.case, &self.case.expected);
        let host = FixedHost::default();
        for &[key1, key2, value] in &case.map {
            host.map.lock().insert((key1, key2), value);
        }
        let mut buffers = Buffers::new(&case.memory);
        let (argument, stack) = buffers.parts();
        let len = argument.len() as u64;
        let memory = Memory::new(argument, stack);
        let memory = match maps {
            Some(maps) => memory.with_maps(maps),
            None => memory,
        };
        let bases = Bases { memory: memory.argument().base, stack: memory.stack_top(), maps };
        let mut run = Run { args: [bases.memory, len], memory, budget: case.budget, helpers, host: &host };
        let ended = code.run(&mut run);
        let charged = case.budget.wrapping_sub(run.budget);
        drop(run);
        let mut faults = Vec::new();
        faults.extend(differs(&ended, &expected.end, bases));
        if expected.charged.is_some_and(|wanted| wanted != charged) {
            faults.push(format!("charged {charged}"));
        }
        if charged > case.budget {
            faults.push(format!("charged {charged}, more than the budget"));
        }
        if !buffers.margins_are_untouched() {
            faults.push("bytes outside of the argument were written".into());
        }
        let (argument, _) = buffers.parts();
        if argument != expected.memory {
            faults.push(format!("memory {argument:02x?}"));
        }
        faults.extend(self.differences_of_host(&host));
        faults.extend(maps.map(|maps| self.differences_of_maps(maps)).unwrap_or_default());
        faults
    }

    fn differences_of_maps(&self, maps: &Maps) -> Vec<String> {
        let mut faults = Vec::new();
        for (slot, key, wanted) in &self.case.expected.entries {
            let found = maps.get(*slot).and_then(|map| {
                let value = map.value(key[..].into())?.first();
                let mut bytes = vec![0; value.len()];
                value.copy_to(&mut bytes);
                Some(bytes)
            });
            if found != *wanted {
                faults.push(format!("map {slot}[{key:02x?}] is {found:02x?}"));
            }
        }
        let mut records = Vec::new();
        for (slot, map) in (0..).zip(maps.iter()) {
            let mut record = vec![0; map.ring_number(1) as usize];
            while let Some(len) = map.read_record(&mut record) {
                records.push((slot, record[..len].to_vec()));
            }
            if map.ring_number(0) != 0 {
                faults.push(format!("ring {slot} waits for a record"));
            }
        }
        if records != self.case.expected.records {
            faults.push(format!("records {records:02x?}"));
        }
        faults
    }

    fn differences_of_host(&self, host: &FixedHost) -> Vec<String> {
        let (map, output) = (host.map.lock(), host.output.lock());
        let mut faults = Vec::new();
        for &(key1, key2, value) in &self.case.expected.map {
            let found = map.get(&(key1, key2)).copied();
            if found != value {
                faults.push(format!("map[{key1:#x}][{key2:#x}] is {found:?}"));
            }
        }
        if *output != self.case.expected.output {
            faults.push(format!("output {output:?}"));
        }
        faults
    }
}

fn differs(found: &Result<u64, Stop>, wanted: &End, bases: Bases<'_>) -> Option<String> {
    let same = match (found, wanted) {
        (Ok(found), End::Returned(place)) => bases.is(*found, *place),
        (Err(stop), End::Stopped { pc, why }) => stop.pc == *pc && is(&stop.kind, why, bases),
        _ => false,
    };
    if same {
        return None;
    }
    let found = match found {
        Ok(value) => format!("r0 {value:#x}"),
        Err(stop) => stop.to_string(),
    };
    let Bases { memory, stack, .. } = bases;
    Some(format!("{found}, not {wanted:x?} (memory {memory:#x}, stack {stack:#x})"))
}

fn is(found: &StopKind, why: &Why, bases: Bases<'_>) -> bool {
    match (found, why) {
        (StopKind::OutOfBounds { access, addr, size }, Why::Access(name, place, wanted)) => {
            access_name(*access) == name && bases.is(*addr, *place) && size == wanted
        }
        (StopKind::Unaligned { addr, size }, Why::Access(name, place, wanted)) => {
            name == "unaligned" && bases.is(*addr, *place) && size == wanted
        }
        (StopKind::UnknownHelper { number }, Why::UnknownHelper(wanted)) => number == wanted,
        (StopKind::Helper { name, .. }, Why::Helper(wanted)) => name == wanted,
        (StopKind::BudgetExhausted, Why::Budget) | (StopKind::CallDepth, Why::Depth) => true,
        _ => false,
    }
}

fn access_name(access: AccessKind) -> &'static str {
    match access {
        AccessKind::Load => "load",
        AccessKind::Store => "store",
        AccessKind::Atomic => "atomic",
        AccessKind::HelperRead => "helper-read",
        AccessKind::HelperWrite => "helper-write",
    }
}
