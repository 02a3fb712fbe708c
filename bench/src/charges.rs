//! What each operation takes beside what it is charged: one unit of budget stands for one nanosecond of machine code. Every case is a
//! loop of one operation with the operands that it is slowest with, so that what it was charged divides what it took.

use crate::{figure, stopwatch, traced, Result};
use std::time::Instant;
use ubpf_platform_linux::platform;
use ubpf_rs::{
    isa::{assemble, Insn, Reg, Size},
    platform::{Console, Platform},
    program::{Abi, MapDef, MapFlags, MapKind, MapName, Program},
    runtime::{Config, Engine, LoadOptions, MapPart, ProgramId, Runtime, Symbol, SymbolTable},
    vm::MOST_TAIL_CALLS,
};

/// Swallows what programs print.
struct Sink;

impl Console for Sink {
    fn write(&self, _bytes: &[u8]) {}
}

/// An operation, or a few that belong together: what stands before the loop, and what stands in it so many times.
struct ChargedCase {
    name: &'static str,
    before: &'static str,
    body: &'static str,
    times: usize,
    /// How often the loop runs; as often as it takes, unless it fills something.
    rounds: Option<u64>,
    /// What stands behind the program: functions that it calls.
    behind: &'static str,
}

const fn case(name: &'static str, before: &'static str, body: &'static str) -> ChargedCase {
    ChargedCase { name, before, body, times: 64, rounds: None, behind: "" }
}

/// Bytes of the argument: two pages and more; its first word is the number of rounds.
const ARGUMENT: usize = 3 * 4096;

/// r7 is the argument; r6 counts. An address that was loaded is one of which the verifier knows nothing: its accesses are guarded.
const CASES: &[ChargedCase] = &[
    case("add", "r0 = 1", "r0 += r0\n"),
    case("xor", "r1 = 7", "r0 ^= r1\nr1 ^= r0\n"),
    case("mul", "r0 = 3", "r0 *= r0\n"),
    case("mul_imm", "r0 = 3", "r0 *= 1234567\n"),
    case("div64", "r2 = -1 ll\nr3 = 3", "r0 = r2\nr0 /= r3\nr0 |= r2\n"),
    case("div64_chain", "r2 = -1 ll\nr3 = 3\nr0 = r2", "r0 /= r3\nr0 |= r2\n"),
    case("mod64_chain", "r2 = -1 ll\nr3 = 0x7fffffff\nr0 = r2", "r0 %= r3\nr0 |= r2\n"),
    case("div32_chain", "w2 = -1\nw3 = 3\nw0 = w2", "w0 /= w3\nw0 |= w2\n"),
    case("sdiv64_chain", "r2 = 0x7fffffffffffffff ll\nr3 = 3\nr0 = r2", "r0 s/= r3\nr0 |= r2\n"),
    case("smod64_chain", "r2 = 0x7fffffffffffffff ll\nr3 = -3\nr0 = r2", "r0 s%= r3\nr0 |= r2\n"),
    case("div_imm", "r2 = -1 ll\nr0 = r2", "r0 /= 7\nr0 |= r2\n"),
    case("mod_imm", "r2 = -1 ll\nr0 = r2", "r0 %= 1000000007\nr0 |= r2\n"),
    case("sdiv_imm", "r2 = 0x7fffffffffffffff ll\nr0 = r2", "r0 s/= 7\nr0 |= r2\n"),
    case("shift", "r0 = 3\nr1 = 5", "r0 <<= r1\nr0 >>= r1\n"),
    case("arsh32", "r0 = 3\nr1 = 5", "w0 s>>= w1\n"),
    case("neg", "r0 = 3", "r0 = -r0\n"),
    case("swap", "r0 = 3", "r0 = bswap64 r0\n"),
    case("be16", "r0 = 3", "r0 = be16 r0\n"),
    case("movsx", "r0 = 3", "r0 = (s8)r0\n"),
    case("lddw", "", "r0 = 0x123456789abcdef0 ll\n"),
    case("load", "", "r0 = *(u64 *)(r7 + 64)\n"),
    case("load_chain", "*(u64 *)(r7 + 64) = r7\nr1 = r7", "r1 = *(u64 *)(r1 + 64)\n"),
    case("load_guarded_far", "*(u64 *)(r10 - 8) = 1\n*(u64 *)(r7 + 64) = r10\nr1 = *(u64 *)(r7 + 64)", "r0 = *(u64 *)(r1 - 8)\n"),
    case("chain_guarded_far", "r1 = r10\nr1 += -64\n*(u64 *)(r10 - 64) = r1\n*(u64 *)(r7 + 64) = r1\nr1 = *(u64 *)(r7 + 64)", "r1 = *(u64 *)(r1 + 0)\n"),
    case("load_page", "r1 = r7\nr1 += 4092", "r0 = *(u64 *)(r1 + 0)\n"),
    case("load_page_chain", "r8 = *(u64 *)(r7 + 8)\n*(u64 *)(r8 + 0) = r8\nr1 = r8", "r1 = *(u64 *)(r1 + 0)\n"),
    case("store", "", "*(u64 *)(r7 + 64) = r0\n"),
    case("store_page", "r8 = *(u64 *)(r7 + 8)", "*(u64 *)(r8 + 0) = r0\n"),
    case("store_far", "*(u64 *)(r7 + 64) = r10\nr1 = *(u64 *)(r7 + 64)", "*(u64 *)(r1 - 8) = r0\n"),
    case("forward", "", "*(u64 *)(r7 + 64) = r0\nr0 = *(u64 *)(r7 + 64)\n"),
    case("forward_fails", "", "*(u8 *)(r7 + 65) = r0\nr0 = *(u64 *)(r7 + 64)\n"),
    case("forward_page", "r8 = *(u64 *)(r7 + 8)", "*(u8 *)(r8 + 5) = r0\nr0 = *(u64 *)(r8 + 0)\n"),
    case("forward_far", "*(u64 *)(r7 + 64) = r10\nr1 = *(u64 *)(r7 + 64)", "*(u8 *)(r1 - 8) = r0\nr0 = *(u64 *)(r1 - 8)\n"),
    case("atomic_add", "", "lock *(u64 *)(r7 + 64) += r0\n"),
    case("fetch_add", "", "r0 = atomic_fetch_add((u64 *)(r7 + 64), r0)\n"),
    case("fetch_or", "", "r0 = atomic_fetch_or((u64 *)(r7 + 64), r0)\n"),
    case("fetch_xor32", "", "w1 = atomic_fetch_xor((u32 *)(r7 + 64), w1)\n"),
    case("xchg", "", "r0 = xchg_64(r7 + 64, r0)\n"),
    case("cmpxchg", "", "r0 = cmpxchg_64(r7 + 64, r0, r1)\n"),
    case("atomic_far", "*(u64 *)(r7 + 64) = r10\nr1 = *(u64 *)(r7 + 64)", "r2 = atomic_fetch_or((u64 *)(r1 - 8), r2)\n"),
    case("branch_not", "r1 = 1", "if r1 == 0 goto +1\nr2 = r1\n"),
    case("branch_taken", "r1 = 1", "if r1 != 0 goto +1\nr2 = r1\n"),
    // Every bit of a random number decides a jump: half of them are foreseen wrongly.
    ChargedCase {
        name: "branch_random",
        before: "r1 = 88172645463325252 ll",
        body: "r2 = r1\nr2 <<= 13\nr1 ^= r2\nr2 = r1\nr2 >>= 7\nr1 ^= r2\nr2 = r1\nr2 <<= 17\nr1 ^= r2\n\
               if r1 & 1 goto +1\nr0 += 1\nif r1 & 2 goto +1\nr0 += 1\nif r1 & 4 goto +1\nr0 += 1\nif r1 & 8 goto +1\nr0 += 1\n\
               if r1 & 16 goto +1\nr0 += 1\nif r1 & 32 goto +1\nr0 += 1\nif r1 & 64 goto +1\nr0 += 1\nif r1 & 128 goto +1\nr0 += 1\n\
               if r1 & 256 goto +1\nr0 += 1\nif r1 & 512 goto +1\nr0 += 1\nif r1 & 1024 goto +1\nr0 += 1\nif r1 & 2048 goto +1\nr0 += 1\n",
        times: 8,
        rounds: None,
        behind: "",
    },
    ChargedCase { name: "jump_back", before: "", body: "", times: 0, rounds: None, behind: "" },
    ChargedCase { name: "call", before: "", body: "call local function\n", times: 64, rounds: None, behind: "function:\nr6 = 1\nr7 = 1\nr8 = 1\nr9 = 1\n*(u64 *)(r10 - 8) = r6\nexit\n" },
    ChargedCase { name: "call_leaf", before: "", body: "call local function\n", times: 64, rounds: None, behind: "function:\nexit\n" },
    case("callx", "r9 = 5", "r1 = 1\ncallx r9\n"),
    case("unwind", "", "r1 = 1\ncall 5\n"),
    case("unwind_keep", "r1 = 1\nr2 = 1\nr3 = 1\nr4 = 1", "call 5\n"),
    case("map_get", "", "r1 = 5\nr2 = 6\ncall 0\n"),
    case("map_get_miss", "", "r1 = 777\nr2 = 6\ncall 0\n"),
    case("map_put", "", "r1 = 5\nr2 = 6\nr3 = 7\ncall 1\n"),
    case("map_add_del", "", "r1 = 5\nr2 = 7\nr3 = 7\ncall 1\nr1 = 5\nr2 = 7\ncall 2\n"),
    // 255 keys stand before these.
    case("map_get_met", "", "r1 = 255\nr1 <<= 32\nr2 = 255\ncall 0\n"),
    case("map_get_met_miss", "", "r1 = 400\nr1 <<= 32\nr2 = 400\ncall 0\n"),
    case("map_put_met", "", "r1 = 255\nr1 <<= 32\nr2 = 255\ncall 1\n"),
    case("map_put_met_full", "", "r1 = 400\nr1 <<= 32\nr2 = 400\ncall 1\n"),
    case("map_del_put_met", "", "r1 = 255\nr1 <<= 32\nr2 = 255\ncall 2\nr1 = 255\nr1 <<= 32\nr2 = 255\ncall 1\n"),
    case("notify_full", "", "r1 = 5\ncall 3\n"),
    ChargedCase { name: "notify", before: "", body: "r1 = 5\ncall 3\n", times: 1, rounds: Some(40), behind: "" },
    case("get_ret_addr_short", "*(u16 *)(r7 + 128) = 120", "r1 = r7\nr1 += 128\ncall 4\n"),
    case("get_ret_addr_long", "", "r1 = r7\nr1 += 256\ncall 4\n"),
];

/// The same in the numbering of `uio`.
const CASES_UIO: &[ChargedCase] = &[
    case("get_addr_short", "*(u16 *)(r7 + 128) = 120", "r1 = r7\nr1 += 128\ncall 4\n"),
    case("get_addr_long", "", "r1 = r7\nr1 += 256\ncall 4\n"),
    case("probe_read", "", "r1 = r7\nr2 = 8\ncall 5\n"),
    case("probe_read_page", "r8 = *(u64 *)(r7 + 16)\nr8 += 4094", "r1 = r8\nr2 = 8\ncall 5\n"),
    case("probe_read_fault", "", "r1 = 16\nr2 = 8\ncall 5\n"),
    case("probe_read_far", "", "r1 = -1\nr2 = 8\ncall 5\n"),
    case("time", "", "call 6\n"),
    case("puts_full", "", "r1 = r7\nr1 += 256\ncall 7\n"),
    case("puts_short_full", "*(u16 *)(r7 + 128) = 120", "r1 = r7\nr1 += 128\ncall 7\n"),
    ChargedCase {
        name: "puts",
        before: "",
        body: "r1 = r7\nr1 += 256\ncall 7\n",
        times: 1,
        rounds: Some(40),
        behind: "",
    },
    ChargedCase {
        name: "puts_short",
        before: "*(u16 *)(r7 + 128) = 120",
        body: "r1 = r7\nr1 += 128\ncall 7\n",
        times: 1,
        rounds: Some(40),
        behind: "",
    },
];

/// Few rounds of one operation: more would fill the ring.
const fn few(name: &'static str, before: &'static str, body: &'static str) -> ChargedCase {
    ChargedCase { name, before, body, times: 1, rounds: Some(40), behind: "" }
}

/// The format, `%ld` twelve times, and the numbers.
const FORMAT_OF_NUMBERS: &str = "r1 = 0x646c2520646c2520 ll\nr2 = -1000000000000000000 ll\n\
    *(u64 *)(r7 + 128) = r1\n*(u64 *)(r7 + 136) = r1\n*(u64 *)(r7 + 144) = r1\n*(u64 *)(r7 + 152) = r1\n*(u64 *)(r7 + 160) = r1\n\
    *(u64 *)(r7 + 168) = r1\n*(u8 *)(r7 + 176) = 0\n\
    *(u64 *)(r7 + 600) = r2\n*(u64 *)(r7 + 608) = r2\n*(u64 *)(r7 + 616) = r2\n*(u64 *)(r7 + 624) = r2\n*(u64 *)(r7 + 632) = r2\n\
    *(u64 *)(r7 + 640) = r2\n*(u64 *)(r7 + 648) = r2\n*(u64 *)(r7 + 656) = r2\n*(u64 *)(r7 + 664) = r2\n*(u64 *)(r7 + 672) = r2\n\
    *(u64 *)(r7 + 680) = r2\n*(u64 *)(r7 + 688) = r2";

/// A call on a map with what lies at r7 + 128 as its second argument.
macro_rules! on_map {
    ($map:literal, $rest:literal) => {
        concat!("r1 = map_index(", $map, ") ll\nr2 = r7\nr2 += 128\n", $rest, "\n")
    };
}

/// The same in the numbering of Linux, with a ring as map 0.
const CASES_LINUX: &[ChargedCase] = &[
    few("ringbuf_submit", "", "r1 = map_index(0) ll\nr2 = 64\nr3 = 0\ncall 131\nr1 = r0\nr2 = 0\ncall 132\n"),
    few("ringbuf_discard", "", "r1 = map_index(0) ll\nr2 = 64\nr3 = 0\ncall 131\nr1 = r0\nr2 = 0\ncall 133\n"),
    few("ringbuf_output", "", "r1 = map_index(0) ll\nr2 = r7\nr3 = 64\nr4 = 0\ncall 130\n"),
    case("ringbuf_reserve_none", "", "r1 = map_index(0) ll\nr2 = 65536\nr3 = 0\ncall 131\n"),
    case("map_key_array", "", "r1 = map_index(1) ll\nr2 = 3\nr3 = r7\nr3 += 512\nr4 = 4\ncall 255\n"),
    case("map_key_hash", "r8 = 0", "r8 ^= 1\nr1 = map_index(2) ll\nr2 = r8\nr3 = r7\nr3 += 512\nr4 = 512\ncall 255\n"),
    // 12 numbers that are as long as they can be.
    case("snprintf_numbers", FORMAT_OF_NUMBERS, "r1 = r7\nr1 += 1024\nr2 = 512\nr3 = r7\nr3 += 128\nr4 = r7\nr4 += 600\nr5 = 96\ncall 165\n"),
    case("snprintf_padded", "*(u64 *)(r7 + 128) = 0x64353532\n*(u8 *)(r7 + 127) = 37", "r1 = r7\nr1 += 1024\nr2 = 512\nr3 = r7\nr3 += 127\nr4 = r7\nr4 += 600\nr5 = 96\ncall 165\n"),
    case("snprintf_string", "*(u64 *)(r7 + 128) = 0x7325\n*(u64 *)(r7 + 600) = r7", "r1 = r7\nr1 += 1024\nr2 = 512\nr3 = r7\nr3 += 128\nr4 = r7\nr4 += 600\nr5 = 96\ncall 165\n"),
    case("trace_printk_full", "*(u64 *)(r7 + 128) = 0x78256425", "r1 = r7\nr1 += 128\nr2 = 8\nr3 = -1\nr4 = -1\ncall 6\n"),
    case("strncmp_short", "*(u64 *)(r7 + 128) = 0", "r1 = r7\nr2 = 256\nr3 = r7\nr3 += 128\ncall 182\n"),
    case("strncmp_odd", "", "r1 = r7\nr1 += 257\nr2 = 255\nr3 = r1\ncall 182\n"),
    case("strncmp_long", "", "r1 = r7\nr1 += 256\nr2 = 256\nr3 = r7\nr3 += 256\ncall 182\n"),
    case("strtol_long", "r1 = 0x2020202020202020 ll\n*(u64 *)(r7 + 128) = r1\n*(u64 *)(r7 + 136) = r1\n*(u64 *)(r7 + 144) = r1\nr1 = 0x3131313131313131 ll\n*(u64 *)(r7 + 152) = r1\n*(u64 *)(r7 + 160) = r1\n*(u16 *)(r7 + 168) = 0x3131", "r1 = r7\nr1 += 128\nr2 = 64\nr3 = 10\nr4 = r7\nr4 += 1024\ncall 105\n"),
    case("jiffies", "", "call 118\n"),
    case("ringbuf_query", "", "r1 = map_index(0) ll\nr2 = 0\ncall 134\n"),
    // Keys begin at r7 + 128, values at r7 + 2048, where there is nothing but zeros.
    case("array_lookup", KEY, on_map!("1", "call 1")),
    case("array_lookup_none", "*(u32 *)(r7 + 128) = 16", on_map!("1", "call 1")),
    case("array_update", KEY, on_map!("1", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2")),
    case("array_update_long", KEY, on_map!("3", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2")),
    case("hash_lookup", KEY, on_map!("4", "call 1")),
    case("hash_lookup_none", "*(u64 *)(r7 + 128) = 77", on_map!("4", "call 1")),
    case("hash_lookup_long_key", "", on_map!("2", "call 1")),
    case("hash_update", KEY, on_map!("4", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2")),
    case("hash_add_delete", "*(u64 *)(r7 + 128) = 77", concat!(on_map!("4", "r3 = r7\nr3 += 2048\nr4 = 1\ncall 2"), on_map!("4", "call 3"))),
    case("hash_delete_none", "*(u64 *)(r7 + 128) = 77", on_map!("4", "call 3")),
    // Each key is a new one, and another one is given up for it.
    case("lru_add", "r8 = 0", concat!("r8 += 1\n*(u64 *)(r7 + 128) = r8\n", on_map!("5", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2"))),
    case("lru_lookup", KEY, on_map!("5", "call 1")),
    case("percpu_array_lookup", KEY, on_map!("6", "call 1")),
    case("percpu_array_other", KEY, on_map!("6", "r3 = 7\ncall 195")),
    case("percpu_array_update", KEY, on_map!("6", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2")),
    case("percpu_hash_lookup", KEY, on_map!("7", "call 1")),
    case("percpu_hash_update", KEY, on_map!("7", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2")),
    case("percpu_hash_add_delete", "*(u64 *)(r7 + 128) = 77", concat!(on_map!("7", "r3 = r7\nr3 += 2048\nr4 = 1\ncall 2"), on_map!("7", "call 3"))),
    case("percpu_hash_add_delete_long", "*(u64 *)(r7 + 128) = 77", concat!(on_map!("8", "r3 = r7\nr3 += 2048\nr4 = 1\ncall 2"), on_map!("8", "call 3"))),
    case("lru_percpu_add_long", "r8 = 0", concat!("r8 += 1\n*(u64 *)(r7 + 128) = r8\n", on_map!("9", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2"))),
    case("processor_id", "", "call 8\n"),
    case("queue_push_pop", "", concat!(on_map!("10", "r3 = 0\ncall 87"), on_map!("10", "call 88"))),
    case("queue_push_pop_long", "", concat!(on_map!("11", "r3 = 0\ncall 87"), on_map!("11", "call 88"))),
    case("queue_pop_none", "", on_map!("11", "call 88")),
    case("stack_push_peek", "", concat!(on_map!("12", "r3 = 2\ncall 87"), on_map!("12", "call 89"))),
    case("bloom_push", "", on_map!("13", "r3 = 0\ncall 87")),
    case("bloom_push_long", "", on_map!("14", "r3 = 0\ncall 87")),
    case("bloom_peek_long", "", on_map!("14", "call 89")),
    case("under_cgroup", "", "r1 = map_index(15) ll\nr2 = 0\ncall 37\n"),
    // One length, and all of them.
    case("lpm_lookup", "*(u64 *)(r7 + 128) = 32", on_map!("16", "call 1")),
    case("lpm_lookup_all", "*(u64 *)(r7 + 128) = 128", on_map!("17", "call 1")),
    case("lpm_lookup_long", "*(u64 *)(r7 + 128) = 2048", on_map!("18", "call 1")),
    case("uid_gid", "", "call 15\n"),
    case("pid_tgid", "", "call 14\n"),
    case("comm", "", "r1 = r7\nr1 += 1024\nr2 = 16\ncall 16\n"),
    case("comm_long", "", "r1 = r7\nr1 += 1024\nr2 = 8192\ncall 16\n"),
    case("read_memory_page", "r8 = *(u64 *)(r7 + 16)\nr8 += 4094", "r1 = r7\nr1 += 1024\nr2 = 8\nr3 = r8\ncall 113\n"),
    // Few of them, so that a run is not longer than what a scheduler gives at a time.
    ChargedCase { times: 1, ..case("read_memory_long", "r8 = *(u64 *)(r7 + 16)\nr8 += 6", "r1 = r7\nr1 += 1024\nr2 = 8176\nr3 = r8\ncall 113\n") },
    case("read_string_page", "r8 = *(u64 *)(r7 + 16)\nr8 += 4094", "r1 = r7\nr1 += 1024\nr2 = 8\nr3 = r8\ncall 115\n"),
    case("tail_call_none", "", "r1 = r7\nr2 = map_index(19) ll\nr3 = 1\ncall 12\n"),
    // Loads of four bytes through r9 are probing ones: of the program's own memory, of the application's, of two pages of that, of none, and as a chain.
    case("probing_own", "r9 = r7", "r0 = *(u32 *)(r9 + 64)\n"),
    case("probing", "r9 = *(u64 *)(r7 + 16)", "r0 = *(u32 *)(r9 + 0)\n"),
    case("probing_page", "r9 = *(u64 *)(r7 + 16)", "r0 = *(u32 *)(r9 + 4094)\n"),
    case("probing_fault", "r9 = 16", "r0 = *(u32 *)(r9 + 0)\n"),
    case("probing_far", "r9 = -1", "r0 = *(u32 *)(r9 + 0)\n"),
    case("probing_chain", "r8 = *(u64 *)(r7 + 16)\nr9 = r8", "r9 = *(u32 *)(r9 + 0)\nr9 += r8\n"),
    case("lpm_add_delete", "*(u64 *)(r7 + 128) = 77", concat!(on_map!("17", "r3 = r7\nr3 += 2048\nr4 = 0\ncall 2"), on_map!("17", "call 3"))),
];

/// A key that maps have.
const KEY: &str = "*(u64 *)(r7 + 128) = 5";

/// Bytes of values and keys that are long.
const LONG: u32 = 1024;

/// The other maps of cases in the numbering of Linux, from place 3 on: kind, and bytes of a key and a value, and entries.
const MAPS: &[(MapKind, [u32; 3])] = &[
    (MapKind::Array, [4, LONG, 16]),
    (MapKind::Hash, [8, 8, 1024]),
    (MapKind::LruHash, [8, 8, 1024]),
    (MapKind::PercpuArray, [4, 8, 16]),
    (MapKind::PercpuHash, [8, 8, 64]),
    (MapKind::PercpuHash, [8, LONG, 16]),
    (MapKind::LruPercpuHash, [8, LONG, 16]),
    (MapKind::Queue, [0, 8, 16]),
    (MapKind::Queue, [0, LONG, 16]),
    (MapKind::Stack, [0, 8, 16]),
    (MapKind::BloomFilter, [0, 8, 1024]),
    (MapKind::BloomFilter, [0, LONG, 1024]),
    (MapKind::CgroupArray, [4, 4, 1]),
    (MapKind::LpmTrie, [8, 8, 256]),
    (MapKind::LpmTrie, [20, 8, 256]),
    (MapKind::LpmTrie, [260, 8, 4096]),
    (MapKind::ProgArray, [4, 4, 2]),
];

/// Puts into the maps what cases look for, and what makes it hard to find.
fn fill(engine: &Runtime) {
    for (place, (kind, [key_size, value_size, _])) in (3..).zip(MAPS) {
        let Some(map) = engine.map(&format!("charges.map{place}")) else { continue };
        let put = |key: &[u8]| _ = map.update(key.into(), vec![0; *value_size as usize][..].into(), 0, &mut 0);
        if *kind == MapKind::ProgArray {
            continue;
        }
        if *kind != MapKind::LpmTrie {
            let key: Vec<u8> = [5].into_iter().chain(core::iter::repeat(0)).take(*key_size as usize).collect();
            put(&key);
            continue;
        }
        // None of the longer ones fits a key of zeros.
        let lengths = if place == 16 { 32..33 } else { 1..8 * (key_size - 4) + 1 };
        for length in lengths {
            let bits = vec![if place == 16 { 0 } else { 0xff }; *key_size as usize - 4];
            put(&[&length.to_le_bytes()[..], &bits].concat());
        }
    }
}

/// A case as a program. Its counter comes from memory: it is charged as it runs.
fn program(case: &ChargedCase) -> Result<Vec<u8>> {
    let body = case.body.repeat(case.times);
    let text = format!(
        "r7 = r1\nr6 = *(u64 *)(r7 + 0)\n{}\nloop:\n{body}r6 -= 1\nif r6 != 0 goto loop\nexit\n{}",
        case.before, case.behind
    );
    assemble(&text).map_err(|error| format!("{}: line {}: {}", case.name, error.line, error.problem).into())
}

#[repr(align(4096))]
struct Argument([u8; ARGUMENT]);

#[repr(align(4096))]
struct Pages([u8; 2 * 4096]);

static APPLICATION: Pages = Pages([0; 2 * 4096]);

fn argument(rounds: u64) -> Box<Argument> {
    let mut argument = Box::new(Argument([0; ARGUMENT]));
    argument.0[..8].copy_from_slice(&rounds.to_le_bytes());
    // Eight bytes from here lie in two pages.
    let split = argument.0.as_ptr() as u64 + 4092;
    argument.0[8..16].copy_from_slice(&split.to_le_bytes());
    // Two pages of the application's, which hold zeros.
    argument.0[16..24].copy_from_slice(&(APPLICATION.0.as_ptr() as u64).to_le_bytes());
    argument.0[256..256 + 255].fill(b'x');
    argument
}

/// Time of one run, and what it was charged.
fn once(engine: &Runtime, id: ProgramId, rounds: u64) -> Result<(f64, u64)> {
    const BUDGET: u64 = u64::MAX >> 1;
    let mut argument = argument(rounds);
    let begin = Instant::now();
    let report = engine.exec(id, &mut argument.0, Some(BUDGET))?;
    let took = begin.elapsed().as_nanos() as f64;
    engine.drain_console();
    if let Some(ring) = engine.map("charges.ring") {
        while ring.read_record(&mut []).is_some() {}
    }
    Ok((took, BUDGET - report.budget_left))
}

/// Nanoseconds of one run, about: shorter than what a scheduler gives at a time.
const SPAN: f64 = 300_000.0;

/// A program; of those in the numbering of Linux, with its map.
fn load(engine: &Runtime, name: &str, code: &[u8], options: &LoadOptions) -> Result<ProgramId> {
    if options.abi != Some(Abi::Linux) {
        return Ok(engine.load(name, code, options)?);
    }
    let map = |kind, [key_size, value_size, max_entries]: [u32; 3], name| {
        let name = MapName::new(name).ok_or("a name")?;
        let def = MapDef { kind, key_size, value_size, max_entries, flags: MapFlags::empty(), inner: None, name };
        Ok::<_, &str>(MapPart { def, contents: &[], shared: false })
    };
    let mut program = Program::from_flat(name, code, Abi::Linux)?;
    let probes = |insn: &Insn| matches!(insn, Insn::Load { base: Reg::R9, size: Size::W, .. });
    program.probing = (0..).zip(program.insns.iter()).filter(|(_, insn)| probes(insn)).map(|(pc, _)| pc).collect();
    let maps = [
        map(MapKind::Ringbuf, [0, 0, 64 * 1024], "ring")?,
        map(MapKind::Array, [4, 8, 16], "array")?,
        // One entry, in one of two places: half of the looks find it.
        map(MapKind::Hash, [512, 8, 1], "hash")?,
    ];
    let names: Vec<String> = (3..).zip(MAPS).map(|(place, _)| format!("map{place}")).collect();
    let others = MAPS.iter().zip(&names).map(|(&(kind, sizes), name)| map(kind, sizes, name));
    let maps = maps.into_iter().map(Ok).chain(others).collect::<std::result::Result<Vec<_>, _>>()?;
    let ids = engine.load_parts("charges", &maps, vec![program], options)?;
    fill(engine);
    ids.first().copied().ok_or_else(|| "no program".into())
}

fn measure(engine: &Runtime, case: &ChargedCase, abi: Abi, passes: usize) -> Result<()> {
    let code = program(case)?;
    for (name, on) in [("jit", Engine::Jit), ("interp", Engine::Interpreter)] {
        let options = LoadOptions { abi: Some(abi), engine: on, ..LoadOptions::default() };
        let id = load(engine, case.name, &code, &options)?;
        if let Some(hash) = engine.map("charges.hash") {
            _ = hash.update([7; 512][..].into(), [7; 8][..].into(), 0, &mut 0);
        }
        let (trial, _) = once(engine, id, case.rounds.unwrap_or(10))?;
        let rounds = case.rounds.unwrap_or(((10.0 * SPAN / trial) as u64).clamp(10, 100_000));
        let (mut times, mut charged) = (Vec::new(), 0);
        for _ in 0..passes {
            let (took, charge) = once(engine, id, rounds)?;
            times.push(took);
            charged = charge;
        }
        let time = stopwatch::least(&times);
        figure(&format!("charge.{name}.{}", case.name), time / charged as f64);
        figure(&format!("charge-ns.{name}.{}", case.name), time / (rounds * case.times.max(1) as u64) as f64);
        engine.unload(id)?;
    }
    Ok(())
}

/// Runs of a chain of tail calls between two readings of the clock.
const CHAINS: u64 = 50;

/// A tail call takes what a run takes longer with as many of them as it may make than with one that finds no program.
fn tail_calls(engine: &Runtime, passes: usize) -> Result<()> {
    for (name, on) in [("jit", Engine::Jit), ("interp", Engine::Interpreter)] {
        let options = LoadOptions { abi: Some(Abi::Linux), engine: on, ..LoadOptions::default() };
        let mut runs = [(0.0, 0); 2];
        for (run, place) in runs.iter_mut().zip([0, 1]) {
            let text = format!("r2 = map_index(19) ll\nr3 = {place}\ncall 12\nr0 = 0\nexit");
            let code = assemble(&text).map_err(|error| format!("line {}: {}", error.line, error.problem))?;
            let id = load(engine, "tail_call", &code, &options)?;
            engine.hold_program("charges.map19", &[0; 4], id)?;
            let mut times = Vec::new();
            for _ in 0..passes {
                let (mut took, mut charged) = (0.0, 0);
                for _ in 0..CHAINS {
                    let (one, charge) = once(engine, id, 0)?;
                    (took, charged) = (took + one, charge);
                }
                times.push(took / CHAINS as f64);
                run.1 = charged;
            }
            run.0 = stopwatch::least(&times);
            engine.unload(id)?;
        }
        let [(with, charged_with), (without, charged_without)] = runs;
        figure(&format!("charge.{name}.tail_call"), (with - without) / (charged_with - charged_without) as f64);
        figure(&format!("charge-ns.{name}.tail_call"), (with - without) / f64::from(MOST_TAIL_CALLS));
    }
    Ok(())
}

/// Symbols that look alike for long: what a search by name has to compare.
const SYMBOLS: u64 = 20_000;

/// Pages that a chain of loads goes through, each once a round: more than the caches hold.
const PAGES: usize = 32_768;

/// Nanoseconds of a load that no cache has, nor the table of pages.
fn cache_miss(engine: &Runtime, passes: usize) -> Result<()> {
    const LOADS: u64 = 20_000;
    let text = "r6 = *(u64 *)(r1 + 8)\nloop: r1 = *(u64 *)(r1 + 0)\nr6 -= 1\nif r6 != 0 goto loop\nexit";
    let code = assemble(text).map_err(|error| format!("line {}: {}", error.line, error.problem))?;
    let mut memory = vec![0u8; PAGES * 4096];
    let base = memory.as_ptr() as u64;
    let place = |page: usize| page * 4096 + page % 64 * 64;
    for page in 0..PAGES {
        let next = base + place((page * 20_077 + 12_345) % PAGES) as u64;
        memory[place(page)..][..8].copy_from_slice(&next.to_le_bytes());
    }
    memory[8..16].copy_from_slice(&LOADS.to_le_bytes());
    let id = engine.load("cache_miss", &code, &LoadOptions { engine: Engine::Jit, ..LoadOptions::default() })?;
    let mut times = Vec::new();
    for _ in 0..passes {
        let begin = Instant::now();
        engine.exec(id, &mut memory, Some(u64::MAX >> 1))?;
        times.push(begin.elapsed().as_nanos() as f64 / LOADS as f64);
    }
    figure("charge-ns.jit.cache_miss", stopwatch::least(&times));
    Ok(())
}

/// All cases.
pub fn run(passes: usize) -> Result<()> {
    let platform = Platform { console: &Sink, ..platform(".".into()) };
    let engine = Runtime::init(platform, Config { ring_bytes: 64 * 1024, ..Config::default() })?;
    let names: Vec<String> = (0..SYMBOLS).map(|n| format!("{}{n:05}", "x".repeat(250))).collect();
    let table = names.iter().zip(0..).map(|(name, n)| Symbol { address: 0x10_0000 + 16 * n, name, function: true });
    engine.add_symbols(SymbolTable::new(table)?);
    for number in 0..256u64 {
        // Keys of one hash: all in a row. The last takes the last of the slots that they may stand in.
        engine.map_put(number << 32, number, number)?;
    }
    engine.map_put(5, 6, 7)?;
    cache_miss(engine, passes)?;
    for (cases, abi) in [(CASES, Abi::Classic), (CASES_UIO, Abi::Uio), (CASES_LINUX, Abi::Linux)] {
        cases.iter().try_for_each(|case| measure(engine, case, abi, passes))?;
    }
    tail_calls(engine, passes)?;
    traced::run(passes)
}
