//! A backend without an engine, and a way to talk to a shell.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    fmt::Write,
    string::String,
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc, Mutex,
    },
    vec::Vec,
};
use ubpf_rs::{
    isa::{ImmKind, Insn, Reg},
    maps::Held,
    platform::{fits, DirEntry, FileError, SLICE_NS},
    program::{InnerDef, MapDef, MapFlags, MapKind, MapName},
};
use ushell_rs::{
    backend::{
        AttachLimits, AttachReport, AttachedProgram, BackendError, CallTime, ExecReport, LoadOptions, Map, Measured,
        ObjectProgram, Probe, ProbeId, RefusedStub, ReplaceReport, Site,
    },
    Backend, Config, Shell,
};

/// State of the fake, open to the tests.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub map: BTreeMap<(u64, u64), u64>,
    pub sites: BTreeMap<String, Vec<Probe>>,
    pub functions: Vec<String>,
    pub stats: bool,
    pub maps: BTreeMap<String, Arc<Map>>,
    pub types: BTreeMap<String, Arc<Vec<u8>>>,
    /// What is attached of objects.
    pub owned: Vec<ProbeId>,
    pub last_id: u64,
    /// What `status` says of the image's id.
    pub image: Option<String>,
}

/// The second counts looks at the clock once commands are to end; then each of them finds a slice used up.
#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<State>>, pub Arc<AtomicU64>);

impl Fake {
    pub fn new() -> Self {
        let fake = Self::default();
        {
            let mut state = fake.0.lock().unwrap();
            for name in ["count.bin", "get_count.bin", "loop_fail.bin", "notify.bin", "oob.bin"] {
                state.files.insert(name.into(), name.as_bytes().to_vec());
            }
            state.files.insert("odd\x1b[2Jname".into(), vec![]);
            state.files.insert("bytes".into(), b"\x7fELF\0\x01\x02".repeat(5));
            state.files.insert("packets".into(), Vec::new());
            state.files.insert("hello.txt".into(), b"hello\n".to_vec());
            state.files.insert("no newline.txt".into(), b"no newline".to_vec());
            for (name, kind, value_size) in [
                ("counters.counts", MapKind::Array, 8),
                ("per_cpu", MapKind::PercpuArray, 8),
                ("per_cpu_bytes", MapKind::PercpuHash, 12),
                ("shared", MapKind::Hash, 12),
                ("newest", MapKind::Stack, 8),
                ("known", MapKind::BloomFilter, 4),
            ] {
                let name_in_object = MapName::new(name).unwrap();
                let key_size = if matches!(kind, MapKind::Stack | MapKind::BloomFilter) { 0 } else { 4 };
                let (max_entries, flags) = (3, MapFlags::empty());
                let def = MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name: name_in_object };
                let map = Map::new(def).unwrap();
                let put = |lane, key: u32, value: &[u8]| {
                    map.update_in(lane, key.to_le_bytes()[..].into(), value.into(), 0, &mut 0).unwrap();
                };
                match name {
                    "per_cpu" => [(2, 3), (5, 4)].iter().for_each(|&(lane, n)| put(lane, 1, &[n, 0, 0, 0, 0, 0, 0, 0])),
                    "per_cpu_bytes" => [(0, 1), (15, 0xff)].iter().for_each(|&(lane, n)| put(lane, 5, &[n; 12])),
                    _ => {}
                }
                state.maps.insert(name.into(), Arc::new(map));
            }
            // A map that holds such as the counters.
            let inner = state.maps["counters.counts"].def();
            let name = MapName::new("outer").unwrap();
            let def =
                MapDef { kind: MapKind::ArrayOfMaps, value_size: 4, inner: Some(InnerDef::of(inner)), name, ..*inner };
            state.maps.insert("outer".into(), Arc::new(Map::new(def).unwrap()));
            state.functions = ["main", "myfun", "myother", "twin", "twin"].map(String::from).to_vec();
        }
        fake
    }

    fn known(&self, function: &str) -> Result<(), BackendError> {
        let name = function.into();
        if let Some(digits) = function.strip_prefix("0x") {
            let known = u64::from_str_radix(digits, 16).is_ok_and(|at| at >= address(0));
            return known.then_some(()).ok_or(BackendError::UnknownFunction { name });
        }
        match self.addresses(function).len() {
            0 => Err(BackendError::UnknownFunction { name }),
            1 => Ok(()),
            count => Err(BackendError::Other { reason: format!("{count} functions are called {name}") }),
        }
    }

    fn addresses(&self, function: &str) -> Vec<u64> {
        let state = self.0.lock().unwrap();
        let all = state.functions.iter().enumerate();
        all.filter(|(_, name)| *name == function).map(|(at, _)| address(at)).collect()
    }

    fn readable(&self, path: &str) -> Result<(), BackendError> {
        let read = self.read_file(path).map(drop);
        read.map_err(|error| BackendError::File { path: path.into(), error })
    }
}

/// Of the function with this place in the list.
fn address(at: usize) -> u64 {
    0x5000 + 0x10 * at as u64
}

impl Backend for Fake {
    fn list_files(&self, directory: &str) -> Result<Vec<DirEntry>, FileError> {
        if !directory.is_empty() {
            return Err(FileError::NotFound);
        }
        let state = self.0.lock().unwrap();
        let entry = |(name, contents): (&String, &Vec<u8>)| DirEntry {
            name: name.clone(),
            size: contents.len() as u64,
            is_dir: false,
        };
        Ok(state.files.iter().map(entry).collect())
    }
    fn read_file(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.0.lock().unwrap().files.get(path).cloned().ok_or(FileError::NotFound)
    }
    fn write_file(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        self.0.lock().unwrap().files.insert(path.into(), contents.to_vec());
        Ok(())
    }
    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        let removed = self.0.lock().unwrap().files.remove(path);
        removed.map(drop).ok_or(FileError::NotFound)
    }
    fn load_symbols(&self, path: &str) -> Result<usize, BackendError> {
        self.readable(path)?;
        Ok(3)
    }
    fn exec(&self, path: &str, argument: &mut [u8], _: &LoadOptions) -> Result<ExecReport, BackendError> {
        self.readable(path)?;
        match path {
            "loop_fail.bin" => Err(BackendError::Load { reason: "infinite loop at PC 2".into() }),
            "oob.bin" => {
                Err(BackendError::Stopped { stop: "out of bounds memory load at PC 4, addr 0x0, size 4".into() })
            }
            _ => Ok(ExecReport {
                value: argument.len() as u64,
                verdict: (path == "packets").then_some("XDP_PASS"),
                charged: Some(12),
                warnings: vec!["r3 is read at PC 1 before it is set".into()],
            }),
        }
    }
    fn attach(
        &self,
        function: &str,
        path: &str,
        _: &LoadOptions,
        _: &AttachLimits,
    ) -> Result<AttachReport, BackendError> {
        if !function.contains('*') {
            self.known(function)?;
        }
        self.readable(path)?;
        let mut state = self.0.lock().unwrap();
        let (mut attached, pattern) = (Vec::new(), function);
        let known = state.functions.clone();
        let all = known.iter().map(String::as_str).filter(|name| fits(pattern, name));
        for function in all.chain((!pattern.contains('*')).then_some(pattern).filter(|name| name.starts_with("0x"))) {
            let probe = Probe { program: path.into(), runs: 7, ..Probe::default() };
            state.sites.entry(function.into()).or_default().push(probe);
            let (program, function) = (path.into(), function.into());
            attached.push(AttachedProgram { program, function, id: ProbeId::from_raw(1) });
        }
        Ok(AttachReport { warnings: vec![], attached })
    }
    fn detach(&self, function: &str, program: Option<&str>) -> Result<usize, BackendError> {
        if function.contains('*') {
            let functions = self.0.lock().unwrap().functions.clone();
            let fitting = functions.iter().filter(|name| fits(function, name) && self.known(name).is_ok());
            return fitting.map(|name| self.detach(name, program)).sum();
        }
        self.known(function)?;
        let mut state = self.0.lock().unwrap();
        let Some(probes) = state.sites.get_mut(function) else {
            return Ok(0);
        };
        let before = probes.len();
        probes.retain(|probe| program.is_some_and(|program| program != probe.program));
        let removed = before - probes.len();
        state.sites.retain(|_, probes| !probes.is_empty());
        Ok(removed)
    }
    fn detach_object(&self, name: &str) -> Result<usize, BackendError> {
        match name {
            "counters" => Ok(std::mem::take(&mut self.0.lock().unwrap().owned).len()),
            _ => Ok(0),
        }
    }
    fn measure(&self, function: &str, path: &str, _: &LoadOptions, calls: u64) -> Result<Measured, BackendError> {
        self.known(function)?;
        self.readable(path)?;
        let state = self.0.lock().unwrap();
        let programs = state.sites.get(function).map_or(0, Vec::len);
        let time = |median| CallTime { least: median - 5, median, calls };
        Ok(Measured {
            stub: time(105),
            present: (programs > 0).then_some(time(400)),
            with: time(1234),
            programs,
            failures: u64::from(path == "oob.bin") * calls,
            misses: 0,
        })
    }
    fn sites(&self, function: Option<&str>) -> Result<Vec<Site>, BackendError> {
        let state = self.0.lock().unwrap();
        let site =
            |name: &str| Site { function: name.into(), probes: state.sites.get(name).cloned().unwrap_or_default() };
        match function {
            None => Ok(state.sites.keys().map(|name| site(name)).collect()),
            Some(name) if state.functions.iter().any(|f| f == name) => Ok(vec![site(name)]),
            Some(name) => Err(BackendError::UnknownFunction { name: name.into() }),
        }
    }
    fn load_object(&self, path: &str, _: &LoadOptions, values: &[(&str, &str)]) -> Result<String, BackendError> {
        self.readable(path)?;
        match values {
            [] => Ok("counters".into()),
            [(name, value), ..] => Ok(format!("counters with {name} {value}")),
        }
    }
    fn unload_object(&self, name: &str) -> bool {
        name == "counters"
    }
    fn attach_object(&self, path: &str, _: &LoadOptions, _: &AttachLimits) -> Result<AttachReport, BackendError> {
        self.readable(path)?;
        let mut state = self.0.lock().unwrap();
        let mut one = |program: &str, function: &str| {
            state.last_id += 1;
            let id = ProbeId::from_raw(state.last_id);
            AttachedProgram { program: program.into(), function: function.into(), id }
        };
        let attached = [one("first", "myfun"), one("second", "main"), one("second", "myother")];
        state.owned.extend(attached.iter().map(|one| one.id));
        Ok(AttachReport { warnings: vec![], attached: attached.to_vec() })
    }
    fn replace_at(
        &self,
        function: &str,
        old: &str,
        path: &str,
        _: &LoadOptions,
    ) -> Result<ReplaceReport, BackendError> {
        self.readable(path)?;
        match (function, old) {
            ("myfun", "count.bin") => Ok(ReplaceReport { warnings: vec!["a remark".into()], count: 1 }),
            _ => Err(BackendError::Other { reason: format!("{function} has no {old}") }),
        }
    }
    fn replace(
        &self,
        old: &str,
        path: &str,
        _: &LoadOptions,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, BackendError> {
        self.readable(path)?;
        match old {
            "counters" => Ok(ReplaceReport { warnings: vec![], count: values.len() }),
            "count.bin" => Ok(ReplaceReport { warnings: vec!["a remark".into()], count: 3 }),
            _ => Err(BackendError::Other { reason: format!("there is no {old}") }),
        }
    }
    fn detach_probe(&self, id: ProbeId) {
        self.0.lock().unwrap().owned.retain(|&one| one != id);
    }
    fn is_attached(&self, id: ProbeId) -> bool {
        self.0.lock().unwrap().owned.contains(&id)
    }
    fn object_programs(
        &self,
        first: usize,
        visit: &mut dyn FnMut(&str, bool, ObjectProgram<'_>) -> bool,
    ) -> Option<usize> {
        // A wide load, a long list, and the end.
        let wide = Insn::LoadImm64 { kind: ImmKind::MapIndex, dst: Reg::R1, imm: 2 };
        let insns = [&[wide, Insn::WideTail][..], &[Insn::Exit; 10]].concat();
        let program = |name, refusal| ObjectProgram {
            name,
            section: "kprobe/myfun",
            insns: &insns,
            machine_code: (name == "first").then_some(77),
            accesses: (2, 1),
            licence: if name == "first" { "GPL" } else { "" },
            refusal,
        };
        let all = [program("first", None), program("second", Some("why not"))];
        for (at, program) in all.into_iter().enumerate().skip(first) {
            if !visit("counters", at == 0, program) {
                return Some(at);
            }
        }
        None
    }
    fn maps(&self, first: usize, visit: &mut dyn FnMut(&str, &Map, bool) -> bool) -> Option<usize> {
        let state = self.0.lock().unwrap();
        for (at, (name, map)) in state.maps.iter().enumerate().skip(first) {
            if !visit(name, map, false) {
                return Some(at);
            }
        }
        None
    }
    fn map(&self, name: &str) -> Option<Arc<Map>> {
        self.0.lock().unwrap().maps.get(name).cloned()
    }
    fn map_types(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        self.0.lock().unwrap().types.get(name).cloned()
    }
    fn hold(&self, map: &str, key: &[u8], what: &str) -> Result<(), BackendError> {
        let state = self.0.lock().unwrap();
        let other = |reason| BackendError::Other { reason };
        let find = |name: &str| state.maps.get(name).ok_or_else(|| other(format!("there is no map `{name}`")));
        let held = find(map)?.hold(key.into(), Held::Map(find(what)?.clone()), 0);
        held.map_err(|error| other(format!("{error}")))
    }
    fn held_name(&self, map: &Map, key: &[u8]) -> Option<String> {
        let Held::Map(held) = map.held(key.into())? else { return None };
        let state = self.0.lock().unwrap();
        state.maps.iter().find(|(_, map)| Arc::ptr_eq(map, &held)).map(|(name, _)| name.clone())
    }
    fn keep_map(&self, name: &str, _: bool) -> bool {
        self.0.lock().unwrap().maps.contains_key(name)
    }
    fn functions(&self, first: usize, visit: &mut dyn FnMut(&str, Option<u64>) -> bool) -> Option<usize> {
        let state = self.0.lock().unwrap();
        let mut rest = state.functions.iter().enumerate().skip(first);
        let several = |name| state.functions.iter().filter(|n| *n == name).count() > 1;
        let refused = rest.position(|(at, name)| !visit(name, several(name).then_some(address(at))))?;
        Some(first + refused)
    }
    fn functions_called(&self, name: &str) -> Vec<u64> {
        self.addresses(name)
    }
    fn map_entries(&self, first: usize, visit: &mut dyn FnMut(u64, u64, u64) -> bool) -> Option<usize> {
        let state = self.0.lock().unwrap();
        let mut rest = state.map.iter().skip(first);
        let refused = rest.position(|(&(key1, key2), &value)| !visit(key1, key2, value))?;
        Some(first + refused)
    }
    fn refused_stubs(&self, first: usize, visit: RefusedStub<'_>) -> Option<usize> {
        let reason = "4 bytes of nops stand at its entry";
        let stubs = [("mystub", 0x1000), ("", 0x2000)];
        let mut places = stubs.iter().enumerate().skip(first);
        let refused = places.find(|(_, &(name, address))| !visit(name, address, &reason));
        refused.map(|(place, _)| place)
    }
    fn map_get(&self, key1: u64, key2: u64) -> Option<u64> {
        self.0.lock().unwrap().map.get(&(key1, key2)).copied()
    }
    fn map_put(&self, key1: u64, key2: u64, value: u64) -> Result<(), BackendError> {
        self.0.lock().unwrap().map.insert((key1, key2), value);
        Ok(())
    }
    fn map_del(&self, key1: u64, key2: u64) -> bool {
        self.0.lock().unwrap().map.remove(&(key1, key2)).is_some()
    }
    fn symbol_address(&self, name: &str) -> Option<u64> {
        (name == "main").then_some(0x1000)
    }
    fn trace_address(&self, name: &str) -> Option<u64> {
        self.known(name).ok().map(|()| 0x1005)
    }
    fn probe_read(&self, address: u64, into: &mut [u8]) -> usize {
        let mapped = (0x1000..0x20000u64).contains(&address);
        let count = if mapped { into.len().min((0x20000 - address) as usize) } else { 0 };
        into[..count].iter_mut().zip(address..).for_each(|(byte, at)| *byte = at as u8);
        count
    }
    fn map_note(&self) -> Option<String> {
        let lost = self.0.lock().unwrap().map.len() > 3;
        lost.then(|| "2 updates of the two-key map were lost".into())
    }
    fn now_ns(&self) -> u64 {
        let cancelled = self.is_cancelled();
        42 + SLICE_NS * self.1.fetch_add(cancelled.into(), SeqCst)
    }
    fn is_cancelled(&self) -> bool {
        self.1.load(SeqCst) > 0
    }
    fn status(&self, out: &mut dyn Write) {
        let _ = writeln!(out, "platform: fake");
        if let Some(id) = &self.0.lock().unwrap().image {
            let _ = writeln!(out, "image: {id}");
        }
    }
    fn set_stats(&self, measure: bool) -> Result<(), BackendError> {
        self.0.lock().unwrap().stats = measure;
        Ok(())
    }
}

/// A shell and what it has said.
pub struct Session {
    pub shell: Shell,
    pub fake: Fake,
}

impl Session {
    pub fn new() -> Self {
        let fake = Fake::new();
        let mut shell = Shell::new(fake.clone(), Config::default());
        shell.connected();
        Self { shell, fake }
    }

    /// Everything the shell has to say now.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut page = [0; 100];
        loop {
            match self.shell.drain(&mut page) {
                0 => return all,
                count => all.extend(&page[..count]),
            }
        }
    }

    /// Feeds everything, draining whenever the shell is full; gives the output.
    pub fn say(&mut self, input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let taken = self.shell.feed(rest);
            rest = &rest[taken..];
            let said = self.drain();
            assert!(taken > 0 || !said.is_empty(), "the shell is stuck");
            output.extend(said);
        }
        output
    }

    pub fn text(&mut self, input: &str) -> String {
        String::from_utf8(self.say(input.as_bytes())).unwrap()
    }
}

/// Number of the first line that differs, and both lines.
pub fn first_difference<'a>(a: &'a str, b: &'a str) -> Option<(usize, (&'a str, &'a str))> {
    let (mut a, mut b) = (a.lines(), b.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some((number, (a.unwrap_or("nothing"), b.unwrap_or("nothing")))),
        }
    }
}

/// Checks a transcript; says where it differs and what to do.
pub fn assert_same(name: &str, actual: &str, expected: &str) {
    if let Some((number, (expected, actual))) = first_difference(expected, actual) {
        panic!(
            "{name}, line {number}:\n  expected {expected:?}\n  but got  {actual:?}\n\
             If that is right: USHELL_BLESS=1 cargo test -p ushell-rs writes the files anew."
        );
    }
}
