//! The table: one row for each thing that can go wrong. Tests and people know these sentences.

use super::Number;
use crate::{
    helpers::RegisterError,
    isa::{AsmError, AsmProblem, DecodeError, EncodeError},
    maps::MapError,
    object::{LowerError, Malformed, Missing, NoPacket, ObjectError, PartError, WriteError, MAX_PACKET},
    platform::{Cancelled, FileError, PatchError},
    program::{LoadError, MapDefError, MapFamily, SignatureError},
    tracer::{AttachError, DetachError, Fault, InitError, Unusable},
    verifier::{Cap, Known, Need, ValueKind, VerifyError, Warning},
    vm::{AccessKind, Regions, Stop, StopKind, MAX_FRAMES},
};

/// The sentences of errors, a row for each variant: its pattern, its sentence, and the names in it: of numbers, and behind a semicolon of
/// what has a text of its own.
macro_rules! sentences {
    (@say $f:ident, $text:literal) => { $crate::text::write($f, sentences!(@template $text [] [])) };
    (@say $f:ident, $text:literal [$a:ident]) => {
        $crate::text::say($f, sentences!(@template $text [$a] []), $a.wide(), 0, 0)
    };
    (@say $f:ident, $text:literal [$a:ident, $b:ident]) => {
        $crate::text::say($f, sentences!(@template $text [$a, $b] []), $a.wide(), $b.wide(), 0)
    };
    (@say $f:ident, $text:literal [$a:ident, $b:ident, $c:ident]) => {
        $crate::text::say($f, sentences!(@template $text [$a, $b, $c] []), $a.wide(), $b.wide(), $c.wide())
    };
    (@say $f:ident, $text:literal [$($number:ident),+]) => {
        $crate::text::say_with($f, sentences!(@template $text [$($number),+] []), &[$($number.wide()),+], &[])
    };
    (@say $f:ident, $text:literal [$($number:ident),*; $($shown:ident $(= $value:expr)?),+]) => {
        $crate::text::say_with(
            $f,
            sentences!(@template $text [$($number),*] [$($shown),+]),
            &[$($number.wide()),*],
            &[$(sentences!(@shown $shown $($value)?)),+],
        )
    };
    (@shown $shown:ident) => { $shown as &dyn core::fmt::Display };
    (@shown $shown:ident $value:expr) => { &$value as &dyn core::fmt::Display };
    (@template $text:literal [$($number:ident),*] [$($shown:ident),*]) => {{
        const NUMBERS: &[&str] = &[$(stringify!($number)),*];
        const SHOWN: &[&str] = &[$(stringify!($shown)),*];
        const BYTES: [u8; $crate::text::template::len($text, NUMBERS.len() + SHOWN.len())] =
            $crate::text::template::compile($text, NUMBERS, SHOWN);
        &BYTES
    }};
    (@names) => { &[] };
    (@names [$($number:ident),* $(; $($shown:ident $(= $value:expr)?),+)?]) => {
        &[$(stringify!($number),)* $($(stringify!($shown)),+)?]
    };
    ($($error:ty { $($variant:pat $(if $guard:expr)? => $text:literal $([$($names:tt)*])?,)+ })+) => {
        $(impl core::fmt::Display for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $($variant $(if $guard)? => sentences!(@say f, $text $([$($names)*])?),)+
                }
            }
        })+
    };
    (pub $list:ident: $($error:ty { $($variant:pat $(if $guard:expr)? => $text:literal $([$($names:tt)*])?,)+ })+) => {
        sentences! { $($error { $($variant $(if $guard)? => $text $([$($names)*])?,)+ })+ }
        /// The sentences, for those who make text of codes.
        #[cfg(feature = "texts")]
        pub(super) const $list: &[$crate::text::Sentence] = &[$($(
            $crate::text::Sentence { text: $text, names: sentences!(@names $([$($names)*])?) },
        )+)+];
    };
}
#[cfg(test)]
pub(super) use sentences;

sentences! {
    pub ENGINE:
    DecodeError {
        Self::OddLength { len } => "{len} bytes are no whole number of 8-byte instructions" [len],
        Self::UnknownOpcode { pc, opcode } => "unknown opcode {opcode:#04x} at PC {pc}" [pc, opcode],
        Self::BadRegister { pc, register } => "register r{register} at PC {pc} does not exist (r0 to r10 do)" [pc, register],
        Self::Reserved { pc, opcode, field, found } =>
            "field {field} of opcode {opcode:#04x} at PC {pc} holds {found:-}, which is reserved" [pc, opcode, found; field],
        Self::JumpThroughRegister { pc } =>
            "jump through a register at PC {pc} (opcode 0x0d, gotox) is not supported: compile with -mcpu=v3" [pc],
        Self::HalfWide { pc } => "wide instruction at PC {pc} has no second half: the program ends there" [pc],
        Self::SecondHalf { pc, field, found } =>
            "the second half of the wide instruction at PC {pc} holds {found:#04x} in field {field}, which must be zero" [pc, found; field],
        Self::NoMemory => "out of memory",
    }

    EncodeError {
        Self::NoSuchForm { pc } => "the instruction at PC {pc} does not exist in this form" [pc],
        Self::HalfWide { pc } => "wide instruction at PC {pc} has no second half" [pc],
        Self::NoMemory => "out of memory",
    }

    AsmError {
        Self { line, problem } => "line {line}: {problem}" [line; problem],
    }

    AsmProblem {
        Self::Expected { what, at } => "{what} is expected at `{at}`" [; what, at],
        Self::OutOfRange { number, what } => "{number} does not fit into {what}" [; number, what],
        Self::UnknownLabel(label) => "there is no label `{label}`" [; label],
        Self::DuplicateLabel(label) => "label `{label}` stands on two lines" [; label],
        Self::Unaligned => "the bytes before are no whole number of 8-byte instructions",
        Self::NoSuchForm => "there is no such instruction",
        Self::NoMemory => "out of memory",
    }

    PatchError {
        Self::Mismatch { addr } => "text at {addr:#x} holds other bytes than expected" [addr],
        Self::NotWritable { addr, code } => "text at {addr:#x} could not be written (code {code:-})" [addr, code],
        Self::SeveralCpus { remedy } => "several CPUs run, and the others cannot be stopped while text is changed: {remedy}" [; remedy],
    }

    FileError {
        Self::NotFound => "no such file",
        Self::TooLarge { limit } => "file too large (limit {limit} bytes)" [limit],
        Self::Unsupported => "not supported on this platform",
        Self::ReadOnly => "files are read-only in this image",
        Self::NoMemory => "out of memory",
        Self::Io(code) => "input/output error (code {code:-})" [code],
    }

    Cancelled {
        Cancelled => "cancelled",
    }

    LoadError {
        Self::Empty => "the program is empty: it has no instruction",
        Self::TooLarge { insns, limit } => "the program has {insns} instructions, more than {limit}" [insns, limit],
        Self::Object => "this is an object file: `ubpf flat FILE.o -o FILE.bin` makes a flat program of it, which can be loaded",
        Self::BigEndian => "this is the text of a big-endian program: compile with -target bpfel",
        Self::Decode(error) => "{error}" [; error],
        Self::Cancelled => "cancelled",
        Self::NoMemory => "out of memory",
    }

    SignatureError {
        Self::Unpaired { register } => "r{register}: a length must follow each memory and nothing else" [register],
        Self::NoMap { register } => "r{register}: there is one map at most, and it comes before keys and values" [register],
        Self::SecondString { register } => "r{register}: there is a string already, and one at most" [register],
    }

    MapDefError {
        Self::KeySize { size, least, most } => "a key of {size} bytes: it has {least} to {most}" [size, least, most],
        Self::ValueSize { size, least, most } => "a value of {size} bytes: it has {least} to {most}" [size, least, most],
        Self::ValueStep { size, step } => "a value of {size} bytes: it has a multiple of {step}" [size, step],
        Self::Entries { entries, most } => "{entries} entries: there are 1 to {most}" [entries, most],
        Self::Inner { kind } if kind.holds_maps() =>
            "maps of kind {kind} hold maps of one definition, and none that hold maps or programs" [; kind = kind.name()],
        Self::Inner { kind } => "maps of kind {kind} hold no maps" [; kind = kind.name()],
        Self::RingSize { bytes } => "a ring of {bytes} bytes: it has a power of two from 4096 on" [bytes],
        Self::TooLarge { bytes, most } => "it would take {bytes} bytes, more than {most}" [bytes, most],
    }

    ObjectError {
        Self::NotAPackage => "this is no package: make one with `ubpf pack FILE.o -o FILE.pkg`",
        Self::Length { found, expected } =>
            "the package has {found} bytes and should have {expected}: it was not transferred as a whole" [found, expected],
        Self::Version { found, known, advice } =>
            "the package has format {found}, and this image reads format {known}: {advice}" [found, known; advice],
        Self::Checksum { found, expected } =>
            "the package was damaged (checksum {found:#010x}, should be {expected:#010x}): transfer it again" [found, expected],
        Self::UnknownSection { at, kind } =>
            "the package has a section of kind {kind} at byte {at}, which this image does not know: update the image" [at, kind],
        Self::Malformed { at, what } => "package, byte {at}: {what}" [at; what],
        Self::Cancelled => "cancelled",
        Self::NoMemory => "out of memory",
    }

    Malformed {
        Self::Beyond(what) => "{what} reaches beyond its end" [; what],
        Self::Reserved(what) => "a reserved field of {what} is not zero" [; what],
        Self::Number { what, number } => "{what} {number} does not exist" [number; what],
        Self::Text => "a name or text lies outside of the strings, is empty or too long, or cannot be shown",
        Self::TooMany { what, limit } => "more than {limit} {what}" [limit; what],
        Self::Order(what) => "{what} is there twice or out of order" [; what],
        Self::Twice(what) => "there are two {what} of one name" [; what],
        Self::Outside(what) => "{what} points outside of the data" [; what],
        Self::Claim(what) => "the instruction is not what the package says of it: {what}" [; what],
        Self::Instruction(what) => "{what}" [; what],
        Self::NoProgram => "there is no program in it",
    }

    PartError<'_> {
        Self::NoMap => "there is no such map in the package",
        Self::Kind { map, kind } => "map {map}: there is no kind {kind}" [kind; map],
        Self::Flags { map, flags } => "map {map}: flags {flags:#x} are unknown" [flags; map],
        Self::Name { map } => "map {map}: its name is too long, or cannot be typed" [; map],
        Self::Definition { map, error } => "map {map}: {error}" [; map, error],
    }

    LowerError<'_> {
        Self::Decode { program, error } => "{program}: {error}" [; program, error],
        Self::UnknownHelper { program, pc, name } => "{program}, PC {pc}: there is no helper {name} in this image" [pc; program, name],
        Self::HelperNumber { program, pc, name, number, known } =>
            "{program}, PC {pc}: helper {name} has number {known}, and the call says {number}" [pc, number, known; program, name],
        Self::UnknownSymbol { program, pc, name } => "{program}, PC {pc}: there is no symbol {name} in this image" [pc; program, name],
        Self::NoProgram => "there is no such program in the package",
        Self::Cancelled => "cancelled",
        Self::NoMemory => "out of memory",
    }

    Missing<'_> {
        Self::Text(text) => "{text}" [; text],
        Self::Helper(number) => "helper {number}, which this image does not have" [number],
    }

    NoPacket {
        Self::Empty => "this program is given a packet, and there is none: --data FILE has its bytes",
        Self::TooLong { bytes } => "a packet of {bytes} bytes is too long: it has at most {most}" [bytes; most = MAX_PACKET],
    }

    WriteError {
        Self::TooLarge => "the object is too large for a package",
        Self::Unreadable(error) => "{error}" [; error],
        Self::Cancelled => "cancelled",
        Self::NoMemory => "out of memory",
    }

    VerifyError {
        Self::InfiniteLoop { pc } => "infinite loop at PC {pc}" [pc],
        Self::TargetOutside { pc, target, len } =>
            "jump out of the program at PC {pc}: target {target:-} is not in 0..{len}" [pc, target, len],
        Self::TargetInsideWide { pc, target } => "jump into the middle of a wide instruction at PC {pc}: target {target}" [pc, target],
        Self::TargetInOtherFunction { pc, target } => "jump into another function at PC {pc}: target {target}" [pc, target],
        Self::FallsOff { pc } => "execution runs past the end of the function after PC {pc}: an exit is missing" [pc],
        Self::UnknownMap { pc, slot, maps } =>
            "wide load of map {slot} at PC {pc}: the program has {maps} maps, numbered from 0" [pc, slot, maps],
        Self::UnknownMapPlace { pc, slot, offset } =>
            "wide load of byte {offset} of map {slot}'s value at PC {pc}: it must be within the one value of an array" [pc, slot, offset],
        Self::Missing { pc } => "PC {pc} needs something that this image does not have (it is a call by BTF id)" [pc],
        Self::UnresolvedCall { pc } =>
            "the call at PC {pc} was not resolved; load the object file (`ubpf flat FILE.o -o FILE.bin` makes a flat program of it)" [pc],
        Self::MissingAddress { pc, what, load } =>
            "{what} at PC {pc} needs an address that the flat file lacks: PC {load} loads a place in the object; load the object file (`ubpf flat FILE.o -o FILE.bin`)" [pc, load; what],
        Self::WritesFramePointer { pc } => "write to r10 at PC {pc}: the frame pointer is read-only" [pc],
        Self::UnknownHelper { pc, number, abi, elsewhere: None } =>
            "unknown helper {number} at PC {pc} (helpers are numbered as in the {abi} ABI)" [pc, number; abi],
        Self::UnknownHelper { pc, number, abi, elsewhere: Some(other) } =>
            "unknown helper {number} at PC {pc} (helpers are numbered as in the {abi} ABI; there is one in the {other} ABI: try --abi {other})" [pc, number; abi, other],
        Self::Unsupported { pc, what } => "{what} at PC {pc} is not supported" [pc; what],
        Self::UnsetRegister { pc, register } => "r{register} is read at PC {pc} but was not set on every path to it" [pc, register],
        Self::UnprovedAccess { pc, base, known, off: 0, need } =>
            "{what} at PC {pc} through r{base} is not proved to be in bounds: r{base} is {known}; {need} (strict policy)" [pc, base; what = need.what(), known, need],
        Self::UnprovedAccess { pc, base, known, off, need } =>
            "{what} at PC {pc} through r{base}{off:+} is not proved to be in bounds: r{base} is {known}; {need} (strict policy)" [pc, base, off; what = need.what(), known, need],
        Self::TooComplex { cap } => "the program is too complex to be proved (strict policy): {cap}; the guarded policy takes it" [; cap],
        Self::Unfinished { cap } => "the program was not verified: {cap}" [; cap],
        Self::UnprovedEnd { pc, what } => "{what} at PC {pc}: the end is not proved (strict policy)" [pc; what],
        Self::HeldRecord { pc, reserved } =>
            "the record reserved at PC {reserved} may still be held where the program ends at PC {pc}: submit or discard it on every path" [pc, reserved],
        Self::NoMemory => "out of memory",
    }

    Warning {
        Self::Unproved { cap } => "too complex to be proved, all is checked: {cap}" [; cap],
        Self::HeldRecord { pc, reserved } => "{error}" [; error = VerifyError::HeldRecord { pc: *pc, reserved: *reserved }],
        Self::UnsetRegister { pc, register } => "r{register} is read at PC {pc} but may not have been set" [pc, register],
    }

    Known {
        Self { kind: ValueKind::Unset, .. } => "unset",
        Self { kind: ValueKind::Scalar, least: i64::MIN, most: i64::MAX } => "any number",
        Self { kind: ValueKind::Scalar, least, most } if least == most => "the number {least:-}" [least],
        Self { kind: ValueKind::Scalar, least, most } => "a number from {least:-} to {most:-}" [least, most],
        Self { kind, least: 0, most: 0 } => "{kind}" [; kind],
        Self { kind, least: i64::MIN, most: i64::MAX } => "{kind} plus any number" [; kind],
        Self { kind, least, most } if least == most => "{kind} {least:+}" [least; kind],
        Self { kind, least, most } => "{kind} plus {least:-} to {most:-}" [least, most; kind],
    }

    ValueKind {
        Self::Unset => "unset",
        Self::Scalar => "a number",
        Self::Argument => "the argument",
        Self::Stack(_) => "the frame pointer",
        Self::Map { nullable: true, .. } => "a map that may be 0",
        kind if kind.is_nullable() => "a pointer that may be null",
        Self::Object { .. } => "a value of a map",
        Self::Record { .. } => "a record",
        Self::Map { .. } => "a map",
    }

    Need {
        Self::Pointer => "a pointer to the argument, the stack or memory of the runtime is needed",
        Self::Within { least, most } => "an offset from {least:-} to {most:-} is needed" [least, most],
        Self::Alignment(to) => "a multiple of {to} is needed" [to],
        Self::NotNull => "a comparison with 0 is needed first",
        Self::Writable => "memory that may be written is needed",
        Self::StringEnd => "a string with its NUL in known memory is needed",
        Self::Map(MapFamily::Lookup) => "a map with values by key is needed",
        Self::Map(MapFamily::Change) => "a map whose keys can be changed is needed",
        Self::Map(MapFamily::PerCpu) => "a map with a value per CPU is needed",
        Self::Map(MapFamily::Push | MapFamily::Peek) => "a queue, a stack or a filter is needed",
        Self::Map(MapFamily::Pop) => "a queue or a stack is needed",
        Self::Map(MapFamily::Cgroups) => "an array of groups is needed",
        Self::Map(MapFamily::Ring) => "a ring is needed",
        Self::Map(MapFamily::Events) => "an array of events is needed",
        Self::Map(MapFamily::Programs) => "an array of programs is needed",
        Self::Map(MapFamily::Stacks) => "a map of stack traces is needed",
        Self::KnownMap => "the map before it must be known",
        Self::Record => "the start of a record that the program holds is needed",
    }

    Cap {
        Self::Work => "the limit of work is reached",
        Self::Memory => "the limit of memory is reached",
        Self::Steps => "the limit of instructions looked at is reached",
        Self::Chains => "there are more chains of calls than are told apart",
        Self::Cancelled => "cancelled",
    }

    MapError {
        Self::Full { capacity } => "the map is full ({capacity} entries): delete some or configure a larger one" [capacity],
        Self::Busy => "the map was busy: another update of it was interrupted",
        Self::NoEntry => "the map does not have this key",
        Self::Exists => "the map has this key already",
        Self::Invalid => "maps of this kind do not do that, or not with these flags",
        Self::OtherThing => "the map holds maps of one definition, and this one has another; or programs of one kind",
        Self::ReadOnly => "the map is read-only",
        Self::Size { size, expected } => "{size} bytes, where the map has {expected}" [size, expected],
        Self::Definition(error) => "{error}" [; error],
        Self::NoMemory => "out of memory",
    }

    Stop {
        Self { pc, kind: StopKind::OutOfBounds { access, addr, size } } =>
            "out of bounds memory {access} at PC {pc}, addr {addr:#x}, size {size}" [pc, addr, size; access],
        Self { pc, kind: StopKind::Unaligned { addr, size } } =>
            "unaligned atomic access at PC {pc}, addr {addr:#x}, size {size}" [pc, addr, size],
        Self { pc, kind: StopKind::BudgetExhausted } => "instruction budget exhausted at PC {pc}" [pc],
        Self { pc, kind: StopKind::Cancelled } => "cancelled at PC {pc}" [pc],
        Self { pc, kind: StopKind::CallDepth } => "call at PC {pc} needs more than {frames} stack frames" [pc; frames = MAX_FRAMES],
        Self { pc, kind: StopKind::UnknownHelper { number } } => "unknown helper {number} called at PC {pc}" [pc, number],
        Self { pc, kind: StopKind::Helper { name, reason } } => "helper {name} at PC {pc}: {reason}" [pc; name, reason],
        Self { pc, kind: StopKind::Internal } => "internal error of the runtime at PC {pc}" [pc],
    }

    Regions {
        Self { argument: (base, len), frame: (frame, size) } => "mem {base:#x}/{len} stack {frame:#x}/{size}" [base, len, frame, size],
    }

    Fault {
        Self::Stopped { stop, regions } => "{stop}\n{regions}" [; stop, regions],
        Self::NoLane => "all slots of values per CPU are in use: more such programs are running than have one each",
    }

    AccessKind {
        Self::Load => "load",
        Self::Store => "store",
        Self::Atomic => "atomic access",
        Self::HelperRead => "load by a helper",
        Self::HelperWrite => "store by a helper",
    }

    RegisterError {
        Self::NameTaken => "a helper of this name exists",
        Self::NumberTaken { number } => "helper number {number} is taken" [number],
        Self::NumberTooLarge { number, limit } => "helper number {number} is too large (at most {limit})" [number, limit],
        Self::BadName => "a name has 1 to 128 bytes, without spaces and control characters",
        Self::BadSignature(error) => "{error}" [; error],
        Self::Full => "the table of helpers is full",
        Self::NoMemory => "out of memory",
    }

    InitError {
        Self::Twice => "the tracer is already initialised",
        Self::NoMemory { hook_areas } => "no memory for {hook_areas} hook areas" [hook_areas],
    }

    DetachError {
        Self::NotAttached => "this probe is not attached",
        Self::Patch(error) => "the probe is off, but its call stays in the text: {error}" [; error],
        Self::Busy { command } => "busy: {command} is at work; try again" [; command],
        Self::NoMemory => "out of memory",
    }

    Unusable {
        Self::NoSymbol => "no symbol says where its function begins: load the symbols of this image first",
        Self::TooLate => "its symbol was not known at start, and nops can be made one instruction only then",
        Self::TooShort { found } =>
            "{found} bytes of nops stand at its entry, and 5 are needed in one piece (-fpatchable-function-entry=N,M with N-M = 5)" [found],
        Self::Calls => "it calls the profiler: compile with -mnop-mcount as well",
        Self::NotInside => "it ends behind the end of its function",
        Self::Unreadable => "its bytes cannot be read",
        Self::NoTextPatch => "this platform cannot patch text",
        Self::Patch(error) => "its nops could not be made one instruction: {error}" [; error],
    }

    AttachError {
        Self::NotInitialised => "the tracer is not initialised",
        Self::NoSite { function } => "function {function} has no entry stub: compile it with -fpatchable-function-entry=5" [; function],
        Self::Denied { function, reason } => "function {function} cannot be traced: {reason}" [; function, reason],
        Self::NoReturn { function, reason } => "no program can be attached to the return of {function}: {reason}" [; function, reason],
        Self::NoTimer { reason } => "there is no timer for it: {reason}" [; reason],
        Self::AlreadyAttached { function, program } => "program {program} is already attached to {function}" [; function, program],
        Self::NoTextPatch => "this platform cannot patch text",
        Self::OutOfReach { addr } => "site {addr:#x} is more than 2 GiB away from the tracer" [addr],
        Self::Patch(error) => "{error}" [; error],
        Self::Busy { command } => "busy: {command} is at work; try again" [; command],
        Self::NoMemory => "out of memory",
    }
}

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
sentences! {
    pub COMPILER:
    crate::jit::JitError {
        Self::NoMemory => "out of memory",
        Self::TooComplex { cap } => "it was not compiled: {cap}" [; cap],
        Self::NoCode { pc } => "there is no machine code for the instruction at PC {pc}" [pc],
        Self::NoRoom { bytes } => "no room for {bytes} bytes of machine code" [bytes],
        Self::OtherMaps => "the program was verified for other maps",
        Self::NotExecutable => "the platform refused to make machine code executable",
    }
}

/// All of them.
#[cfg(feature = "texts")]
pub(super) fn all() -> &'static [&'static [super::Sentence]] {
    &[
        ENGINE,
        #[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
        COMPILER,
    ]
}
