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
    #[test]
    fn finds_a_function_of_this_program() {
        let here = super::own as *const () as u64;
        let symbols = super::own().unwrap();
        let found = symbols.iter().find(|s| s.address == here).unwrap();
        assert!(found.is_function && found.name.contains("own"), "{found:?}");
    }
}
