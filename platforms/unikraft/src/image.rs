//! What is known of the running image: the embedded names and stubs, and the compiler's records.

use crate::glue::{self, Range};
use alloc::vec::Vec;
use ubpf_rs::{
    runtime::{Embedded, Runtime},
    tracer::SiteKind,
};

/// Gives the engine the programs that were compiled ahead of time and linked into the image.
#[cfg(feature = "jit")]
pub fn add_programs(runtime: &Runtime) {
    use ubpf_rs::jit::LinkedProgram;
    // SAFETY: no preconditions; the range is the section that the linker made of such entries, or empty.
    unsafe {
        let range = glue::ukglue_programs();
        let count = range.len() / size_of::<LinkedProgram>();
        if count > 0 {
            let table = core::slice::from_raw_parts(range.start.cast::<LinkedProgram>(), count);
            runtime.add_linked(table);
        }
    }
}

/// Gives the engine names and sites; says how many of each there are.
pub fn describe(runtime: &Runtime) -> (usize, usize) {
    // SAFETY: no preconditions; the ranges are static tables or empty.
    let (symbols, patchable, mcount) = unsafe {
        (bytes(glue::ukglue_symbols()), bytes(glue::ukglue_records_patchable()), bytes(glue::ukglue_records_mcount()))
    };
    let (id, symbols) = symbols.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let embedded = Embedded::new(symbols);
    if let Some(embedded) = embedded {
        runtime.add_symbols(embedded.into());
        runtime.set_image_id(*id);
    }
    let mut sites = 0;
    for (kind, number) in [(SiteKind::Patchable, 1), (SiteKind::Mcount, 2), (SiteKind::Instrumented, 3)] {
        let records = collect(embedded.iter().flat_map(|embedded| embedded.stubs(number)));
        sites += add(runtime, &records, kind);
    }
    // Without the embedded table the compiler's own records say where the stubs are.
    if sites == 0 {
        sites += add(runtime, &collect(words(patchable)), SiteKind::Patchable);
        sites += add(runtime, &collect(words(mcount)), SiteKind::Mcount);
    }
    (embedded.map_or(0, |embedded| embedded.len()), sites)
}

fn add(runtime: &Runtime, records: &[u64], kind: SiteKind) -> usize {
    let sites = runtime.add_sites(records, kind);
    if let Some(first) = sites.first_refused {
        crate::say(format_args!(
            "ubpf: {} entry stubs cannot be used; the first one, of the function at {:#x}: {} (functions -v lists them)",
            sites.refused, first.function, first.reason
        ));
    }
    sites.added
}

/// # Safety
/// The range is a static table or empty.
unsafe fn bytes(range: Range) -> &'static [u8] {
    if range.start.is_null() || range.len() == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { core::slice::from_raw_parts(range.start.cast(), range.len()) }
}

fn collect(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut all = Vec::new();
    for value in values {
        if all.try_reserve(1).is_err() {
            break;
        }
        all.push(value);
    }
    all
}

fn words(records: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let words = records.chunks_exact(8);
    words.filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
}
