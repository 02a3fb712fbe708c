//! What an engine is told of the process that it is in, whose functions tests trace.

use ubpf_platform_linux::{records, symbols};
use ubpf_rs::{
    runtime::{Runtime, Symbol, SymbolTable},
    tracer::SiteKind,
};

/// All symbols of the process, and its functions with an entry stub of `-fpatchable-function-entry`.
pub fn add_image(engine: &Runtime) {
    let own = symbols::own().unwrap();
    engine.add_symbols(SymbolTable::new(own.iter().map(Symbol::from)).unwrap());
    engine.add_sites(&records::own().patchable, SiteKind::Patchable);
}
