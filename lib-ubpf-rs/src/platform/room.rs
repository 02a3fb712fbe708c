//! Memory for what is small. A size that comes from input is allocated fallibly where it is needed; for the many small
//! things of an operation (a name, a message, a reference count) it is asked once, before anything is changed, whether there is
//! room for all of them.

use alloc::vec::Vec;
use core::hint::black_box;

/// Bytes that the small allocations of one operation stay below, by a good margin.
pub const SMALL_THINGS: usize = 16 * 1024;

/// Bytes that an operation asks for which keeps memory (a file, an attached program): what it leaves of them is what the operations
/// need that give memory back.
pub const SMALL_THINGS_THAT_STAY: usize = 2 * SMALL_THINGS;

/// Whether `bytes` are free in one piece. Allocates them and gives them back: what is smaller finds room afterwards, as long as
/// nobody else takes it in between.
pub fn has_room(bytes: usize) -> bool {
    let mut room: Vec<u8> = Vec::new();
    let found = room.try_reserve_exact(bytes).is_ok();
    // An allocation that nobody looks at could be left out by the compiler.
    black_box(room.as_ptr());
    found
}
