//! The built-in helpers with their numbers in each ABI.

use super::{Helper, HelperCall, HelperFault, HelperFn, RustHelper};
use crate::maps::{self, MapError, TwoKeyMap};
use crate::program::{
    Abi::{self, Classic, Linux, Uio},
    ArgType::{self, AnyAddress, CString, Map, MapKey, MapValue, Scalar, Unused},
    Cost, HelperSignature, MapFamily, RetType,
};

/// Value that `bpf_map_get` gives where there is no entry.
pub const MAP_MISS: u64 = u64::MAX;

const fn helper(name: &'static str, args: [ArgType; 5], ret: RetType, cost: Cost, function: RustHelper) -> Helper {
    let signature = HelperSignature { args, ret, cost };
    Helper { name, signature, function: HelperFn::Rust(function) }
}

const fn args(given: &[ArgType]) -> [ArgType; 5] {
    let mut all = [Unused; 5];
    let mut i = 0;
    while i < given.len() {
        all[i] = given[i];
        i += 1;
    }
    all
}

/// So much per call, and nothing else.
const fn flat(base: u32) -> Cost {
    Cost { base, per_8_bytes: 0, walk: 0 }
}

/// So much per call, and for what is walked in the map.
const fn walks(base: u32, walk: u32) -> Cost {
    Cost { base, per_8_bytes: 0, walk }
}

/// So much per call, and for each 8 bytes of its string.
const fn text(base: u32) -> Cost {
    Cost { base, per_8_bytes: 1, walk: 0 }
}

/// Costs are measured (`cargo xtask bench charges`), on the platform that is slowest at it: a system call reads the application's memory
/// there, and a name is looked up among 20,000.
pub(super) const TABLE: &[(Helper, &[(Abi, u32)])] = &[
    (
        helper(
            "bpf_map_get",
            args(&[Scalar, Scalar]),
            RetType::Scalar,
            walks(4, TwoKeyMap::MOST_WALKED_TO_GET),
            map_get,
        ),
        &[(Classic, 0), (Uio, 1)],
    ),
    (
        helper(
            "bpf_map_put",
            args(&[Scalar, Scalar, Scalar]),
            RetType::Void,
            walks(8, TwoKeyMap::MOST_WALKED),
            map_put,
        ),
        &[(Classic, 1), (Uio, 2)],
    ),
    (
        helper("bpf_map_del", args(&[Scalar, Scalar]), RetType::Void, walks(8, TwoKeyMap::MOST_WALKED), map_del),
        &[(Classic, 2), (Uio, 3)],
    ),
    (
        helper(
            "bpf_map_add",
            args(&[Scalar, Scalar, Scalar]),
            RetType::Void,
            walks(8, TwoKeyMap::MOST_WALKED),
            map_add,
        ),
        &[(Classic, 32), (Uio, 32)],
    ),
    (
        helper(
            "bpf_map_lookup_elem",
            args(&[Map(MapFamily::Lookup), MapKey]),
            RetType::MapValueOrNull,
            of_map(16, maps::MOST_WALKED_TO_LOOK),
            map_lookup_elem,
        ),
        &[(Linux, 1)],
    ),
    (
        helper(
            "bpf_map_update_elem",
            args(&[Map(MapFamily::Change), MapKey, MapValue, Scalar]),
            RetType::Scalar,
            of_map(32, maps::MOST_WALKED_TO_CHANGE),
            map_update_elem,
        ),
        &[(Linux, 2)],
    ),
    (
        helper(
            "bpf_map_delete_elem",
            args(&[Map(MapFamily::Change), MapKey]),
            RetType::Scalar,
            of_map(24, maps::MOST_WALKED_TO_CHANGE),
            map_delete_elem,
        ),
        &[(Linux, 3)],
    ),
    (helper("bpf_notify", args(&[Scalar]), RetType::Void, flat(32), notify), &[(Classic, 3), (Uio, 8)]),
    (helper("bpf_get_ret_addr", args(&[CString]), RetType::Scalar, text(160), get_ret_addr), &[(Classic, 4), (Uio, 9)]),
    (helper("unwind", args(&[Scalar]), RetType::EndIfZero, flat(1), unwind), &[(Classic, 5)]),
    (helper("bpf_get_addr", args(&[CString]), RetType::Scalar, text(160), get_addr), &[(Uio, 4)]),
    (helper("bpf_probe_read", args(&[AnyAddress, Scalar]), RetType::Scalar, flat(400), probe_read), &[(Uio, 5)]),
    (helper("bpf_time_get_ns", args(&[]), RetType::Scalar, flat(16), time_get_ns), &[(Uio, 6)]),
    (helper("bpf_puts", args(&[CString]), RetType::Void, text(32), puts), &[(Uio, 7)]),
];

/// So much per call, for each 8 bytes of key and value, and for what is walked.
const fn of_map(base: u32, walk: u32) -> Cost {
    Cost { base, per_8_bytes: 2, walk }
}

type Answer = Result<u64, HelperFault>;

fn map_get(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, ..] = call.args;
    let found = match call.host.map2() {
        Some(map) => map.get_walking(key1, key2, &mut call.walked),
        None => call.host.map2_get(key1, key2),
    };
    Ok(found.unwrap_or(MAP_MISS))
}

fn map_put(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, value, ..] = call.args;
    match call.host.map2() {
        // A full map drops the entry; it counts that, and `status` shows it.
        Some(map) => _ = map.put_walking(key1, key2, value, &mut call.walked),
        None => _ = call.host.map2_put(key1, key2, value),
    }
    Ok(0)
}

fn map_add(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, more, ..] = call.args;
    match call.host.map2() {
        // As with a put.
        Some(map) => _ = map.add_walking(key1, key2, more, &mut call.walked),
        None => _ = call.host.map2_add(key1, key2, more),
    }
    Ok(0)
}

fn map_del(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, ..] = call.args;
    match call.host.map2() {
        Some(map) => _ = map.del_walking(key1, key2, &mut call.walked),
        None => _ = call.host.map2_del(key1, key2),
    }
    Ok(0)
}

/// What a helper of Linux gives for the map that it was given: 0, or the negative number of an error.
fn on_map(call: &mut HelperCall<'_>, work: fn(&maps::Map, &mut HelperCall<'_>) -> Result<(), MapError>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    let result = match map.def().is_writable_by_programs() {
        true => work(map, call),
        false => Err(MapError::ReadOnly),
    };
    Ok(result.map_or_else(|error| error.code() as u64, |()| 0))
}

/// The engine has looked it up before the call.
const NO_MAP: HelperFault = HelperFault { reason: "it was not given a map" };

fn map_lookup_elem(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    Ok(map.lookup(call.key, &mut call.walked).unwrap_or(0))
}

fn map_update_elem(call: &mut HelperCall<'_>) -> Answer {
    on_map(call, |map, call| map.update(call.key, call.value, call.args[3], &mut call.walked))
}

fn map_delete_elem(call: &mut HelperCall<'_>) -> Answer {
    on_map(call, |map, call| map.delete(call.key, &mut call.walked))
}

fn notify(call: &mut HelperCall<'_>) -> Answer {
    call.host.notify(call.args[0]);
    Ok(0)
}

fn get_ret_addr(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.host.trace_address(call.text).unwrap_or(0))
}

fn unwind(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.args[0])
}

fn get_addr(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.host.symbol_address(call.text).unwrap_or(0))
}

/// The `size` bytes (1 to 8) at an application address as a little-endian number; 0 where it cannot be read.
fn probe_read(call: &mut HelperCall<'_>) -> Answer {
    let [address, size, ..] = call.args;
    let mut bytes = [0; 8];
    let Some(dst) = bytes.get_mut(..size as usize).filter(|d| !d.is_empty() && size <= 8) else {
        return Err(HelperFault { reason: "the size to read must be 1 to 8 bytes" });
    };
    if call.host.probe_read(address, dst) < dst.len() {
        return Ok(0);
    }
    Ok(u64::from_le_bytes(bytes))
}

fn time_get_ns(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.host.now_ns())
}

fn puts(call: &mut HelperCall<'_>) -> Answer {
    call.host.puts(call.text);
    Ok(0)
}
