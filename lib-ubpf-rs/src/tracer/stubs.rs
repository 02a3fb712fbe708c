//! From the compiler's records to sites: which stubs can be used, and why the others cannot.
//!
//! A record alone does not say where a function begins: with `-fpatchable-function-entry=N,M` it points M bytes before
//! the entry. So the symbols are asked, and only what lies behind an entry and before the next symbol is a stub.

use super::{
    arch::current::patch::{self, Rewrite, Stub, ENDBR64, LONGEST_NOP, NOP, STUB_LEN},
    control::{Tracer, TracerState},
    refused::{Refused, Unusable},
    site::{Site, SiteKind},
    Settings,
};
use crate::platform::{sort_by, FaultSafeRead, PatchError, TextChange, TextPatch};

/// Farthest a stub lies behind the start of its function: behind `endbr64`, or with `-pg` behind the prologue that
/// saves and sets the frame pointer.
pub const STUB_REACH: u64 = 64;

/// Most bytes that `-fpatchable-function-entry=N,M` puts before an entry.
const LONGEST_PREFIX: u64 = u16::MAX as u64;

/// So many new sites are put in their place one by one: sorting all of them again would take longer.
const FEW_SITES: usize = 4;

/// Stubs that are rewritten together at start: few, since all of them stand on the stack.
const TOGETHER: usize = 32;

/// Stubs that are looked at without giving way.
const PIECE: usize = 64;

/// What the symbols of the image say of an address; nothing, by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Neighbours {
    /// Start of the function that the address lies in: the last symbol at or below it, when that is a function.
    pub function: Option<u64>,
    /// The first symbol above it.
    pub next: Option<u64>,
}

/// What the symbols of the image say, by address.
pub type Symbols<'a> = &'a dyn Fn(u64) -> Neighbours;

/// When stubs are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StubMoment {
    /// At start: nobody runs in the functions yet, so nops may become one instruction.
    Start,
    /// Later: only where the platform says that no thread can stand between two nops.
    Later,
}

/// Result of [`Tracer::add_sites`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SiteCount {
    /// New sites.
    pub added: usize,
    /// Of those, sites whose nops became one.
    pub rewritten: usize,
    /// Records of stubs that cannot be used.
    pub refused: usize,
    /// The first of these.
    pub first_refused: Option<Refused>,
    /// Records that are known no more than before, for want of memory. They can be given once more.
    pub without_memory: usize,
}

impl SiteCount {
    /// No memory for any of so many records.
    pub fn without_memory(records: usize) -> Self {
        SiteCount { without_memory: records, ..SiteCount::default() }
    }
}

impl Tracer {
    /// Takes the compiler's records (addresses of stubs, of functions for [`SiteKind::Instrumented`]) and makes each stub
    /// one five-byte nop. To be called at start, before threads run in the functions that the records name. What cannot be
    /// used is kept with the reason, and looked at again by [`recheck`](Self::recheck).
    pub fn add_sites(&self, records: &[u64], kind: SiteKind, symbols: Symbols<'_>) -> SiteCount {
        let mut count = SiteCount::default();
        let Some(settings) = self.settings() else {
            return count;
        };
        let mut state = self.control.lock();
        if state.sites.try_reserve(records.len()).is_err() {
            return SiteCount::without_memory(records.len());
        }
        let before = state.sites.len();
        let few = records.len() <= FEW_SITES;
        for piece in records.chunks(TOGETHER) {
            prepare_together(settings, piece, kind, symbols, |prepared| match prepared {
                Ok((addr, rewritten)) => {
                    let site = Site { addr, kind };
                    match few {
                        true => state.put(site),
                        false => state.sites.push(site),
                    }
                    count.rewritten += usize::from(rewritten);
                }
                Err(refused) => {
                    count.refused += 1;
                    count.first_refused.get_or_insert(refused);
                    count.without_memory += usize::from(!state.keep_refused(refused));
                }
            });
        }
        if !few {
            crate::platform::sort(&mut state.sites);
            state.sites.dedup_by_key(|s| s.addr);
        }
        if count.refused > 0 {
            state.sort_refused();
        }
        count.added = state.sites.len() - before;
        count
    }

    /// Looks again at some stubs that could not be used, since the symbols changed: from record `from` on. Gives the record
    /// at which to go on, `Some(None)` at the end; `None` without memory.
    pub fn recheck(&self, from: u64, symbols: Symbols<'_>, moment: StubMoment) -> Option<Option<u64>> {
        let Some(settings) = self.settings() else {
            return Some(None);
        };
        let mut state = self.control.lock();
        let at = state.refused.partition_point(|r| r.record < from);
        let end = state.refused.len().min(at + PIECE);
        // Sites are put in first, so that none is lost without memory.
        state.sites.try_reserve(end - at).ok()?;
        for index in at..end {
            let Refused { record, kind, .. } = state.refused[index];
            match prepare(settings, record, kind, symbols, moment) {
                Ok((addr, _)) => {
                    state.put(Site { addr, kind });
                    state.refused[index].usable = true;
                }
                Err(again) => state.refused[index] = again,
            }
        }
        let next = state.refused.get(end).map(|r| r.record);
        state.refused.retain(|r| !r.usable);
        Some(next)
    }

    /// Number of known sites.
    pub fn site_count(&self) -> usize {
        self.control.lock().sites.len()
    }

    /// Why the stub of the function that starts at `start` cannot be used, if it has one.
    pub fn refusal(&self, start: u64) -> Option<Unusable> {
        let state = self.control.lock();
        let refused = state.refused.iter().find(|r| r.function == start);
        refused.map(|r| r.reason)
    }

    /// Calls `each` with some of the stubs that cannot be used, from place `first` in the list on, until it says false. Gives the
    /// place at which to go on, that of the stub at which it said so if it did; `None` at the end. `each` must not call the tracer.
    pub fn some_refused(&self, first: usize, each: &mut dyn FnMut(Refused) -> bool) -> Option<usize> {
        let state = self.control.lock();
        let rest = state.refused.get(first..)?;
        let enough = rest.iter().take(PIECE).position(|&refused| !each(refused));
        let seen = enough.unwrap_or(PIECE);
        (seen < rest.len()).then_some(first + seen)
    }
}

impl TracerState {
    /// False without memory.
    fn keep_refused(&mut self, refused: Refused) -> bool {
        let room = self.refused.try_reserve(1).is_ok();
        if room {
            self.refused.push(refused);
        }
        room
    }

    /// Orders what was refused, each record once.
    fn sort_refused(&mut self) {
        let key = |r: &Refused| (r.record, r.kind);
        sort_by(&mut self.refused, |a, b| key(a) < key(b));
        self.refused.dedup_by_key(|r| key(r));
    }

    /// Puts a site in its place, for which there is room.
    fn put(&mut self, site: Site) {
        let place = self.sites.partition_point(|known| known.addr < site.addr);
        if self.sites.get(place).is_none_or(|s| s.addr != site.addr) {
            self.sites.insert(place, site);
        }
    }
}

/// What a record leads to.
#[derive(Clone, Copy)]
struct Found {
    /// Where the stub is.
    addr: u64,
    /// What is to be written there before it can be used.
    rewrite: Option<Rewrite>,
    /// What to say if that fails; the reason is none yet.
    refused: Refused,
}

/// Checks the stub that a record points to and makes it one instruction; its address, and whether it had to be rewritten.
fn prepare(
    settings: &Settings,
    record: u64,
    kind: SiteKind,
    symbols: Symbols<'_>,
    moment: StubMoment,
) -> Result<(u64, bool), Refused> {
    let found = look(settings, record, kind, symbols, moment)?;
    let Some(rewrite) = found.rewrite else {
        return Ok((found.addr, false));
    };
    let text = text(settings).map_err(|reason| found.refused.with(reason))?;
    // SAFETY: nops take the place of nops, behind an entry that the symbols name.
    unsafe { text.replace(found.addr as usize, rewrite.old(), rewrite.fresh()) }
        .map_err(|error| found.refused.with(Unusable::Patch(error)))?;
    Ok((found.addr, true))
}

/// The same at start with up to [`TOGETHER`] records, of which those that are 0 are none; the stubs are rewritten together.
fn prepare_together(
    settings: &Settings,
    records: &[u64],
    kind: SiteKind,
    symbols: Symbols<'_>,
    mut each: impl FnMut(Result<(u64, bool), Refused>),
) {
    let moment = StubMoment::Start;
    let records = records.iter().copied().filter(|&r| r != 0);
    let mut rewrites = [const { None }; TOGETHER];
    let mut count = 0;
    for record in records {
        match look(settings, record, kind, symbols, moment) {
            Ok(Found { addr, rewrite: Some(rewrite), refused }) if count < TOGETHER => {
                rewrites[count] = Some((addr, rewrite, refused));
                count += 1;
            }
            looked => each(looked.map(|found| (found.addr, false))),
        }
    }
    // What has to be rewritten was found only where the platform can.
    let Ok(text) = text(settings) else { return };
    let mut changes = [TextChange::new(0, &[], &[]); TOGETHER];
    for ((addr, rewrite, _), change) in rewrites.iter().flatten().zip(&mut changes) {
        *change = TextChange::new(*addr as usize, rewrite.old(), rewrite.fresh());
    }
    // SAFETY: nops take the place of nops, behind entries that the symbols name.
    unsafe { text.replace_all(&mut changes[..count]) };
    for ((addr, _, refused), change) in rewrites.iter().flatten().zip(&changes) {
        each(match change.result {
            Ok(()) => Ok((*addr, true)),
            // The same record twice: it is one instruction by now.
            Err(PatchError::Mismatch { .. }) => prepare(settings, refused.record, kind, symbols, moment),
            Err(error) => Err(refused.with(Unusable::Patch(error))),
        });
    }
}

fn text(settings: &Settings) -> Result<&'static dyn TextPatch, Unusable> {
    settings.platform.text.ok_or(Unusable::NoTextPatch)
}

/// Checks the stub that a record points to.
fn look(
    settings: &Settings,
    record: u64,
    kind: SiteKind,
    symbols: Symbols<'_>,
    moment: StubMoment,
) -> Result<Found, Refused> {
    let read = settings.platform.probe_read;
    let function = match kind {
        SiteKind::Instrumented | SiteKind::Timer => Some(record),
        SiteKind::Patchable | SiteKind::Mcount => function_of(record, kind, symbols, read),
    };
    let refused =
        Refused { function: function.unwrap_or(record), reason: Unusable::NoTextPatch, record, kind, usable: false };
    if !kind.is_patched() {
        return Ok(Found { addr: record, rewrite: None, refused });
    }
    let start = match kind {
        SiteKind::Patchable => function.unwrap_or(record),
        SiteKind::Mcount | SiteKind::Instrumented | SiteKind::Timer => record,
    };
    let found = find(start, kind, function, symbols, read);
    let (addr, rewrite) = found.map_err(|reason| refused.with(reason))?;
    if rewrite.is_some() {
        let text = text(settings).map_err(|reason| refused.with(reason))?;
        if moment == StubMoment::Later && !text.exclusive() {
            return Err(refused.with(Unusable::TooLate));
        }
    }
    Ok(Found { addr, rewrite, refused })
}

impl Refused {
    fn with(self, reason: Unusable) -> Refused {
        Refused { reason, ..self }
    }
}

/// Start of the function that a record is of; `None` when no symbol says.
fn function_of(record: u64, kind: SiteKind, symbols: Symbols<'_>, read: &dyn FaultSafeRead) -> Option<u64> {
    let here = symbols(record);
    let behind = |start: &u64| record - start;
    if kind == SiteKind::Mcount {
        return here.function.filter(|start| behind(start) < STUB_REACH);
    }
    let at_entry = |start: &u64| {
        let mut first = [0; ENDBR64.len()];
        match behind(start) {
            0 => true,
            4 => read.read(*start, &mut first) == first.len() && first == ENDBR64,
            _ => false,
        }
    };
    let before_entry = |next: &u64| {
        next - record <= LONGEST_PREFIX && symbols(*next).function == Some(*next) && only_nops(record, *next, read)
    };
    let own = here.function.filter(at_entry);
    own.or_else(|| here.next.filter(before_entry))
}

/// Whether nothing but one-byte nops stands between two addresses: what compilers put before an entry.
fn only_nops(from: u64, to: u64, read: &dyn FaultSafeRead) -> bool {
    let mut at = from;
    while at < to {
        let mut bytes = [0; 64];
        let len = (to - at).min(bytes.len() as u64) as usize;
        let bytes = &mut bytes[..len];
        if read.read(at, bytes) < len || bytes.iter().any(|&byte| byte != NOP) {
            return false;
        }
        at += len as u64;
    }
    true
}

/// The stub at `start`, and what is to be written there before it is one. Where no symbol says that a function is
/// there, only one instruction is taken: no entry can stand within.
fn find(
    start: u64,
    kind: SiteKind,
    function: Option<u64>,
    symbols: Symbols<'_>,
    read: &dyn FaultSafeRead,
) -> Result<(u64, Option<Rewrite>), Unusable> {
    let mut bytes = [0; ENDBR64.len() + LONGEST_NOP];
    let readable = read.read(start, &mut bytes);
    let bytes = bytes.get(..readable).unwrap_or(&[]);
    if bytes.is_empty() {
        return Err(Unusable::Unreadable);
    }
    let (offset, length, rewrite) = match patch::recognise(bytes) {
        Some(Stub::Nop5 { offset, .. }) => (offset, STUB_LEN, None),
        Some(Stub::Nops { .. }) if function.is_none() => return Err(Unusable::NoSymbol),
        Some(Stub::Nops { offset, length, rewrite }) => (offset, length, Some(rewrite)),
        None => return Err(why_not(bytes, kind, function.is_some())),
    };
    let addr = start + offset as u64;
    match symbols(addr).next {
        Some(next) if next - addr < length as u64 => Err(Unusable::NotInside),
        _ => Ok((addr, rewrite)),
    }
}

/// Why bytes are no stub.
fn why_not(bytes: &[u8], kind: SiteKind, known: bool) -> Unusable {
    let bytes = bytes.strip_prefix(&ENDBR64).unwrap_or(bytes);
    match (kind, bytes) {
        // A call, or one through a table.
        (SiteKind::Mcount, [0xe8, ..] | [0xff, 0x15, ..]) => Unusable::Calls,
        _ if !known => Unusable::NoSymbol,
        _ => Unusable::TooShort { found: patch::nops(bytes) },
    }
}
