//! What the step after linking writes is what the engine reads.

use std::borrow::Cow;
use ubpf_embed::{names::Function, table::encode};
use ubpf_rs::runtime::{Embedded, Symbol, SymbolTable};

/// Several names of one address, one name at several, and names that begin alike.
fn functions(count: u64) -> Vec<Function<'static>> {
    let name = |number: u64| match number % 5 {
        0 => "_ZN3same4nameEv".to_string(),
        1 => format!("_R{number}"),
        _ => format!("function_{}", number.wrapping_mul(7919) % 1009),
    };
    let of = |number: u64| Function {
        address: 0x10_0000 + number / 3 * 16,
        name: Cow::Owned(name(number)),
        stub: if number.is_multiple_of(3) { ((number % 4) as u8, (number % 64) as u8) } else { (0, 0) },
    };
    let mut all: Vec<_> = (0..count).map(of).collect();
    all.dedup_by(|a, b| a.address == b.address && a.name == b.name);
    all
}

#[test]
fn what_is_embedded_is_found_as_in_a_table_that_was_made() {
    for count in [1, 2, 3000, 70_000] {
        let functions = functions(count);
        let bytes: &'static [u8] = Box::leak(encode(&functions).expect("a table").into_boxed_slice());
        let embedded = Embedded::new(bytes).expect("a table");
        for kind in 1..=3 {
            let stubs = functions.iter().filter(|f| f.stub.0 == kind).map(|f| f.address + u64::from(f.stub.1));
            assert!(embedded.stubs(kind).eq(stubs));
        }
        let symbols = functions.iter().map(|f| Symbol { address: f.address, name: &f.name, function: true });
        let (made, read) = (SymbolTable::new(symbols).expect("memory"), SymbolTable::from(embedded));
        assert!(read.iter().eq(made.iter()) && read.by_name(0).eq(made.by_name(0)));
        for symbol in made.iter().step_by(97) {
            let name = symbol.name.as_bytes();
            assert!(
                read.addresses(name).eq(made.addresses(name)) && read.at(symbol.address).eq(made.at(symbol.address))
            );
            assert_eq!(read.containing(symbol.address + 3), made.containing(symbol.address + 3));
            assert_eq!(read.neighbours(symbol.address), made.neighbours(symbol.address));
        }
    }
}
