//! Names of the image's functions and variables, by name and by address in logarithmic time. Names are kept
//! whole, whatever their length.

use super::Embedded;
use crate::{
    platform::{no_pause, shown, sort_by_in_pieces, Cancelled, Pause},
    tracer::Neighbours,
};
use alloc::{collections::TryReserveError, vec::Vec};

/// One symbol of a [`SymbolTable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// Run-time address.
    pub address: u64,
    /// Name as the linker has it, or as the source has it.
    pub name: &'a str,
    /// Whether it is code.
    pub function: bool,
}

#[derive(Clone, Copy)]
struct SymbolEntry {
    address: u64,
    name_at: u32,
    /// Length of the name, and [`FUNCTION`](Self::FUNCTION).
    name_len: u32,
}

impl SymbolEntry {
    /// Code, not data.
    const FUNCTION: u32 = 1 << 31;

    fn function(&self) -> bool {
        self.name_len & Self::FUNCTION != 0
    }
}

/// An immutable table of symbols.
pub struct SymbolTable(Store);

/// Where they stand.
enum Store {
    Made(MadeTable),
    Embedded(Embedded),
}

/// Symbols that were given, in any order.
#[derive(Default)]
struct MadeTable {
    names: Vec<u8>,
    /// Ascending by address.
    by_address: Vec<SymbolEntry>,
    /// Indices into `by_address`, ascending by name.
    by_name: Vec<u32>,
}

impl Default for SymbolTable {
    fn default() -> Self {
        SymbolTable(Store::Made(MadeTable::default()))
    }
}

impl From<Embedded> for SymbolTable {
    fn from(embedded: Embedded) -> Self {
        SymbolTable(Store::Embedded(embedded))
    }
}

/// Why a symbol file was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum SymbolError {
    /// The file has no line of the form `ADDRESS TYPE NAME`.
    #[error("no symbols in {lines} lines: the output of `nm` is expected")]
    Empty {
        /// Lines read.
        lines: usize,
    },
    /// Nothing in the file can be compared with the running image.
    #[error("the file shares no symbol with the running image, so it cannot be of this image")]
    NothingInCommon,
    /// The functions of the image begin elsewhere.
    #[error("none of the {stubs} entry stubs of this image lies in a function of the list: its addresses are of another image, or as they were before the image was loaded")]
    FitsNoStub {
        /// How many stubs there are.
        stubs: usize,
    },
    /// A symbol lies elsewhere in the running image.
    #[error("the file is of another image: {name} is at {file:#x} there and at {image:#x} here")]
    OtherImage {
        /// Symbol that differs.
        name: alloc::string::String,
        /// Its address by the file (moved to where the image was loaded).
        file: u64,
        /// Its address in the image.
        image: u64,
    },
    /// The list names another image.
    #[error("the list says that it is of another image than this one (`status` has the id of this one)")]
    OtherId,
    /// The reading was cancelled; the table in use stays.
    #[error("cancelled")]
    Cancelled,
    /// No memory for the table; the one in use stays.
    #[error("out of memory")]
    NoMemory,
}

impl From<TryReserveError> for SymbolError {
    fn from(_: TryReserveError) -> Self {
        SymbolError::NoMemory
    }
}

impl From<Cancelled> for SymbolError {
    fn from(_: Cancelled) -> Self {
        SymbolError::Cancelled
    }
}

/// Takes the symbols of a list one by one.
type Each<'e> = dyn FnMut(Option<Symbol<'_>>) -> Result<(), SymbolError> + 'e;
/// Goes through a list of symbols, each time through the same.
type SymbolWalk<'w> = &'w dyn Fn(&mut Each<'_>) -> Result<(), SymbolError>;

impl SymbolTable {
    /// A table of these symbols, in any order; exact repetitions are dropped. They are gone through twice: the table takes no more
    /// memory than it needs.
    pub fn new<'a>(symbols: impl Iterator<Item = Symbol<'a>> + Clone) -> Result<Self, SymbolError> {
        Self::in_pieces(&|each| symbols.clone().try_for_each(|symbol| each(Some(symbol))), &mut no_pause)
    }

    /// As [`new`](Self::new), calling `pause` again and again: between two items, of which some may be nothing, and while sorting.
    fn in_pieces(symbols: SymbolWalk<'_>, pause: &mut Pause<'_>) -> Result<Self, SymbolError> {
        let mut table = MadeTable::default();
        let (mut count, mut bytes) = (0, 0usize);
        symbols(&mut |item| {
            if let Some(symbol) = item {
                count += 1;
                bytes = bytes.saturating_add(symbol.name.len());
            }
            Ok(pause()?)
        })?;
        table.by_address.try_reserve_exact(count)?;
        table.names.try_reserve_exact(bytes)?;
        symbols(&mut |item| {
            if let Some(symbol) = item {
                table.push(symbol)?;
            }
            Ok(pause()?)
        })?;
        table.sort(pause)?;
        Ok(SymbolTable(Store::Made(table)))
    }

    /// A table of the output of `nm`; odd lines are passed over.
    pub fn from_nm(text: &[u8]) -> Result<Self, SymbolError> {
        Self::from_nm_in_pieces(text, &mut no_pause)
    }

    /// As [`from_nm`](Self::from_nm), calling `pause` again and again.
    pub fn from_nm_in_pieces(text: &[u8], pause: &mut Pause<'_>) -> Result<Self, SymbolError> {
        Self::in_pieces(&|each| parse_nm(text).try_for_each(each), pause)
    }

    /// The symbols of `file`, moved by `bias`, and those of `known`.
    pub(super) fn joined(
        file: &SymbolTable,
        bias: u64,
        known: &SymbolTable,
        pause: &mut Pause<'_>,
    ) -> Result<Self, SymbolError> {
        let walk = |each: &mut Each<'_>| {
            file.iter().try_for_each(|s| each(Some(Symbol { address: s.address.wrapping_add(bias), ..s })))?;
            known.iter().try_for_each(|symbol| each(Some(symbol)))
        };
        Self::in_pieces(&walk, pause)
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Store::Made(made) => made.by_address.len(),
            Store::Embedded(embedded) => embedded.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Address of the symbol that has this number in the order of addresses; 0 of none, as below.
    fn address_at(&self, number: usize) -> u64 {
        match &self.0 {
            Store::Made(made) => made.by_address.get(number).map_or(0, |entry| entry.address),
            Store::Embedded(embedded) => embedded.address(number),
        }
    }

    fn name_at(&self, number: usize) -> &[u8] {
        match &self.0 {
            Store::Made(made) => made.by_address.get(number).map_or(&[], |entry| bytes_of(&made.names, entry)),
            Store::Embedded(embedded) => embedded.name(number),
        }
    }

    fn is_function(&self, number: usize) -> bool {
        match &self.0 {
            Store::Made(made) => made.by_address.get(number).is_some_and(SymbolEntry::function),
            Store::Embedded(_) => true,
        }
    }

    /// The number of the symbol that has this place in the order of names.
    fn number(&self, place: usize) -> usize {
        match &self.0 {
            Store::Made(made) => made.by_name.get(place).map_or(usize::MAX, |number| *number as usize),
            Store::Embedded(embedded) => embedded.by_name(place),
        }
    }

    fn symbol(&self, number: usize) -> Symbol<'_> {
        Symbol {
            address: self.address_at(number),
            name: core::str::from_utf8(self.name_at(number)).unwrap_or("?"),
            function: self.is_function(number),
        }
    }

    /// How many of the first are before something, if all of those are.
    fn first_not(&self, before: &dyn Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match before(middle) {
                true => low = middle.saturating_add(1),
                false => high = middle,
            }
        }
        low
    }

    /// The place in the order of names of the first that is not less.
    fn place_of(&self, name: &[u8]) -> usize {
        self.first_not(&|place| self.name_at(self.number(place)) < name)
    }

    /// The number of the first at or above an address.
    fn number_of(&self, address: u64) -> usize {
        self.first_not(&|number| self.address_at(number) < address)
    }

    /// The number of the first above an address.
    fn number_above(&self, address: u64) -> usize {
        self.first_not(&|number| self.address_at(number) <= address)
    }

    /// Addresses of all symbols with exactly this name, ascending (local functions may share a name).
    pub fn addresses<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        let same = (self.place_of(name)..self.len()).map(|place| self.number(place));
        let same = same.take_while(move |number| self.name_at(*number) == name);
        same.map(|number| self.address_at(number))
    }

    /// All symbols from the `first` in the order of names on.
    pub fn by_name(&self, first: usize) -> impl ExactSizeIterator<Item = Symbol<'_>> {
        (first.min(self.len())..self.len()).map(|place| self.symbol(self.number(place)))
    }

    /// The lowest address with this name.
    pub fn address(&self, name: &[u8]) -> Option<u64> {
        self.addresses(name).next()
    }

    /// The last symbol at or below `address`, with the distance in bytes; at the same address functions win over other symbols, and names
    /// of the source over mangled ones.
    pub fn containing(&self, address: u64) -> Option<(Symbol<'_>, u64)> {
        let end = self.number_above(address);
        let last = end.checked_sub(1)?;
        let start = self.address_at(last);
        let mut same = (0..end).rev().take_while(|number| self.address_at(*number) == start);
        let number = same.find(|number| self.is_function(*number)).unwrap_or(last);
        Some((self.symbol(number), address.wrapping_sub(start)))
    }

    /// What stands round an address.
    pub fn neighbours(&self, address: u64) -> Neighbours {
        let holds = self.containing(address).map(|(symbol, _)| symbol);
        let above = self.number_above(address);
        Neighbours {
            function: holds.filter(|s| s.function).map(|s| s.address),
            next: (above < self.len()).then(|| self.address_at(above)),
        }
    }

    /// All symbols at an address.
    pub fn at(&self, address: u64) -> impl Iterator<Item = Symbol<'_>> {
        let same = (self.number_of(address)..self.len()).take_while(move |number| self.address_at(*number) == address);
        same.map(|number| self.symbol(number))
    }

    /// All symbols, ascending by address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> + Clone {
        (0..self.len()).map(|number| self.symbol(number))
    }

    /// All symbols whose name starts with `prefix`, ascending by name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = Symbol<'a>> + 'a {
        let same = (self.place_of(prefix)..self.len()).map(|place| self.number(place));
        let same = same.take_while(move |number| self.name_at(*number).starts_with(prefix));
        same.map(|number| self.symbol(number))
    }
}

impl MadeTable {
    fn push(&mut self, symbol: Symbol<'_>) -> Result<(), SymbolError> {
        let name_at = u32::try_from(self.names.len()).map_err(|_| SymbolError::NoMemory)?;
        let name_len = u32::try_from(symbol.name.len())
            .ok()
            .filter(|len| len & SymbolEntry::FUNCTION == 0)
            .ok_or(SymbolError::NoMemory)?;
        self.names.try_reserve(symbol.name.len())?;
        self.by_address.try_reserve(1)?;
        self.names.extend_from_slice(symbol.name.as_bytes());
        self.by_address.push(SymbolEntry {
            address: symbol.address,
            name_at,
            name_len: name_len | if symbol.function { SymbolEntry::FUNCTION } else { 0 },
        });
        Ok(())
    }

    fn sort(&mut self, pause: &mut Pause<'_>) -> Result<(), SymbolError> {
        let names = &self.names;
        let name = |e: &SymbolEntry| bytes_of(names, e);
        // Where a function stands with its mangled name and with that of the source, the latter is the one that is shown.
        let mangled = |e: &SymbolEntry| name(e).starts_with(b"_Z") || name(e).starts_with(b"_R");
        let before =
            |a: &SymbolEntry, b: &SymbolEntry| (a.address, !mangled(a), name(a)) < (b.address, !mangled(b), name(b));
        sort_by_in_pieces(&mut self.by_address, before, &mut *pause)?;
        self.by_address.dedup_by(|a, b| a.address == b.address && name(a) == name(b));
        self.by_name.try_reserve_exact(self.by_address.len())?;
        self.by_name.extend(0..self.by_address.len() as u32);
        let entries = &self.by_address;
        let key = |&i: &u32| entries.get(i as usize).map(|e| (name(e), e.address));
        sort_by_in_pieces(&mut self.by_name, |a, b| key(a) < key(b), pause)?;
        Ok(())
    }
}

fn bytes_of<'a>(names: &'a [u8], entry: &SymbolEntry) -> &'a [u8] {
    let start = entry.name_at as usize;
    names.get(start..start.saturating_add((entry.name_len & !SymbolEntry::FUNCTION) as usize)).unwrap_or(&[])
}

/// Symbols of the output of `nm`: `ADDRESS TYPE NAME` in each line; nothing for undefined symbols, empty and odd lines.
fn parse_nm(text: &[u8]) -> impl Iterator<Item = Option<Symbol<'_>>> + Clone {
    Lines { rest: Some(text), odd: false }.map(|line| parse_nm_line(line?))
}

/// Longest line that can be of `nm`, in bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// The lines of a text; nothing for each piece of one that is too long to be of use.
#[derive(Clone)]
struct Lines<'t> {
    rest: Option<&'t [u8]>,
    /// A piece of this line was passed over.
    odd: bool,
}

impl<'t> Iterator for Lines<'t> {
    type Item = Option<&'t [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let piece = rest.get(..LONGEST_LINE).unwrap_or(rest);
        let Some(end) = piece.iter().position(|&b| b == b'\n') else {
            let last = piece.len() == rest.len();
            self.rest = if last { None } else { rest.get(LONGEST_LINE..) };
            let odd = core::mem::replace(&mut self.odd, true);
            return Some((last && !odd).then_some(piece));
        };
        self.rest = rest.get(end.saturating_add(1)..);
        let odd = core::mem::replace(&mut self.odd, false);
        Some(if odd { None } else { piece.get(..end) })
    }
}

fn parse_nm_line(line: &[u8]) -> Option<Symbol<'_>> {
    let line = core::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let kind = words.next()?;
    let name = words.next()?;
    let &[kind] = kind.as_bytes() else {
        return None;
    };
    if !kind.is_ascii_alphabetic() || matches!(kind, b'U' | b'N') {
        return None;
    }
    Some(Symbol { address, name, function: matches!(kind, b'T' | b't' | b'W' | b'w' | b'i') })
}

/// How a list begins that says which image it is of; `ubpf symbols` writes it.
const IMAGE: &[u8] = b"# image ";

/// Refuses a list that says that it is of another image, where both are known.
pub(super) fn check_image(image: Option<&[u8; 16]>, list: &[u8]) -> Result<(), SymbolError> {
    let (Some(image), Some(file)) = (image, list.strip_prefix(IMAGE)) else {
        return Ok(());
    };
    let digits = image.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let same = digits.zip(file).all(|(digit, &c)| char::from(c).to_digit(16) == Some(digit.into()));
    match same && file.len() >= 2 * image.len() {
        true => Ok(()),
        false => Err(SymbolError::OtherId),
    }
}

/// The address of a name that stands once in a table.
fn only(table: &SymbolTable, name: &str) -> Option<u64> {
    let mut all = table.addresses(name.as_bytes());
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// How far the image lies above the addresses of `file`, by the symbols that the engine itself knows: those that stand once in the file
/// must have moved by the same distance.
pub(super) fn own_bias(own: &[Symbol<'_>], file: &SymbolTable) -> Result<Option<u64>, SymbolError> {
    let mut bias = None;
    for symbol in own {
        if let Some(file_at) = only(file, symbol.name) {
            moved_alike(&mut bias, symbol.name, file_at, symbol.address)?;
        }
    }
    Ok(bias)
}

/// Takes a symbol of both the file and the image: the first says how far the image lies above the file's addresses, the others must
/// agree.
fn moved_alike(bias: &mut Option<u64>, name: &str, file: u64, image: u64) -> Result<(), SymbolError> {
    let moved = image.wrapping_sub(file);
    let bias = *bias.get_or_insert(moved);
    match bias == moved {
        true => Ok(()),
        false => Err(SymbolError::OtherImage { name: shown(name), file: file.wrapping_add(bias), image }),
    }
}

/// How far the image lies above the addresses of `file`, when the file is of this image: every name that stands
/// once in both, and those that the engine itself knows, must have moved by the same distance.
pub(super) fn load_bias(
    own: &[Symbol<'_>],
    image: &SymbolTable,
    file: &SymbolTable,
    pause: &mut Pause<'_>,
) -> Result<u64, SymbolError> {
    let mut bias = own_bias(own, file)?;
    for here in image.iter() {
        pause()?;
        let (Some(image_at), Some(file_at)) = (only(image, here.name), only(file, here.name)) else {
            continue;
        };
        moved_alike(&mut bias, here.name, file_at, image_at)?;
    }
    bias.ok_or(SymbolError::NothingInCommon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn table(text: &str) -> SymbolTable {
        SymbolTable::from_nm(text.as_bytes()).unwrap()
    }

    #[test]
    fn nm_output_with_odd_lines() {
        let t = table("0000000000001000 T main\n                 U puts\n\nrubbish\n2000 d x y\n1000 t alias\nzz T q\n3000 TT q\n");
        let names: Vec<_> = t.iter().map(|s| (s.address, s.name, s.function)).collect();
        assert_eq!(names, [(0x1000, "alias", true), (0x1000, "main", true), (0x2000, "x", false)]);
    }

    #[test]
    fn a_line_too_long_to_be_of_nm_is_passed_over_in_pieces() {
        let text = format!("10 T a\n20 T {}\n30 T c", "f".repeat(5 * LONGEST_LINE));
        let mut points = 0;
        let table = SymbolTable::from_nm_in_pieces(text.as_bytes(), &mut || {
            points += 1;
            Ok(())
        });
        let names: Vec<_> = table.unwrap().iter().map(|s| s.address).collect();
        assert_eq!(names, [0x10, 0x30]);
        assert!(points >= 2 * 8);
        let stopped = SymbolTable::from_nm_in_pieces(text.as_bytes(), &mut || Err(Cancelled));
        assert_eq!(stopped.err(), Some(SymbolError::Cancelled));
    }

    #[test]
    fn looked_up_by_name_and_by_address_inside() {
        let long: String = "f".repeat(4000);
        let t = table(&format!("10 T a\n20 T {long}\n30 T c\n18 T c\n"));
        assert_eq!(t.address(long.as_bytes()), Some(0x20));
        assert_eq!(t.addresses(b"c").collect::<Vec<_>>(), [0x18, 0x30]);
        assert_eq!(t.address(b"nothing"), None);
        let (s, off) = t.containing(0x2f).unwrap();
        assert_eq!((s.name, off), (long.as_str(), 15));
        assert!(t.containing(0xf).is_none());
        assert_eq!(t.containing(u64::MAX).unwrap().0.name, "c");
    }

    #[test]
    fn what_stands_round_an_address() {
        let t = table("10 T f\n10 d label\n20 d data\n30 T g\n");
        let round = |function, next| Neighbours { function, next };
        assert_eq!(t.neighbours(0xf), round(None, Some(0x10)));
        assert_eq!(t.neighbours(0x10), round(Some(0x10), Some(0x20)));
        assert_eq!(t.neighbours(0x2f), round(None, Some(0x30)));
        assert_eq!(t.neighbours(u64::MAX), round(Some(0x30), None));
    }

    #[test]
    fn a_function_wins_over_a_label_at_its_address() {
        let t = table("10 d _etext_start\n10 T f\n10 d zzz\n");
        assert_eq!(t.containing(0x12).unwrap().0.name, "f");
    }

    #[test]
    fn a_name_of_the_source_wins_over_a_mangled_one() {
        for (mangled, source) in [("_ZN6LedgerIlE3payEv", "Ledger<long>::pay"), ("_RNvC4shop3pay", "shop::pay")] {
            let symbols = [source, mangled].map(|name| Symbol { address: 16, name, function: true });
            let t = SymbolTable::new(symbols.into_iter()).unwrap();
            assert_eq!(t.containing(18).unwrap().0.name, source);
            assert_eq!([mangled, source].map(|name| t.address(name.as_bytes())), [Some(16); 2]);
        }
    }

    #[test]
    fn a_list_that_names_another_image_is_refused() {
        let image = Some(&[0x1f; 16]);
        let list = |id: &str| format!("# image {id}\n1000 T a\n").into_bytes();
        let (own, other) = (list(&"1f".repeat(16)), list(&"f1".repeat(16)));
        assert_eq!(check_image(image, &own), Ok(()));
        for other in [other.as_slice(), &list("1f"), b"# image 1f1f"] {
            assert_eq!(check_image(image, other), Err(SymbolError::OtherId));
        }
        // Nothing is known of the one or the other.
        assert_eq!(check_image(None, &other), Ok(()));
        assert_eq!(check_image(image, b"1000 T a"), Ok(()));
    }

    #[test]
    fn a_file_of_another_image_is_refused() {
        let image = table("1000 T a\n2000 T b\n");
        let own = Symbol { address: 0x3000, name: "own", function: true };
        let load_bias = |image: &_, file: &_| load_bias(&[own], image, file, &mut no_pause);
        assert_eq!(load_bias(&image, &table("0 T a\n1000 T b\n")), Ok(0x1000));
        assert_eq!(load_bias(&image, &table("1 T q\n")), Err(SymbolError::NothingInCommon));
        let none = SymbolTable::default();
        assert_eq!(load_bias(&none, &table("2000 T own\n")), Ok(0x1000));
        let moved = load_bias(&image, &table("1000 T a\n2000 T own\n"));
        assert!(matches!(moved, Err(SymbolError::OtherImage { .. })), "{moved:?}");
        let other = load_bias(&image, &table("1000 T a\n2004 T b\n"));
        assert!(matches!(other, Err(SymbolError::OtherImage { .. })), "{other:?}");
    }
}
