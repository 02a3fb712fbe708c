//! The built-in helpers, a row each.

use super::{
    format,
    row::{flat, of_map, prose, text, walks, Row},
    HelperCall, HelperFault, Inline, TwoKey,
};
use crate::isa::weight;
use crate::maps::{self, MapError, TwoKeyMap};
use crate::program::{
    limits::{MAX_STRING, MOST_FRAMES},
    Abi::{Classic, Linux, Uio},
    ArgType::{
        AnyAddress, CString, Length, Map, MapKey, MapValue, MapValueOut, MemRead, MemWrite, Record, RecordSize, Scalar,
        Unused, WriteWord,
    },
    Cost, MapFamily, RetType,
};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Value that `bpf_map_get` gives where there is no entry.
pub const MAP_MISS: u64 = u64::MAX;

/// The helpers that look into the two-key map.
pub const TWO_KEY_HELPERS: [&str; 4] = ["bpf_map_get", "bpf_map_put", "bpf_map_add", "bpf_map_del"];

/// What helpers of Linux give where others are at work.
const BUSY: i64 = MapError::Busy.code();

/// Costs are measured (`cargo xtask bench charges`), on the platform that is slowest at it: a system call reads the application's memory
/// there, and a name is looked up among 20,000.
pub const BUILTINS: &[Row] = &[
    Row {
        name: "bpf_map_get",
        doc: prose!("Value in the two-key map, UINT64_MAX where there is none."),
        numbers: &[(Classic, 0), (Uio, 1)],
        args: &[("key1", Scalar), ("key2", Scalar)],
        ret: RetType::Scalar,
        cost: walks(4, TwoKeyMap::MOST_WALKED_TO_GET),
        inline: Some(Inline::MapGet),
        missed: Some(MAP_MISS as i64),
        function: map_get,
    },
    Row {
        name: "bpf_map_put",
        doc: prose!("Inserts or replaces a value in the two-key map."),
        numbers: &[(Classic, 1), (Uio, 2)],
        args: &[("key1", Scalar), ("key2", Scalar), ("value", Scalar)],
        ret: RetType::Void,
        cost: walks(8, TwoKeyMap::MOST_WALKED),
        inline: Some(Inline::MapPut),
        missed: Some(0),
        function: map_put,
    },
    Row {
        name: "bpf_map_del",
        doc: prose!("Removes a value from the two-key map."),
        numbers: &[(Classic, 2), (Uio, 3)],
        args: &[("key1", Scalar), ("key2", Scalar)],
        ret: RetType::Void,
        cost: walks(8, TwoKeyMap::MOST_WALKED),
        inline: None,
        missed: Some(0),
        function: map_del,
    },
    Row {
        name: "bpf_map_add",
        doc: prose!("Adds to a value of the two-key map, in one step: of several threads that count at a time none is lost. A key that is not \
              there counts as 0."),
        numbers: &[(Classic, 32), (Uio, 32)],
        args: &[("key1", Scalar), ("key2", Scalar), ("more", Scalar)],
        ret: RetType::Void,
        cost: walks(8, TwoKeyMap::MOST_WALKED),
        inline: Some(Inline::MapAdd),
        missed: Some(0),
        function: map_add,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_lookup_elem",
        doc: prose!("Address of the value under a key of a map, 0 where there is none."),
        numbers: &[(Linux, 1)],
        args: &[("map", Map(MapFamily::Lookup)), ("key", MapKey)],
        ret: RetType::MapValueOrNull,
        cost: of_map(16, maps::MOST_WALKED_TO_LOOK),
        inline: Some(Inline::Lookup),
        missed: Some(0),
        function: map_lookup_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_lookup_percpu_elem",
        doc: prose!("Address of a CPU's value under a key of a map with a value per CPU, 0 where there is none."),
        numbers: &[(Linux, 195)],
        args: &[("map", Map(MapFamily::PerCpu)), ("key", MapKey), ("cpu", Scalar)],
        ret: RetType::MapValueOrNull,
        cost: of_map(16, maps::MOST_WALKED_TO_LOOK),
        inline: None,
        missed: Some(0),
        function: map_lookup_percpu_elem,
    },
    Row {
        name: "bpf_get_smp_processor_id",
        doc: prose!("The slot that is this run's in values per CPU, which stands for the number of a CPU: of runs at one time no two have the same."),
        numbers: &[(Linux, 8)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(1),
        inline: Some(Inline::Lane),
        missed: Some(0),
        function: smp_processor_id,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_update_elem",
        doc: prose!("Inserts or replaces a value of a map; 0, or the negative number of an error."),
        numbers: &[(Linux, 2)],
        args: &[("map", Map(MapFamily::Change)), ("key", MapKey), ("value", MapValue), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: of_map(32, maps::MOST_WALKED_TO_CHANGE),
        inline: Some(Inline::Update),
        missed: Some(BUSY),
        function: map_update_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_delete_elem",
        doc: prose!("Removes a value from a map; 0, or the negative number of an error."),
        numbers: &[(Linux, 3)],
        args: &[("map", Map(MapFamily::Change)), ("key", MapKey)],
        ret: RetType::Scalar,
        cost: of_map(24, maps::MOST_WALKED_TO_CHANGE),
        inline: Some(Inline::Delete),
        missed: Some(BUSY),
        function: map_delete_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "ubpf_map_key",
        doc: prose!("Copies the key in a place of a map: 1, 0 where there is none, -2 behind the last place. Places are counted from 0, fewer than \
              three for each entry."),
        numbers: &[(Linux, 255)],
        args: &[("map", Map(MapFamily::Lookup)), ("place", Scalar), ("key", MemWrite), ("size", Length)],
        ret: RetType::Scalar,
        cost: of_map(32, 0),
        inline: None,
        missed: Some(BUSY),
        function: map_key,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_push_elem",
        doc: prose!("Puts a value into a queue, a stack or a filter; 0, or the negative number of an error."),
        numbers: &[(Linux, 87)],
        args: &[("map", Map(MapFamily::Push)), ("value", MapValue), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: of_map(32, 0),
        inline: None,
        missed: Some(BUSY),
        function: map_push_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_pop_elem",
        doc: prose!("Takes the first value of a queue or a stack; 0, or the negative number of an error and zeros."),
        numbers: &[(Linux, 88)],
        args: &[("map", Map(MapFamily::Pop)), ("value", MapValueOut)],
        ret: RetType::Scalar,
        cost: of_map(32, 0),
        inline: None,
        missed: Some(BUSY),
        function: map_pop_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_map_peek_elem",
        doc: prose!("Copies the first value of a queue or a stack, or says whether a filter may have a value; 0, or the negative number of an error."),
        numbers: &[(Linux, 89)],
        args: &[("map", Map(MapFamily::Peek)), ("value", MapValueOut)],
        ret: RetType::Scalar,
        cost: of_map(32, 0),
        inline: None,
        missed: Some(BUSY),
        function: map_peek_elem,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_tail_call",
        doc: prose!("Goes on in a program of an array, which takes the place of this one, with the same context; a negative number where there is \
              none, or after 33 such calls. Only the outermost function may call it, or one after which its caller ends."),
        numbers: &[(Linux, 12)],
        args: &[("ctx", AnyAddress), ("programs", Map(MapFamily::Programs)), ("index", Scalar)],
        ret: RetType::TailCall,
        cost: flat(TAIL_CALL),
        inline: None,
        missed: None,
        function: tail_call,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_current_task_under_cgroup",
        doc: prose!("Whether what runs belongs to a control group of an array: always 1, or the negative number of an error."),
        numbers: &[(Linux, 37)],
        args: &[("groups", Map(MapFamily::Cgroups)), ("index", Scalar)],
        ret: RetType::Scalar,
        cost: flat(4),
        inline: None,
        missed: Some(1),
        function: current_task_under_cgroup,
    },
    Row {
        name: "bpf_ktime_get_ns",
        doc: prose!("Monotonic time in nanoseconds."),
        numbers: &[(Linux, 5), (Linux, 125), (Linux, 160), (Linux, 208)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(16),
        inline: Some(Inline::Time),
        missed: Some(0),
        function: time_get_ns,
    },
    Row {
        name: "bpf_probe_read_kernel",
        doc: prose!("Copies memory of the application; 0, or -14 and zeros where it cannot be read."),
        numbers: &[(Linux, 113), (Linux, 4), (Linux, 112)],
        args: &[("dst", MemWrite), ("size", Length), ("src", AnyAddress)],
        ret: RetType::Scalar,
        cost: READ,
        inline: None,
        missed: None,
        function: read_memory,
    },
    Row {
        name: "bpf_probe_read_kernel_str",
        doc: prose!("Copies a string of the application, as much of it as there is room for, and a NUL; its length with the NUL, or -14 and zeros \
              where it cannot be read."),
        numbers: &[(Linux, 115), (Linux, 45), (Linux, 114)],
        args: &[("dst", MemWrite), ("size", Length), ("src", AnyAddress)],
        ret: RetType::Scalar,
        cost: READ,
        inline: None,
        missed: None,
        function: read_string,
    },
    Row {
        name: "bpf_get_prandom_u32",
        doc: prose!("A number that looks random."),
        numbers: &[(Linux, 7)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(24),
        inline: None,
        missed: Some(0),
        function: random,
    },
    Row {
        name: "bpf_jiffies64",
        doc: prose!("Time in units of 4 milliseconds."),
        numbers: &[(Linux, 118)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(16),
        inline: None,
        missed: Some(0),
        function: |call| Ok(call.host.now_ns() / 4_000_000),
    },
    Row {
        name: "bpf_get_current_pid_tgid",
        doc: prose!("Number of the thread, and in the upper half that of its process; 0 of the thread that runs where no other can. In an interrupt: of \
              the thread that it interrupts."),
        numbers: &[(Linux, 14)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(16),
        inline: None,
        missed: Some(0),
        function: |call| {
            let thread = call.host.thread();
            Ok(u64::from(thread.process) << 32 | u64::from(thread.thread))
        },
    },
    Row {
        name: "bpf_get_current_comm",
        doc: prose!("Writes the name of the thread, as much of it as there is room for, and NULs; 0."),
        numbers: &[(Linux, 16)],
        args: &[("name", MemWrite), ("size", Length)],
        ret: RetType::Scalar,
        // A system call on Linux.
        cost: READ,
        inline: None,
        missed: Some(BUSY),
        function: current_comm,
    },
    Row {
        name: "bpf_get_current_uid_gid",
        doc: prose!("0: an image has one user."),
        numbers: &[(Linux, 15)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(1),
        inline: None,
        missed: Some(0),
        function: |_| Ok(0),
    },
    Row {
        name: "bpf_get_current_cgroup_id",
        doc: prose!("1: an image has one group."),
        numbers: &[(Linux, 80)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(1),
        inline: None,
        missed: Some(1),
        function: |_| Ok(1),
    },
    Row {
        name: "bpf_get_current_task",
        doc: prose!("0: an image has no task as Linux has."),
        numbers: &[(Linux, 35)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(1),
        inline: None,
        missed: Some(0),
        function: |_| Ok(0),
    },
    Row {
        name: "bpf_get_attach_cookie",
        doc: prose!("The number that the program was attached with, 0 where that was none."),
        numbers: &[(Linux, 174)],
        args: &[("ctx", AnyAddress)],
        ret: RetType::Scalar,
        cost: flat(2),
        inline: Some(Inline::Cookie),
        missed: None,
        function: |call| Ok(call.host.traced().map_or(0, |traced| traced.cookie)),
    },
    Row {
        name: "bpf_get_func_ip",
        doc: prose!("Where the traced function begins."),
        numbers: &[(Linux, 173)],
        args: &[("ctx", AnyAddress)],
        ret: RetType::Scalar,
        cost: flat(2),
        inline: Some(Inline::FuncIp),
        missed: None,
        function: |call| Ok(call.host.traced().map_or(0, |traced| traced.start)),
    },
    Row {
        name: "bpf_get_func_arg",
        doc: prose!("What the traced function was given as its argument n, counted from 0, also when it returns; 0, or -22 where it is not known."),
        numbers: &[(Linux, 183)],
        args: &[("ctx", AnyAddress), ("n", Scalar), ("value", WriteWord)],
        ret: RetType::Scalar,
        cost: flat(8),
        inline: None,
        missed: None,
        function: func_arg,
    },
    Row {
        name: "bpf_get_func_ret",
        doc: prose!("What the traced function returns; 0, or -95 at its entry."),
        numbers: &[(Linux, 184)],
        args: &[("ctx", AnyAddress), ("value", WriteWord)],
        ret: RetType::Scalar,
        cost: flat(8),
        inline: None,
        missed: None,
        function: func_ret,
    },
    Row {
        name: "bpf_get_func_arg_cnt",
        doc: prose!("How many arguments of the traced function bpf_get_func_arg knows: as many as was said when the program was attached, else the 6 in registers."),
        numbers: &[(Linux, 185)],
        args: &[("ctx", AnyAddress)],
        ret: RetType::Scalar,
        cost: flat(2),
        inline: None,
        missed: None,
        function: |call| Ok(call.host.traced().map_or(0, |traced| traced.argument_count as u64)),
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_get_stackid",
        doc: prose!("Number of the stack trace in a map of such, which is put in unless it is there: where the traced function begins, and the addresses to \
              which the calls return that led to it, without the first (flags & 255) of them. Or the negative number of an error: -17 where \
              another trace has its place."),
        numbers: &[(Linux, 27)],
        args: &[("ctx", AnyAddress), ("stacks", Map(MapFamily::Stacks)), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: STACK,
        inline: None,
        missed: None,
        function: get_stackid,
    },
    Row {
        name: "bpf_get_stack",
        doc: prose!("Writes such a stack trace and zeros behind it; its bytes, or the negative number of an error and zeros: -14 where more addresses are \
              to be left out than there are, -22 for a size that is no multiple of 8 or a flag that is not known."),
        numbers: &[(Linux, 67), (Classic, 33), (Uio, 33)],
        args: &[("ctx", AnyAddress), ("to", MemWrite), ("size", Length), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: STACK,
        inline: None,
        missed: None,
        function: get_stack,
    },
    Row {
        name: "bpf_strncmp",
        doc: prose!("Compares at most so many bytes with a string; below, above or equal to 0, as the first that differs is."),
        numbers: &[(Linux, 182)],
        args: &[("text", MemRead), ("size", Length), ("other", CString)],
        ret: RetType::Scalar,
        cost: text(24),
        inline: None,
        missed: None,
        function: compare,
    },
    Row {
        name: "bpf_strtol",
        doc: prose!("Reads a signed number of base 8, 10 or 16, or of the one that the text says (0); the bytes read, or the negative number of an error."),
        numbers: &[(Linux, 105)],
        args: &[("text", MemRead), ("size", Length), ("flags", Scalar), ("result", WriteWord)],
        ret: RetType::Scalar,
        cost: flat(48),
        inline: None,
        missed: None,
        function: |call| number(call, true),
    },
    Row {
        name: "bpf_strtoul",
        doc: prose!("Reads a number without a sign, as bpf_strtol does."),
        numbers: &[(Linux, 106)],
        args: &[("text", MemRead), ("size", Length), ("flags", Scalar), ("result", WriteWord)],
        ret: RetType::Scalar,
        cost: flat(48),
        inline: None,
        missed: None,
        function: |call| number(call, false),
    },
    Row {
        name: "bpf_snprintf",
        doc: prose!("Writes text by a format and up to 12 numbers of 8 bytes, as much of it as there is room for; the bytes of all of it and a NUL, or the negative number of an error."),
        numbers: &[(Linux, 165)],
        args: &[("text", MemWrite), ("size", Length), ("format", CString), ("data", MemRead), ("data_size", Length)],
        ret: RetType::Scalar,
        cost: FORMAT,
        inline: None,
        missed: None,
        function: snprintf,
    },
    Row {
        name: "bpf_trace_printk",
        doc: prose!("Prints a line by a format and three numbers; its bytes, or the negative number of an error."),
        numbers: &[(Linux, 6)],
        args: &[("format", MemRead), ("size", Length), ("a", Unused), ("b", Unused), ("c", Unused)],
        ret: RetType::Scalar,
        cost: FORMAT,
        inline: None,
        missed: None,
        function: trace_printk,
    },
    Row {
        name: "bpf_trace_vprintk",
        doc: prose!("Prints a line by a format and up to 12 numbers of 8 bytes."),
        numbers: &[(Linux, 177)],
        args: &[("format", MemRead), ("size", Length), ("data", MemRead), ("data_size", Length)],
        ret: RetType::Scalar,
        cost: FORMAT,
        inline: None,
        missed: None,
        function: trace_vprintk,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_ringbuf_output",
        doc: prose!("Adds a record to a ring; 0, or the negative number of an error."),
        numbers: &[(Linux, 130)],
        args: &[("ring", Map(MapFamily::Ring)), ("data", MemRead), ("size", Length), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: of_map(48, 0),
        inline: None,
        missed: Some(BUSY),
        function: ringbuf_output,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_ringbuf_reserve",
        doc: prose!("Reserves a record in a ring, for the program to fill; its address, 0 where there is no room. A program holds 4 at most."),
        numbers: &[(Linux, 131)],
        args: &[("ring", Map(MapFamily::Ring)), ("size", RecordSize), ("flags", Scalar)],
        ret: RetType::RecordOrNull,
        cost: flat(32),
        inline: Some(Inline::Reserve),
        missed: None,
        function: ringbuf_reserve,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_ringbuf_submit",
        doc: prose!("Gives a reserved record to the reader of its ring."),
        numbers: &[(Linux, 132)],
        args: &[("data", Record), ("flags", Scalar)],
        ret: RetType::Void,
        cost: flat(16),
        inline: Some(Inline::Submit),
        missed: None,
        function: |call| release(call, true),
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_ringbuf_discard",
        doc: prose!("Takes a reserved record back: nobody reads it."),
        numbers: &[(Linux, 133)],
        args: &[("data", Record), ("flags", Scalar)],
        ret: RetType::Void,
        cost: flat(16),
        inline: Some(Inline::Discard),
        missed: None,
        function: |call| release(call, false),
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_ringbuf_query",
        doc: prose!("What a ring says of itself: with 0 the bytes that wait, 1 its size, 2 and 3 the bytes that were read and written since the \
              beginning."),
        numbers: &[(Linux, 134)],
        args: &[("ring", Map(MapFamily::Ring)), ("flags", Scalar)],
        ret: RetType::Scalar,
        cost: flat(16),
        inline: None,
        missed: Some(0),
        function: ringbuf_query,
    },
    #[cfg(feature = "packages")]
    Row {
        name: "bpf_perf_event_output",
        doc: prose!("Adds a record for the reader of an array of events; 0, or the negative number of an error."),
        numbers: &[(Linux, 25)],
        args: &[
            ("ctx", AnyAddress),
            ("events", Map(MapFamily::Events)),
            ("flags", Scalar),
            ("data", MemRead),
            ("size", Length),
        ],
        ret: RetType::Scalar,
        cost: of_map(48, 0),
        inline: None,
        missed: Some(BUSY),
        function: ringbuf_output,
    },
    Row {
        name: "bpf_notify",
        doc: prose!("Prints `Notify: <function name>` on the unikernel's console."),
        numbers: &[(Classic, 3), (Uio, 8)],
        args: &[("function_address", Scalar)],
        ret: RetType::Void,
        cost: flat(32),
        inline: Some(Inline::Notify),
        missed: Some(0),
        function: notify,
    },
    Row {
        name: "bpf_get_ret_addr",
        doc: prose!("Address by which a traced function is known, 0 where there is none of this name."),
        numbers: &[(Classic, 4), (Uio, 9)],
        args: &[("function_name", CString)],
        ret: RetType::Scalar,
        cost: text(160),
        inline: None,
        missed: Some(0),
        function: get_ret_addr,
    },
    Row {
        name: "unwind",
        doc: prose!("Ends the program with result 0 when its argument is 0."),
        numbers: &[(Classic, 5)],
        args: &[("value", Scalar)],
        ret: RetType::EndIfZero,
        cost: flat(1),
        inline: None,
        missed: None,
        function: unwind,
    },
    Row {
        name: "bpf_get_addr",
        doc: prose!("Address of a symbol of the image, 0 where there is none of this name."),
        numbers: &[(Uio, 4)],
        args: &[("name", CString)],
        ret: RetType::Scalar,
        cost: text(160),
        inline: None,
        missed: Some(0),
        function: get_addr,
    },
    Row {
        name: "bpf_probe_read",
        doc: prose!("The 1 to 8 bytes at an application address as a number, 0 where they cannot be read."),
        numbers: &[(Uio, 5)],
        args: &[("address", AnyAddress), ("size", Scalar)],
        ret: RetType::Scalar,
        cost: flat(400),
        inline: None,
        missed: None,
        function: probe_read,
    },
    Row {
        name: "bpf_time_get_ns",
        doc: prose!("Monotonic time in nanoseconds."),
        numbers: &[(Uio, 6)],
        args: &[],
        ret: RetType::Scalar,
        cost: flat(16),
        inline: Some(Inline::Time),
        missed: Some(0),
        function: time_get_ns,
    },
    Row {
        name: "bpf_puts",
        doc: prose!("Prints a line on the unikernel's console."),
        numbers: &[(Uio, 7)],
        args: &[("text", CString)],
        ret: RetType::Void,
        cost: text(32),
        inline: None,
        missed: Some(0),
        function: puts,
    },
];

/// So much for each piece that is read by itself.
const READ: Cost = Cost { base: weight::READ, per_8_bytes: weight::READ * 8 / PIECE as u32, walk: 0 };
/// Bytes of the name of a thread, its NUL included.
const COMM: usize = 16;
/// Bytes of the application's memory that are read at once.
const PIECE: usize = 128;

type Answer = Result<u64, HelperFault>;

fn map_get(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, ..] = call.args;
    let found = match call.host.two_key() {
        TwoKey::Map(map) => map.get_walking(key1, key2, &mut call.walked),
        TwoKey::Model(map) => map.get(key1, key2),
        TwoKey::Nothing => None,
    };
    Ok(found.unwrap_or(MAP_MISS))
}

fn map_put(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, value, ..] = call.args;
    match call.host.two_key() {
        // A full map drops the entry; it counts that, and `status` shows it.
        TwoKey::Map(map) => _ = map.put_walking(key1, key2, value, &mut call.walked),
        TwoKey::Model(map) => map.put(key1, key2, value),
        TwoKey::Nothing => {}
    }
    Ok(0)
}

fn map_add(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, more, ..] = call.args;
    match call.host.two_key() {
        // As with a put.
        TwoKey::Map(map) => _ = map.add_walking(key1, key2, more, &mut call.walked),
        TwoKey::Model(map) => map.put(key1, key2, map.get(key1, key2).unwrap_or(0).wrapping_add(more)),
        TwoKey::Nothing => {}
    }
    Ok(0)
}

fn map_del(call: &mut HelperCall<'_>) -> Answer {
    let [key1, key2, ..] = call.args;
    match call.host.two_key() {
        TwoKey::Map(map) => _ = map.del_walking(key1, key2, &mut call.walked),
        TwoKey::Model(map) => map.del(key1, key2),
        TwoKey::Nothing => {}
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
    let found = match map.def().kind.holds_maps() {
        true => map.find_map(call.args[0], call.key, &mut call.walked, call.records.stay()),
        false => map.lookup(call.key, call.lane, &mut call.walked),
    };
    Ok(found.unwrap_or(0))
}

/// What it takes to leave one program and to enter another one, which pays for itself.
const TAIL_CALL: u32 = 160;

fn tail_call(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    // As a 32-bit number, as with Linux.
    call.next = map.program(call.args[2] as u32, call.records.stay());
    Ok(MapError::NoEntry.code() as u64)
}

fn map_lookup_percpu_elem(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    // As a 32-bit number, as with Linux.
    Ok(map.lookup(call.key, call.args[2] as u32, &mut call.walked).unwrap_or(0))
}

/// What a helper of Linux gives that a kind of programs cannot have.
const UNSUPPORTED: u64 = -95i64 as u64;

/// Writes what was found, or zeros and the number of an error.
fn written(call: &mut HelperCall<'_>, found: Option<u64>, error: u64) -> Answer {
    call.out.write(0, &found.unwrap_or(0).to_le_bytes());
    Ok(if found.is_some() { 0 } else { error })
}

fn func_arg(call: &mut HelperCall<'_>) -> Answer {
    let [_, n, ..] = call.args;
    let traced = call.host.traced();
    let known = traced.filter(|traced| n < traced.argument_count as u64).and_then(|traced| traced.arguments);
    written(call, known.and_then(|arguments| arguments.get(n as usize).copied()), INVALID)
}

fn func_ret(call: &mut HelperCall<'_>) -> Answer {
    let result = call.host.traced().and_then(|traced| traced.result);
    written(call, result, UNSUPPORTED)
}

fn smp_processor_id(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.lane.into())
}

fn map_key(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    if call.out.len() < map.def().key_size as usize {
        return Ok(MapError::Invalid.code() as u64);
    }
    let found = map.key_at(call.args[1], &mut call.out);
    Ok(found.map_or(MapError::NoEntry.code() as u64, u64::from))
}

fn map_update_elem(call: &mut HelperCall<'_>) -> Answer {
    on_map(call, |map, call| map.update_in(call.lane, call.key, call.value, call.args[3], &mut call.walked))
}

fn map_push_elem(call: &mut HelperCall<'_>) -> Answer {
    on_map(call, |map, call| map.push(call.value, call.args[2]))
}

fn map_pop_elem(call: &mut HelperCall<'_>) -> Answer {
    on_map(call, |map, call| map.pop(&mut call.out))
}

fn map_peek_elem(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    Ok(map.peek(&mut call.out).map_or_else(|error| error.code() as u64, |()| 0))
}

/// There is one group, and all are in it.
fn current_task_under_cgroup(call: &mut HelperCall<'_>) -> Answer {
    let entries = call.map.ok_or(NO_MAP)?.def().max_entries;
    let inside = u64::from(call.args[1] as u32) < entries.into();
    Ok(if inside { 1 } else { MapError::Full { capacity: entries as usize }.code() as u64 })
}

/// Where there is no room in a ring, Linux says that it should be tried again.
const AGAIN: i64 = -11;

fn ringbuf_output(call: &mut HelperCall<'_>) -> Answer {
    let map = call.map.ok_or(NO_MAP)?;
    Ok(match map.write_record(call.data) {
        Ok(()) => 0,
        Err(MapError::Full { .. }) => AGAIN as u64,
        Err(error) => error.code() as u64,
    })
}

fn ringbuf_reserve(call: &mut HelperCall<'_>) -> Answer {
    let [ring, size, flags, ..] = call.args;
    // As on Linux, there are no flags yet.
    let reserved = (flags == 0).then(|| call.records.reserve(ring, size));
    Ok(reserved.flatten().unwrap_or(0))
}

fn release(call: &mut HelperCall<'_>, keep: bool) -> Answer {
    match call.records.release(call.args[0], keep) {
        true => Ok(0),
        false => Err(HelperFault { reason: "it was not given a record that the program holds" }),
    }
}

fn ringbuf_query(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.map.ok_or(NO_MAP)?.ring_number(call.args[1]))
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

/// What Linux gives where memory cannot be read.
const FAULT: i64 = -14;

/// Copies memory of the application piece by piece until `ends` says how far the last one counts. False where something cannot be read.
fn copy(call: &mut HelperCall<'_>, ends: fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut piece = [0; PIECE];
    let mut at = 0;
    while at < call.out.len() {
        let wanted = piece.get_mut(..PIECE.min(call.out.len() - at))?;
        let readable = call.host.probe_read(call.args[2].wrapping_add(at as u64), wanted);
        let read = wanted.get(..readable)?;
        if let Some(end) = ends(read) {
            call.out.write(at, read.get(..end)?);
            return Some(at + end);
        }
        if read.len() < wanted.len() {
            return None;
        }
        call.out.write(at, read);
        at += read.len();
    }
    Some(at)
}

/// Nothing is left in the program's memory of what could be read only in part.
fn fault(call: &mut HelperCall<'_>) -> u64 {
    call.out.clear();
    FAULT as u64
}

fn read_memory(call: &mut HelperCall<'_>) -> Answer {
    Ok(match copy(call, |_| None) {
        Some(_) => 0,
        None => fault(call),
    })
}

fn read_string(call: &mut HelperCall<'_>) -> Answer {
    let to_nul = |read: &[u8]| read.iter().position(|&byte| byte == 0).map(|nul| nul + 1);
    Ok(match copy(call, to_nul) {
        Some(len) => {
            // Of a longer one the end is cut off.
            call.out.write(len.saturating_sub(1), &[0]);
            len as u64
        }
        None => fault(call),
    })
}

fn current_comm(call: &mut HelperCall<'_>) -> Answer {
    let mut name = [0; COMM];
    // Its last byte is a NUL.
    let room = name.get_mut(..COMM.min(call.out.len()).saturating_sub(1)).unwrap_or(&mut []);
    let length = call.host.thread_name(room);
    call.out.clear();
    call.out.write(0, name.get(..length).unwrap_or(&[]));
    Ok(0)
}

/// Numbers that look random: a counter and the time, well mixed.
fn random(call: &mut HelperCall<'_>) -> Answer {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut number = COUNTER.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed) ^ call.host.now_ns();
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Ok(number >> 32)
}

fn time_get_ns(call: &mut HelperCall<'_>) -> Answer {
    Ok(call.host.now_ns())
}

/// So much for a format, for the text that it makes, and for each conversion.
const FORMAT: Cost = Cost { base: 160, per_8_bytes: 4, walk: format::MOST_WALKED };
/// What a helper of Linux gives for an argument that makes no sense, and for a number that does not fit.
const INVALID: u64 = MapError::Invalid.code() as u64;
const RANGE: u64 = -34i64 as u64;

/// The words of some memory, as many as Linux allows.
fn words(data: maps::Bytes<'_>) -> ([u64; format::ARGUMENTS], usize) {
    let mut words = [0; format::ARGUMENTS];
    words.iter_mut().zip(data.words()).for_each(|(to, word)| *to = word);
    (words, (data.len() / 8).min(format::ARGUMENTS))
}

fn snprintf(call: &mut HelperCall<'_>) -> Answer {
    let (words, count) = words(call.data);
    let text = format::format(call.text, words.get(..count).unwrap_or(&[]), call.host, &mut call.walked);
    let Some(text) = text else { return Ok(INVALID) };
    let most = text.bytes().len().min(call.out.len().saturating_sub(1));
    call.out.write(0, text.bytes().get(..most).unwrap_or(&[]));
    call.out.write(most, &[0]);
    Ok(text.len() as u64 + 1)
}

/// Prints a line by a format that lies in a program's memory.
fn print(call: &mut HelperCall<'_>, numbers: &[u64]) -> Answer {
    let mut bytes = [0; format::LONGEST];
    let copied = call.data.copy_to(&mut bytes);
    let end = bytes.iter().take(copied).position(|&byte| byte == 0);
    let Some(format) = end.and_then(|end| bytes.get(..end)) else { return Ok(INVALID) };
    let Some(text) = format::format(format, numbers, call.host, &mut call.walked) else { return Ok(INVALID) };
    let line = text.bytes();
    call.host.puts(line.strip_suffix(b"\n").unwrap_or(line));
    Ok(text.len() as u64)
}

fn trace_printk(call: &mut HelperCall<'_>) -> Answer {
    let [_, _, numbers @ ..] = call.args;
    print(call, &numbers)
}

fn trace_vprintk(call: &mut HelperCall<'_>) -> Answer {
    let (words, count) = words(call.second);
    print(call, words.get(..count).unwrap_or(&[]))
}

fn compare(call: &mut HelperCall<'_>) -> Answer {
    // No more than the string with its NUL is looked at. Each word is read once: one that is not aligned takes longer.
    let mut bytes = [0; MAX_STRING];
    let most = call.data.copy_to(&mut bytes);
    let others = call.text.iter().copied().chain([0]);
    for (&byte, other) in bytes.iter().take(most).zip(others) {
        if byte != other || byte == 0 {
            return Ok((i64::from(byte) - i64::from(other)) as u64);
        }
    }
    Ok(0)
}

/// Longest text of a number, with spaces before it.
const NUMBER: usize = 64;

/// So much to find the first frames, to write them, and for each.
const STACK: Cost = Cost { base: 1600, per_8_bytes: 1, walk: FRAME * MOST_FRAMES as u32 };
const FRAME: u32 = 24;

/// Flags of stack traces, with the numbers of Linux: so many addresses are left out, and it is to be the stack of the application, which is the only one.
const SKIPPED: u64 = 0xff;
const USER_STACK: u64 = 1 << 8;
/// A trace of the same hash is taken for the same; a new one takes the place of another one.
const BY_HASH: u64 = 1 << 9;
const REPLACE: u64 = 1 << 10;

/// The addresses of a stack trace, so many at most; the number of an error where more are to be left out than there are, or `flags` has others
/// than those `allowed`.
fn trace<'t>(
    call: &mut HelperCall<'_>,
    flags: u64,
    allowed: u64,
    most: usize,
    room: &'t mut [u64; MOST_FRAMES],
) -> Result<&'t [u64], i64> {
    if flags & !(SKIPPED | USER_STACK | allowed) != 0 {
        return Err(MapError::Invalid.code());
    }
    let skipped = (flags & SKIPPED) as usize;
    let wanted = room.get_mut(..most.saturating_add(skipped).min(MOST_FRAMES)).unwrap_or(&mut []);
    let nothing = wanted.is_empty();
    let found = call.host.stack(wanted);
    call.walked = FRAME.saturating_mul(found as u32);
    room.get(skipped..found).filter(|_| nothing || found > 0).ok_or(FAULT)
}

fn get_stackid(call: &mut HelperCall<'_>) -> Answer {
    let (map, flags) = (call.map.ok_or(NO_MAP)?, call.args[2]);
    let most = map.def().value_size as usize / size_of::<u64>();
    let taken = maps::Collision { by_hash: flags & BY_HASH != 0, replace: flags & REPLACE != 0 };
    let mut room = [0; MOST_FRAMES];
    let number = trace(call, flags, BY_HASH | REPLACE, most, &mut room)
        .and_then(|trace| if trace.is_empty() { Err(FAULT) } else { Ok(trace) })
        .and_then(|trace| map.stack_number(trace, taken).map_err(|error| error.code()));
    Ok(number.map_or_else(|error| error as u64, u64::from))
}

fn get_stack(call: &mut HelperCall<'_>) -> Answer {
    let most = call.out.len() / size_of::<u64>();
    let mut room = [0; MOST_FRAMES];
    let found = match call.out.len().is_multiple_of(size_of::<u64>()) {
        true => trace(call, call.args[3], 0, most, &mut room).map(maps::Bytes::of_words),
        false => Err(MapError::Invalid.code()),
    };
    call.out.clear();
    Ok(match found {
        Ok(trace) => {
            call.out.copy_from(trace);
            trace.len() as u64
        }
        Err(error) => error as u64,
    })
}

fn number(call: &mut HelperCall<'_>, signed: bool) -> Answer {
    let mut bytes = [0; NUMBER];
    let text = call.data.copy_to(&mut bytes);
    let text = bytes.get(..text).unwrap_or(&[]);
    let trimmed = text.trim_ascii_start();
    let positive = trimmed.strip_prefix(b"-").filter(|_| signed);
    let (negative, rest) = (positive.is_some(), positive.unwrap_or(trimmed));
    let hexadecimal = rest.strip_prefix(b"0x").or_else(|| rest.strip_prefix(b"0X"));
    let (base, digits) = match (call.args[2], hexadecimal) {
        (0 | 16, Some(digits)) => (16, digits),
        (0, None) if rest.first() == Some(&b'0') => (8, rest),
        (0, None) => (10, rest),
        (base @ (8 | 10 | 16), _) => (base as u32, rest),
        _ => return Ok(INVALID),
    };
    let (mut value, mut count, mut fits) = (0u64, 0usize, true);
    for &byte in digits {
        let Some(digit) = char::from(byte).to_digit(base) else { break };
        let next = value.checked_mul(base.into()).and_then(|value| value.checked_add(digit.into()));
        fits &= next.is_some();
        value = next.unwrap_or(0);
        count += 1;
    }
    let most = if signed { i64::MAX as u64 + u64::from(negative) } else { u64::MAX };
    if count == 0 {
        return Ok(INVALID);
    }
    if !fits || value > most {
        return Ok(RANGE);
    }
    let value = if negative { value.wrapping_neg() } else { value };
    call.out.write(0, &value.to_le_bytes());
    Ok((text.len() - digits.len() + count) as u64)
}

fn puts(call: &mut HelperCall<'_>) -> Answer {
    call.host.puts(call.text);
    Ok(0)
}
