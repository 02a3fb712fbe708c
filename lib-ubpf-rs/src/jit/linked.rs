//! Programs compiled ahead of time: what a tool writes into an object, and what an image finds of it.
//!
//! Beside the machine code stands the program itself. An image verifies it again, with its own helpers, before it runs the code: a
//! fingerprint of all that the compiler went by shows whether it would have made the same of it.

use super::{
    arch::Draft,
    code::{style, RegisterUse, StopSites, Style},
    context::{Routines, RunContext, Window, BIAS},
    Options,
};
use crate::{
    program::Abi,
    verifier::{Access, Policy, Target, VerifiedProgram, Work},
};
use alloc::vec::Vec;
use core::{mem::offset_of, slice};

/// A program in an image, as one entry of a table made by the linker.
#[repr(C)]
#[derive(Debug)]
pub struct LinkedProgram {
    magic: u32,
    version: u16,
    abi: u8,
    policy: u8,
    flags: u16,
    clobbers: u16,
    reads: u16,
    _apart: u16,
    pub(super) entry: u32,
    code_len: u32,
    bytecode_len: u32,
    sites_len: u32,
    name_len: u32,
    pub(super) fingerprint: u64,
    name: *const u8,
    bytecode: *const u8,
    code: *const u8,
    sites: *const [u32; 2],
}

// SAFETY: nothing in an entry changes.
unsafe impl Sync for LinkedProgram {}

const MAGIC: u32 = u32::from_le_bytes(*b"uBPF");
/// Of the layout of an entry and of what emitted code expects; to be counted up when either changes in a way that [`fingerprint`] does
/// not show.
const VERSION: u16 = 3;

const METERED: u16 = 1;
const GUARD_ALL: u16 = 1 << 1;
const EXTENDED: u16 = 1 << 2;
const STRAIGHT: u16 = 1 << 3;

fn number<T: PartialEq>(of: &[T], one: &T) -> u8 {
    of.iter().position(|o| o == one).unwrap_or(of.len()) as u8
}

impl LinkedProgram {
    /// Section of the table, whose bounds the linker names `__start_` and `__stop_` with this.
    pub const SECTION: &'static str = "ubpf_programs";

    /// Whether it is one that this version understands.
    pub fn is_known(&self) -> bool {
        (self.magic, self.version) == (MAGIC, VERSION)
            && usize::from(self.abi) < Abi::ALL.len()
            && usize::from(self.policy) < Policy::ALL.len()
    }

    fn part<T>(at: *const T, len: u32) -> &'static [T] {
        // SAFETY: whoever gave the table says that it and what it points to are as the tool wrote them, for ever.
        unsafe { slice::from_raw_parts(at, len as usize) }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        core::str::from_utf8(Self::part(self.name, self.name_len)).unwrap_or("?")
    }

    /// The program, flat.
    pub fn bytecode(&self) -> &'static [u8] {
        Self::part(self.bytecode, self.bytecode_len)
    }

    /// Its machine code.
    pub fn code(&self) -> &'static [u8] {
        Self::part(self.code, self.code_len)
    }

    /// The numbering of helpers it was compiled for.
    pub fn abi(&self) -> Abi {
        Abi::ALL.get(usize::from(self.abi)).copied().unwrap_or(Abi::Classic)
    }

    /// The policy it was verified under.
    pub fn policy(&self) -> Policy {
        let policy = Policy::ALL.get(usize::from(self.policy));
        policy.copied().unwrap_or(Policy::Guarded)
    }

    pub(super) fn sites(&self) -> &'static [[u32; 2]] {
        Self::part(self.sites, self.sites_len)
    }

    pub(super) fn style(&self) -> Style {
        Style {
            guard_all: self.flags & GUARD_ALL != 0,
            metered: self.flags & METERED != 0,
            extended: self.flags & EXTENDED != 0,
        }
    }

    pub(super) fn registers(&self) -> RegisterUse {
        RegisterUse { clobbers: self.clobbers, reads: self.reads, straight: self.flags & STRAIGHT != 0 }
    }
}

/// Machine code to be linked into an image.
#[derive(Debug)]
pub struct Ahead {
    /// The code; without relocations.
    pub code: Vec<u8>,
    /// Places that can stop a run: offset, PC. Each eight bytes, little-endian.
    pub sites: Vec<u8>,
    /// The table's entry without its pointers.
    pub entry: Vec<u8>,
}

impl Ahead {
    /// Offset in the entry of the pointer to the name.
    pub const NAME: u64 = offset_of!(LinkedProgram, name) as u64;
    /// Of the pointer to the flat program.
    pub const BYTECODE: u64 = offset_of!(LinkedProgram, bytecode) as u64;
    /// Of the pointer to the code.
    pub const CODE: u64 = offset_of!(LinkedProgram, code) as u64;
    /// Of the pointer to the places.
    pub const SITES: u64 = offset_of!(LinkedProgram, sites) as u64;

    /// Compiles `program`, which `bytecode` is the flat form of. With `options.baseline` the code runs on every CPU, else on CPUs
    /// like this one. `None` without memory, or where that takes too much work.
    pub fn new(program: &VerifiedProgram, bytecode: &[u8], options: Options) -> Option<Ahead> {
        let style = style(program, Options { metered: false, ..options });
        let mut work = Work::default();
        let draft = Draft::new(program, None, style, &mut work).ok()?;
        let registers = draft.registers();
        let mut code = Vec::new();
        code.try_reserve_exact(draft.len()).ok()?;
        code.resize(draft.len(), 0);
        let (start, sites) = draft.write(&mut code, &mut work).ok()?;
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let entry = LinkedProgram {
            magic: MAGIC,
            version: VERSION,
            abi: number(&Abi::ALL, &program.program().abi),
            policy: number(&Policy::ALL, &program.policy()),
            flags: flag(style.metered, METERED)
                | flag(style.guard_all, GUARD_ALL)
                | flag(style.extended, EXTENDED)
                | flag(registers.straight, STRAIGHT),
            clobbers: registers.clobbers,
            reads: registers.reads,
            _apart: 0,
            entry: u32::try_from(start).ok()?,
            code_len: u32::try_from(code.len()).ok()?,
            bytecode_len: u32::try_from(bytecode.len()).ok()?,
            sites_len: u32::try_from(sites.len()).ok()?,
            name_len: u32::try_from(program.program().name.len()).ok()?,
            fingerprint: fingerprint(program, style, [bytecode, &code]),
            name: core::ptr::null(),
            bytecode: core::ptr::null(),
            code: core::ptr::null(),
            sites: core::ptr::null(),
        };
        Some(Ahead { code, sites: site_bytes(&sites), entry: entry.bytes() })
    }
}

fn site_bytes(sites: &StopSites) -> Vec<u8> {
    let words = sites.iter().flat_map(|&(end, pc)| [end, pc]);
    words.flat_map(u32::to_le_bytes).collect()
}

impl LinkedProgram {
    /// As it lies in memory; its pointers are null.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.magic.to_le_bytes());
        bytes.extend(self.version.to_le_bytes());
        bytes.extend([self.abi, self.policy]);
        for half in [self.flags, self.clobbers, self.reads, self._apart] {
            bytes.extend(half.to_le_bytes());
        }
        for word in [self.entry, self.code_len, self.bytecode_len, self.sites_len, self.name_len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(offset_of!(LinkedProgram, fingerprint), 0);
        bytes.extend(self.fingerprint.to_le_bytes());
        bytes.resize(size_of::<LinkedProgram>(), 0);
        bytes
    }
}

/// A number that changes with everything that the compiler goes by: the program, what the verifier found out, the style, where emitted
/// code finds things; and with the code itself. `bytes` are the flat program and its code.
pub(super) fn fingerprint(program: &VerifiedProgram, style: Style, bytes: [&[u8]; 2]) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let bytes = bytes.into_iter().flatten();
    bytes.for_each(|&byte| hash.add(byte.into()));
    LAYOUT.iter().for_each(|&part| hash.add(part as u64));
    hash.add(u64::from(style.guard_all) | u64::from(style.metered) << 1 | u64::from(style.extended) << 2);
    hash.add(program.worst_cost().unwrap_or(u64::MAX));
    hash.add(program.argument_needed());
    hash.add(program.uses().bits().into());
    hash.add(program.program().entry as u64);
    program.functions().iter().for_each(|&f| hash.add(f as u64));
    for pc in 0..program.program().insns.len() {
        hash.add(program.insn_charge(pc));
        let access = match program.access(pc) {
            Access::None => 0,
            Access::Proved => 1,
            Access::Guarded => 2,
        };
        let target = match program.target(pc) {
            Target::Unknown => 0,
            Target::Stack => 1,
            Target::Argument => 2,
            Target::Arena => 3,
            Target::Rodata => 4,
        };
        hash.add(
            access
                | target << 2
                | u64::from(program.reachable(pc)) << 5
                | u64::from(program.divisor_is_not_zero(pc)) << 6
                | u64::from(program.divisor_is_not_minus_one(pc)) << 7,
        );
    }
    hash.0
}

/// Offsets that emitted code has in it.
const LAYOUT: [usize; 15] = [
    VERSION as usize,
    BIAS,
    offset_of!(RunContext, argument),
    offset_of!(RunContext, arena),
    offset_of!(RunContext, floor),
    offset_of!(RunContext, routines),
    offset_of!(Window, limits),
    size_of::<Routines>(),
    offset_of!(Routines, helper_keep),
    offset_of!(Routines, map_get),
    offset_of!(Routines, hash_get),
    offset_of!(Routines, notify),
    offset_of!(Routines, stop_budget),
    offset_of!(Routines, search),
    crate::vm::FRAME_BYTES,
];

/// FNV-1a, a word at a time.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}
