//! Functions of the image by name and by address: a table that `cargo xtask` fills after linking.
//!
//! Layout, all little-endian: magic "USYM", capacity in bytes, count, bytes of names; then per function, sorted by
//! address: address, size, place of the name (u32 each: the image lies below 4 GiB); then the names, each ended by a zero byte.

/// Bytes kept free for the table.
const CAPACITY: usize = if cfg!(feature = "tests") { 128 << 10 } else { 72 << 10 };
const HEADER: usize = 16;
const ENTRY: usize = 12;

#[repr(C, align(16))]
struct Table([u8; CAPACITY]);

#[link_section = ".symbols"]
#[used]
static TABLE: Table = Table(empty());

const fn empty() -> [u8; CAPACITY] {
    let mut bytes = [0; CAPACITY];
    let magic = *b"USYM";
    let capacity = (CAPACITY as u32).to_le_bytes();
    let mut at = 0;
    while at < 4 {
        bytes[at] = magic[at];
        bytes[at + 4] = capacity[at];
        at += 1;
    }
    bytes
}

/// One function.
pub struct Symbol {
    /// Its first address.
    pub address: usize,
    /// Bytes of its code.
    pub size: usize,
    /// Its name.
    pub name: &'static str,
}

fn table() -> &'static [u8] {
    // SAFETY: the table is a static; the compiler must not conclude its contents from the initialiser, as they are
    // changed after linking, hence the volatile read of the reference.
    unsafe { core::ptr::read_volatile(&&TABLE.0) }.as_slice()
}

fn word(at: usize) -> usize {
    let bytes = table().get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, |bytes: [u8; 4]| u32::from_le_bytes(core::hint::black_box(bytes)) as usize)
}

/// How many functions the table has.
pub fn count() -> usize {
    word(8).min((CAPACITY - HEADER) / ENTRY)
}

fn entry(number: usize) -> Option<Symbol> {
    let at = HEADER + number * ENTRY;
    let names = HEADER + count() * ENTRY;
    let name = table().get(names + word(at + 8)..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    let name = core::str::from_utf8(&name[..end]).ok()?;
    Some(Symbol { address: word(at), size: word(at + 4), name })
}

/// All functions, by address.
pub fn all() -> impl Iterator<Item = Symbol> + Clone {
    (0..count()).filter_map(entry)
}

/// The function that holds `address`, and how far into it.
pub fn by_address(address: usize) -> Option<(&'static str, usize)> {
    let (mut low, mut high) = (0, count());
    while low < high {
        let middle = low + (high - low) / 2;
        if entry(middle)?.address <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let symbol = entry(low.checked_sub(1)?)?;
    let offset = address - symbol.address;
    (offset < symbol.size.max(1)).then_some((symbol.name, offset))
}
