//! Symbols of the running executable, from its own file.

use object::{Object, ObjectSymbol, SymbolKind};
use std::{fs, io};
use ubpf_rs::runtime;

/// A function or object of the executable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Where it is in this process.
    pub address: u64,
    /// Its size in bytes, 0 where unknown.
    pub size: u64,
    /// Whether it is a function.
    pub is_function: bool,
}

/// As the engine is told of it.
impl<'s> From<&'s Symbol> for runtime::Symbol<'s> {
    fn from(symbol: &'s Symbol) -> Self {
        runtime::Symbol { address: symbol.address, name: &symbol.name, function: symbol.is_function }
    }
}

/// Symbols of `/proc/self/exe` at their addresses in this process, ascending by address.
pub fn own() -> io::Result<Vec<Symbol>> {
    let bytes = fs::read("/proc/self/exe")?;
    let file = object::File::parse(&*bytes).map_err(io::Error::other)?;
    // SAFETY: getauxval takes a number and reads what the kernel gave the process.
    let entry = unsafe { libc::getauxval(libc::AT_ENTRY) };
    let bias = entry.wrapping_sub(file.entry());
    let mut symbols: Vec<_> = file.symbols().filter_map(|s| symbol(&s, bias)).collect();
    symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    Ok(symbols)
}

/// Those functions of C++ and Rust that have an entry stub, by the names that the source has. `stubs` are their addresses, ascending. Other
/// functions are left out: every name makes each search for one longer.
pub fn by_source(own: &[Symbol], stubs: &[u64]) -> Vec<Symbol> {
    let has_stub = |s: &&Symbol| {
        let next = stubs.get(stubs.partition_point(|&stub| stub < s.address));
        next.is_some_and(|&stub| stub - s.address < s.size.max(1))
    };
    let functions = own.iter().filter(|s| s.is_function).filter(has_stub);
    functions.filter_map(|s| Some(Symbol { name: ubpf_names::of_source(&s.name)?, ..s.clone() })).collect()
}

fn symbol(symbol: &object::Symbol<'_, '_>, bias: u64) -> Option<Symbol> {
    let is_function = symbol.kind() == SymbolKind::Text;
    let wanted = is_function || symbol.kind() == SymbolKind::Data;
    let name = symbol.name().ok().filter(|name| !name.is_empty())?;
    if !wanted || symbol.is_undefined() {
        return None;
    }
    Some(Symbol { name: name.into(), address: symbol.address().wrapping_add(bias), size: symbol.size(), is_function })
}

#[cfg(test)]
mod tests {
    use super::{by_source, Symbol};

    #[test]
    fn functions_with_stubs_have_a_second_name() {
        let symbol = |name: &str, address, is_function| Symbol { name: name.into(), address, size: 8, is_function };
        let own = [
            symbol("_Z1av", 16, true),
            symbol("_Z1bv", 24, true),
            symbol("_Z1cv", 32, true),
            symbol("_Z1dv", 32, false),
            symbol("e", 48, true),
        ];
        let names: Vec<String> = by_source(&own, &[16, 31, 40, 48]).into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["a()", "b()"]);
    }

    #[test]
    fn finds_a_function_of_this_program() {
        let here = super::own as *const () as u64;
        let symbols = super::own().unwrap();
        let found = symbols.iter().find(|s| s.address == here).unwrap();
        assert!(found.is_function && found.name.contains("own"), "{found:?}");
    }
}
