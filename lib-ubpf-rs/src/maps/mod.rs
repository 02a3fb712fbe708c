//! Map kinds and their storage. Everything is allocated when a map is made; every operation may run in a hook, in an
//! interrupt and on several CPUs at once.
#![forbid(unsafe_code)]

mod two_key;

pub use two_key::{MapError, TwoKeyLayout, TwoKeyMap};
