//! Starts the engine with what the image knows of itself.

use ubpf_rs::runtime::{Config, Runtime, Symbol, SymbolTable};
use ubpf_rs::tracer::SiteKind;

use crate::{platform::PLATFORM, symbols};

extern "C" {
    #[link_name = "__start___patchable_function_entries"]
    static FIRST_RECORD: u64;
    #[link_name = "__stop___patchable_function_entries"]
    static RECORDS_END: u64;
}

/// Starts the engine; when it cannot, a message says so and the application runs without.
pub fn start() {
    let runtime = match Runtime::init(PLATFORM, Config::default()) {
        Ok(runtime) => runtime,
        Err(error) => return println!("no engine: {error}"),
    };
    #[cfg(feature = "elf")]
    runtime.pack_objects_with(ubpf_pack::pack_for_engine);
    let functions =
        symbols::all().map(|symbol| Symbol { address: symbol.address as u64, name: symbol.name, function: true });
    match SymbolTable::new(functions) {
        Ok(table) => runtime.add_symbols(table),
        Err(error) => println!("no symbols: {error}"),
    }
    let sites = runtime.add_sites(records(), SiteKind::Patchable);
    if sites.refused > 0 {
        println!("{} of the compiler's entry stubs cannot be used (functions -v lists them)", sites.refused);
    }
}

/// Addresses of the entry stubs, as the compiler recorded them.
fn records() -> &'static [u64] {
    let (first, end) = (&raw const FIRST_RECORD, &raw const RECORDS_END);
    // SAFETY: the linker script puts the two symbols around the records, which are 8-byte addresses.
    unsafe { core::slice::from_raw_parts(first, (end as usize - first as usize) / 8) }
}
