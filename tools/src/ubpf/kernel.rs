//! What a kernel has and no image: for programs that are verified as if a kernel ran them.

use ubpf_rs::{
    helpers::Registry,
    object::Object,
    program::{
        Abi,
        ArgType::{AnyAddress, Length, MemWrite, Scalar, Unused},
        Cost, HelperSignature, MapKind, RetType,
    },
    verifier::HelperLookup,
};

/// The helpers of an image, and those of a kernel that walk stacks.
pub struct Helpers<'r>(pub &'r Registry);

impl Helpers<'_> {
    /// Whether there is one.
    pub fn has(&self, abi: Abi, number: u32) -> bool {
        self.signature(abi, number).is_some()
    }
}

impl HelperLookup for Helpers<'_> {
    fn signature(&self, abi: Abi, number: u32) -> Option<HelperSignature> {
        let args = match (abi, number) {
            // bpf_get_stackid: the map of stacks is not looked at.
            (Abi::Linux, 27) => [AnyAddress, AnyAddress, Scalar, Unused, Unused],
            // bpf_get_stack
            (Abi::Linux, 67) => [AnyAddress, MemWrite, Length, Scalar, Unused],
            _ => return self.0.signature(abi, number),
        };
        Some(HelperSignature { args, ret: RetType::Scalar, cost: Cost::default() })
    }
}

/// Maps as whoever loads the object there makes them: how many entries they have is often said only then, and decides nothing here; of stacks
/// there are arrays.
pub fn make_maps(object: &mut Object<'_>) {
    for map in &mut object.maps {
        match MapKind::new(map.kind) {
            Some(MapKind::StackTrace) => {
                (map.kind, map.value_size, map.max_entries) = (MapKind::Array as u32, map.value_size.max(8), 1024);
            }
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
