//! What a kernel has and no image: for programs that are verified as if a kernel ran them.

use ubpf_rs::{object::Object, program::MapKind};

/// Maps as whoever loads the object there makes them: how many entries they have, and how long traces are, is often said only then, and decides
/// nothing here.
pub fn make_maps(object: &mut Object<'_>) {
    for map in &mut object.maps {
        match MapKind::new(map.kind) {
            Some(MapKind::StackTrace) => (map.value_size, map.max_entries) = (map.value_size.max(8), 1024),
            Some(
                MapKind::Array
                | MapKind::Hash
                | MapKind::LruHash
                | MapKind::PercpuArray
                | MapKind::PercpuHash
                | MapKind::LruPercpuHash,
            ) => map.max_entries = map.max_entries.clamp(1, 1024),
            _ => {}
        }
    }
}
