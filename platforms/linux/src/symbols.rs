//! Symbols of the running executable, from its own file.

use object::{Object, ObjectSymbol, SymbolKind};
use std::{fs, io};

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
    functions.filter_map(|s| Some(Symbol { name: demangled(&s.name)?, ..s.clone() })).collect()
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

/// A mangled name as the source has it: of Rust without the hash, of C++ with the types of the parameters; `None` for other names, also
/// for parts of functions (`.cold`), which have the name of the whole.
fn demangled(name: &str) -> Option<String> {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return Some(format!("{name:#}"));
    }
    if !name.starts_with("_Z") || name.contains('.') {
        return None;
    }
    cpp_demangle::Symbol::new(name).ok()?.demangle().ok()
}

#[cfg(test)]
mod tests {
    use super::{by_source, demangled, Symbol};

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
    fn names_as_the_source_has_them() {
        let is = |name, source: Option<&str>| assert_eq!(demangled(name).as_deref(), source, "{name}");
        is("_ZNK6LedgerIlE5totalEv", Some("Ledger<long>::total() const"));
        is("_ZN4shop5price17h0123456789abcdefE", Some("shop::price"));
        is("_RNvCs1234_4shop5price", Some("shop::price"));
        is("_ZN6LedgerIlEC2Ev", Some("Ledger<long>::Ledger()"));
        is("_Z3addii.cold", None);
        is("main", None);
        is("_Z", None);
        is("_Znonsense", None);
        let deep = ["_Z1f", &"P".repeat(100_000), "i"].concat();
        is(&deep, None);
    }

    #[test]
    fn finds_a_function_of_this_program() {
        let here = super::own as *const () as u64;
        let symbols = super::own().unwrap();
        let found = symbols.iter().find(|s| s.address == here).unwrap();
        assert!(found.is_function && found.name.contains("own"), "{found:?}");
    }
}
