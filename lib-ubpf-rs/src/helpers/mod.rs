//! The helper registry: name, number per ABI, signature, function. Knows nothing about engines.
#![forbid(unsafe_code)]

mod builtin;
mod format;
mod inline;
mod registry;
mod row;
mod services;

pub use builtin::{BUILTINS, MAP_MISS, TWO_KEY_HELPERS};
pub use inline::{missed, name_of, needs_of_call, takes_a_map, Inline, InlinePlaces, Needs, RingLayout};
pub use registry::{
    is_name, CHelper, CHelperWithContext, Helper, HelperCall, HelperFault, HelperFn, RegisterError, Registry,
    RustHelper, LONGEST_NAME, MAX_NUMBER,
};
pub use row::Row;
pub use services::{
    Host, Names, Output, ReadMemory, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps, TwoKeyModel,
};
