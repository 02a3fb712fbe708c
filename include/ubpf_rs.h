// The engine of ubpf-rs: programs loaded, run, and attached to functions of the running image.
// Made by `cargo xtask headers` from lib-ubpf-rs/src/ffi.

#ifndef UBPF_RS_H
#define UBPF_RS_H

#include <stddef.h>
#include <stdint.h>
#include "ubpf/platform.h"

// Numbers of helpers that are taken: 0 to 9, 12, 14 to 16, 25, 27, 32 to 33, 35, 37, 45, 67, 80, 87 to 89, 105 to 106, 112 to 115, 118, 125, 130 to 134, 160, 165, 173 to 174, 177, 182 to 185, 195, 208, 255.

// The call did what it says.
#define UBPF_OK 0

// There is no such file, function, symbol or map entry, or the program is not attached there.
#define UBPF_NOT_FOUND -2

// The engine was not started.
#define UBPF_NOT_STARTED -3

// The platform reported a failure.
#define UBPF_IO -5

// The bytes are no program, the program is not admitted, or the symbols are of another image.
#define UBPF_REFUSED -8

// The handle names nothing: it is of another kind, or what it named is gone.
#define UBPF_STALE -9

// There is no memory; nothing was changed.
#define UBPF_NO_MEMORY -12

// The function must not be traced, files may not be changed, or a helper made the call at a traced function.
#define UBPF_DENIED -13

// The program was stopped before its end.
#define UBPF_STOPPED -14

// Another call, made by another thread, changes what this one must change, and takes its time; the text names it. Nothing was changed.
#define UBPF_BUSY -16

// It is there already: the engine, a helper of this name or number, or the program at this function.
#define UBPF_EXISTS -17

// A pointer is NULL, a text is not UTF-8, a name is too long or cannot be shown, or a number is out of its range.
#define UBPF_INVALID -22

// The file is larger than the limit.
#define UBPF_TOO_LARGE -27

// The map or the table is full.
#define UBPF_FULL -28

// The function was compiled without an entry stub.
#define UBPF_NO_STUB -61

// Several functions have this name.
#define UBPF_AMBIGUOUS -76

// The platform cannot do this.
#define UBPF_UNSUPPORTED -95

// The platform's `cancelled` said that the call is to end.
#define UBPF_CANCELLED -125

// Bytes of an error's text, its NUL included.
#define UBPF_ERROR_BYTES 252

// Numbering of helpers as the file's kind has it.
#define UBPF_ABI_DEFAULT 0

// Numbering of the original C tracer.
#define UBPF_ABI_CLASSIC 1

// Numbering of uIO.
#define UBPF_ABI_UIO 2

// Linux helper numbers.
#define UBPF_ABI_LINUX 3

// Policy as the engine was started with.
#define UBPF_POLICY_DEFAULT 0

// Structure only; every access is checked at run time.
#define UBPF_POLICY_CHECKED 1

// What is proved is not checked, the rest is.
#define UBPF_POLICY_GUARDED 2

// Everything must be proved, the end included.
#define UBPF_POLICY_STRICT 3

// The fastest engine that the platform allows.
#define UBPF_ENGINE_DEFAULT 0

// The interpreter.
#define UBPF_ENGINE_INTERPRETER 1

// Machine code; UBPF_UNSUPPORTED where the image cannot have it.
#define UBPF_ENGINE_JIT 2

// The program runs when the function returns, also if its section does not say so; refused if it says that it is for entries.
#define UBPF_ATTACH_RETURN 1

// `arguments` says how many arguments the function has: where the result is in the array of a program of a section fexit depends on it.
#define UBPF_ATTACH_ARGUMENTS 2

// The program also runs when the engine's own control path calls the function, as the thread that serves the shell does; at a timer of a
// CPU's time also in that thread, and in the one that runs where no other can.
#define UBPF_ATTACH_OWN 4

// The argument is not looked at.
#define UBPF_ARG_UNUSED 0

// The argument is a number.
#define UBPF_ARG_NUMBER 1

// The argument is the address of a string of at most 256 bytes, its NUL included, that the program may read.
#define UBPF_ARG_STRING 2

// The argument is the address of memory that the program may read; its length is the next argument.
#define UBPF_ARG_READ 3

// The argument is the address of memory that the program may write; its length is the next argument.
#define UBPF_ARG_WRITE 4

// The argument is the length in bytes of the memory before it.
#define UBPF_ARG_LENGTH 5

// The argument is any address; the helper itself takes care.
#define UBPF_ARG_ADDRESS 6

// Records of `-fpatchable-function-entry=5` (the section `__patchable_function_entries`).
#define UBPF_SITES_PATCHABLE 1

// Records of `-pg -mrecord-mcount -mnop-mcount` (the section `__mcount_loc`).
#define UBPF_SITES_MCOUNT 2

// Addresses of functions compiled with `-finstrument-functions`.
#define UBPF_SITES_INSTRUMENTED 3

// Sizes and limits of the engine; but for `size`, 0 stands for what suits a small image.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Budget of a program run by `ubpf_exec`: units of a nanosecond of machine code; no operation takes more than four times what
  // it is charged. A run that is interpreted gets a thirtieth. Any number; 0: 1,000,000.
  uint64_t exec_budget;
  // Budget of a program run at a function, in the same units. Any number; 0: 62,500.
  uint64_t hook_budget;
  // Budget of a program run at a function in an interrupt, in the same units. Any number; 0: 8,192.
  uint64_t irq_budget;
  // Entries of the two-key map, as many as there is memory for (up to 64 bytes each); 0: 1,024.
  size_t map_entries;
  // Bytes of output that may wait for the console, rounded to what messages take, at least four of them; 0: 16,384.
  size_t ring_bytes;
  // How many programs can run at functions at the same time, 1 to 64; 0: 8.
  size_t hook_areas;
  // Bytes of memory that programs may share and write, rounded up to 8; 0: 4,096.
  size_t arena_bytes;
  // Largest file that is read, in bytes; 0: 1,048,576.
  size_t file_limit;
  // Policy of programs that are loaded without one, one of UBPF_POLICY; UBPF_POLICY_DEFAULT is UBPF_POLICY_GUARDED.
  uint32_t policy;
  // Numbering of helpers of programs that are loaded without one, one of UBPF_ABI; UBPF_ABI_DEFAULT is
  // UBPF_ABI_CLASSIC.
  uint32_t abi;
} ubpf_config;

// Why a call failed. Every call that can fail takes a pointer to one, or NULL, and fills it also when it
// succeeds (`UBPF_OK` and an empty text). It is the caller's memory, so calls of several threads do not disturb each
// other.
//
// Every call can give UBPF_NOT_STARTED, UBPF_INVALID (an argument; the text says which) and UBPF_NO_MEMORY; every call that changes
// something UBPF_BUSY, and every one that takes long UBPF_CANCELLED. What else one can give stands with it.
typedef struct {
  // What the call returned.
  int code;
  // The reason in words, always with a NUL; cut where it is longer.
  char text[UBPF_ERROR_BYTES];
} ubpf_error;

// The state of the engine in numbers.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Loaded programs.
  size_t programs;
  // Functions that can be traced.
  size_t sites;
  // Symbols known.
  size_t symbols;
  // Attached programs.
  size_t probes;
  // Entries of the two-key map.
  size_t map_entries;
  // How many it can hold.
  size_t map_capacity;
  // Updates that it lost.
  uint64_t map_lost;
  // Messages that found no room on their way to the console.
  uint64_t output_lost;
  // 1 when run times are measured.
  int stats;
} ubpf_status;

// A helper: r1 to r5, gives r0.
typedef uint64_t (*ubpf_helper_fn)(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5);

// A helper that gets the `context` of its registration in front.
typedef uint64_t (*ubpf_helper_context_fn)(void *context,
                                           uint64_t r1,
                                           uint64_t r2,
                                           uint64_t r3,
                                           uint64_t r4,
                                           uint64_t r5);

// What programs may call. The engine checks r1 to r5 against `args` before each call. The function may be called from
// a traced function, also in an interrupt: it must not block or allocate. There it may use the two-key map, the arena and the
// symbols; any other call of the engine gives UBPF_DENIED.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Name, 1 to 128 bytes of UTF-8 without spaces and control characters; copied.
  const char *name;
  // Number, in every numbering: at most 1023, and none that is taken. The engine's own are listed at the top of this header; none of
  // them will ever be above 511.
  uint32_t number;
  // What r1 to r5 are, UBPF_ARG_UNUSED and so on.
  uint32_t args[5];
  // Whether the helper gives nothing: r0 is 0 then.
  int returns_nothing;
  // Cost of a call in nanoseconds (0 to 4,294,967,295), charged to the program's budget.
  uint32_t cost;
  // Cost of each 8 bytes of memory that it is given.
  uint32_t cost_per_8_bytes;
  // The function; this or `function_with_context` is required, and the other is NULL.
  ubpf_helper_fn function;
  // The function where it is to get `context`.
  ubpf_helper_context_fn function_with_context;
  // What `function_with_context` gets in front; the engine does not look at it.
  void *context;
} ubpf_helper;

// How a program is loaded; but for `size`, all zeros for the defaults.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Numbering of helpers, one of UBPF_ABI.
  uint32_t abi;
  // How much must be proved, one of UBPF_POLICY.
  uint32_t policy;
  // What runs it, one of UBPF_ENGINE.
  uint32_t engine;
} ubpf_load_options;

// Names a loaded program; 0 names none. A number that is never given twice, so that one whose program was forgotten
// is an error and never another program.
typedef uint64_t ubpf_program;

// What a run gave.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // r0.
  uint64_t value;
  // What is left of the budget. Also filled in when the program was stopped.
  uint64_t budget_left;
} ubpf_run;

// How long an attached program stays and what it is told; but for `size`, all zeros: for ever, at entries.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Detached after this many runs; 0: no limit.
  uint64_t max_runs;
  // Detached after this many nanoseconds; 0: no limit.
  uint64_t max_ns;
  // A number that the program asks for with bpf_get_attach_cookie.
  uint64_t cookie;
  // UBPF_ATTACH.
  uint32_t flags;
  // With UBPF_ATTACH_ARGUMENTS how many arguments the function has, 0 to 6.
  uint32_t arguments;
} ubpf_limits;

// Names a program attached to a function; 0 names none. Never given twice.
typedef uint64_t ubpf_probe;

// An attached program; valid during the call that shows it.
typedef struct {
  // sizeof of this struct, as the library knows it: fields beyond are not there.
  size_t size;
  // Its handle.
  ubpf_probe probe;
  // Name of the function.
  const char *function;
  // Name of the program.
  const char *program;
  // Address by which programs know the function.
  uint64_t address;
  // Calls of the function since the attach: `runs + misses + outstanding + abandoned`.
  uint64_t hits;
  // How often the program ran.
  uint64_t runs;
  // How often it could not run.
  uint64_t misses;
  // How many of its runs were stopped.
  uint64_t failures;
  // Stopped runs that were not reported, to bound the rate.
  uint64_t unreported;
  // Nanoseconds of those runs that were measured.
  uint64_t run_ns;
  // How many runs were measured (ubpf_stats).
  uint64_t timed_runs;
  // 1 if it runs when the function returns, 0 if when it is called.
  uint64_t at_return;
  // Of a program at returns: calls that have not returned yet.
  uint64_t outstanding;
  // Of a program at returns: calls that will not return, since somebody jumped out of them or their thread has ended.
  uint64_t abandoned;
  // Calls that the engine's own control path has made, at which it did not run (UBPF_ATTACH_OWN); they are no hits.
  uint64_t left_out;
  // By which way it runs: `direct`, straight from the function; `general: ` and why, through the engine's entry; or `interpreted`.
  const char *way;
} ubpf_probe_info;

// Called for each attached program. It may call the engine.
typedef void (*ubpf_each_probe)(void *context, const ubpf_probe_info *info);

// Called for each name; returns 0 to end the list.
typedef int (*ubpf_each_name)(void *context, const char *name);

// An entry stub that cannot be used; valid during the call that shows it.
typedef struct {
  // sizeof of this struct, as the library knows it: fields beyond are not there.
  size_t size;
  // Name of the function; empty where it is unknown.
  const char *function;
  // Address of the function; where that is unknown, what was recorded.
  uint64_t address;
  // Why, in words.
  const char *reason;
} ubpf_refused_stub;

// Called for each stub that cannot be used; returns 0 to end the list.
typedef int (*ubpf_each_refused_stub)(void *context, const ubpf_refused_stub *stub);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library, for instance "0.1.0". The text stays.
//
// Threads: any, at any time, also before ubpf_start.
const char *ubpf_version(void);

// Fills in the default sizes and limits, as much of them as `size` bytes hold, and the size itself. NULL is passed over.
//
// Threads: any, at any time, also before ubpf_start.
//
// Errors: UBPF_INVALID `size` is not that of a configuration.
//
// # Safety
// `config` is NULL or points to `size` writable bytes.
int ubpf_config_default(ubpf_config *config,
                        size_t size);

// Starts the engine over the application's platform; there is one engine in an image. Where a platform of this project
// has started it (Unikraft, ubpf_linux_start), this gives UBPF_EXISTS, and the engine can be used at once.
// `config` may be NULL for the defaults.
//
// Threads: any; of several one starts it, and the others get UBPF_EXISTS. Until it has returned, nothing else may be called.
//
// Errors: UBPF_EXISTS it runs already; UBPF_INVALID the platform lacks what is required, or a number of the
// configuration is out of its range.
//
// # Safety
// `platform` is NULL or keeps to platform.h; `config` is NULL or readable; `error` is NULL or writable.
int ubpf_start(const ubpf_platform *platform,
               const ubpf_config *config,
               ubpf_error *error);

// Ends the engine and gives everything back: programs are detached and forgotten, hooks are waited for, memory is freed, and the
// functions of the platform are called no more. Symbols, sites, helpers, programs of the image and the map are gone; ubpf_start may follow,
// with another platform, too. What is kept for the next start is what threads may stand in without being seen: some 100 bytes for each
// function that ever had a program, and a page of executable memory for each hundred. Handles from before are stale.
//
// After an error the engine runs on, with nothing loaded or attached if it came that far, and the call can be made again.
//
// Threads: any, but no helper at a traced function. Other calls that are being made give UBPF_BUSY here; those that begin meanwhile get
// UBPF_NOT_STARTED.
//
// Errors: UBPF_BUSY another call is being made, a session of the shell is open (ushell_close), or a program at a function does not end;
// UBPF_IO a call could not be taken out of the text; UBPF_DENIED the engine was not started by ubpf_start.
//
// # Safety
// `error` is NULL or writable. The arena, and texts that the engine showed, are used no more.
int ubpf_stop(ubpf_error *error);

// Detaches every program, forgets every loaded one, and empties the two-key map: the engine is as after its start, but
// for helpers, symbols and sites. Handles from before are stale.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: UBPF_IO a call could not be taken out of the text (all programs are off all the same).
//
// # Safety
// `error` is NULL or writable.
int ubpf_reset(ubpf_error *error);

// Writes what programs queued (notifications, text, errors) to the console. To be called before the application
// writes there itself, and now and then.
//
// Threads: any, at any time; while another drains, and for a helper at a traced function, it does nothing.
void ubpf_drain(void);

// Detaches programs whose runs or time are used up. To be called now and then.
//
// Threads: any, at any time; while another changes what is attached, and for a helper at a traced function, it does nothing.
void ubpf_poll(void);

// Switches the measuring of programs' run times: 0 off, else on. Off, it costs nothing.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: those of every call.
//
// # Safety
// `error` is NULL or writable.
int ubpf_stats(int on, ubpf_error *error);

// The state of the engine.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: those of every call.
//
// # Safety
// `status` and `error` are NULL or writable.
int ubpf_get_status(ubpf_status *status, ubpf_error *error);

// The memory that programs may share and write: where it is and how long. The application gives its address to programs
// through a helper, and accesses it atomically.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: those of every call.
//
// # Safety
// `base`, `length` and `error` are NULL or writable.
int ubpf_arena(void **base,
               size_t *length,
               ubpf_error *error);

// Value in the two-key map; UBPF_NOT_FOUND, and 0, where there is none.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: UBPF_NOT_FOUND.
//
// # Safety
// `value` and `error` are NULL or writable.
int ubpf_map_get(uint64_t key1, uint64_t key2, uint64_t *value, ubpf_error *error);

// Inserts or replaces in the two-key map; UBPF_FULL when it is full.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: UBPF_FULL.
//
// # Safety
// `error` is NULL or writable.
int ubpf_map_put(uint64_t key1, uint64_t key2, uint64_t value, ubpf_error *error);

// Removes from the two-key map; UBPF_NOT_FOUND where there was nothing.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: UBPF_NOT_FOUND.
//
// # Safety
// `error` is NULL or writable.
int ubpf_map_del(uint64_t key1, uint64_t key2, ubpf_error *error);

// Registers a helper of the application, for programs loaded from now on. It cannot be taken back.
//
// A helper that is given memory must be given its length next: UBPF_ARG_READ or UBPF_ARG_WRITE without UBPF_ARG_LENGTH behind it,
// UBPF_ARG_LENGTH elsewhere, or two strings are refused.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_EXISTS name or number is taken; UBPF_INVALID the number is above 1023, the name or the types of arguments cannot be.
//
// # Safety
// `helper` is NULL or readable, with a name that is NULL or NUL-terminated; its function may be called, with its context, for as long
// as the image runs. `error` is NULL or writable.
int ubpf_register_helper(const ubpf_helper *helper,
                         ubpf_error *error);

// Loads a program from memory and checks it. `name` is for messages and lists: 1 to 256 bytes of UTF-8 without control
// characters; `options` may be NULL.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_REFUSED, with the reason as text; UBPF_UNSUPPORTED machine code was asked for, and there is none here.
//
// # Safety
// `name` is NULL or NUL-terminated; `bytes` points to `length` readable bytes; `options` is NULL or readable;
// `program` and `error` are NULL or writable.
int ubpf_load(const char *name,
              const void *bytes,
              size_t length,
              const ubpf_load_options *options,
              ubpf_program *program,
              ubpf_error *error);

// Loads a program from a file of the platform and checks it. `options` may be NULL. A program of the image (ubpf_add_linked) whose
// name `path` is comes first, unless `options` ask for what it is not: another numbering, another policy, or the interpreter.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: those of ubpf_load; UBPF_NOT_FOUND, UBPF_TOO_LARGE and UBPF_IO of the file; UBPF_UNSUPPORTED also where the
// platform has no files.
//
// # Safety
// As for ubpf_load.
int ubpf_load_file(const char *path,
                   const ubpf_load_options *options,
                   ubpf_program *program,
                   ubpf_error *error);

// Gives the engine programs that were compiled ahead of time (`ubpf aot`) and linked into this image: those between `start` and `end`,
// which are the linker's `__start_ubpf_programs` and `__stop_ubpf_programs`. Each is verified once more. ubpf_load_file and the
// shell's commands find them by their names, before files; they stay until the engine ends. `added` (NULL is good) gets how many they
// are.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_REFUSED some cannot be used (another version of ubpf, other helpers, another CPU, a name that is taken, longer than 128
// bytes, or cannot be shown): the text says why the first of them, the console why each; the others are added. UBPF_UNSUPPORTED this
// library was built without the compiler. After UBPF_NO_MEMORY, too, some may be added.
//
// # Safety
// Between `start` and `end` lies what `ubpf aot` has written and the linker put there, for as long as the image runs; `added` and
// `error` are NULL or writable.
int ubpf_add_linked(const void *start,
                    const void *end,
                    size_t *added,
                    ubpf_error *error);

// Checks a program as ubpf_load does, and keeps nothing.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: those of ubpf_load.
//
// # Safety
// As for ubpf_load.
int ubpf_verify(const char *name,
                const void *bytes,
                size_t length,
                const ubpf_load_options *options,
                ubpf_error *error);

// Forgets a loaded program. Where it is attached it goes on.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_STALE.
//
// # Safety
// `error` is NULL or writable.
int ubpf_unload(ubpf_program program, ubpf_error *error);

// Runs a program once with `memory` as its argument (r1 its address, r2 its length), which it may read and write.
// `budget` is in units of a nanosecond of machine code, 0 for the configured one. UBPF_STOPPED when it did not come to its end; where and why
// stands in `error` and on the console. `run` may be NULL.
//
// Threads: any, at any time, but no helper at a traced function; a program may run on several.
//
// Errors: UBPF_STALE; UBPF_STOPPED.
//
// # Safety
// `memory` points to `length` readable and writable bytes that nobody else uses meanwhile; `run` and `error` are NULL or
// writable.
int ubpf_exec(ubpf_program program,
              void *memory,
              size_t length,
              uint64_t budget,
              ubpf_run *run,
              ubpf_error *error);

// Attaches a loaded program to a function, to its entry unless its section or `limits` says that it is for returns; the function is given by name or as an address ("0x401000"). `limits` and `probe`
// may be NULL.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: UBPF_STALE the program; UBPF_NOT_FOUND, UBPF_AMBIGUOUS, UBPF_NO_STUB and UBPF_DENIED the function; UBPF_EXISTS
// a program of this name is attached there; UBPF_UNSUPPORTED the platform cannot change text, or a program cannot run at the return of
// this function; UBPF_IO it failed to.
//
// # Safety
// `function` is NULL or NUL-terminated; `limits` is NULL or readable; `probe` and `error` are NULL or writable.
int ubpf_attach(const char *function,
                ubpf_program program,
                const ubpf_limits *limits,
                ubpf_probe *probe,
                ubpf_error *error);

// Detaches one program; it runs no more when this returns.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: UBPF_STALE; UBPF_IO its call could not be taken out of the text (the program is off all the same).
//
// # Safety
// `error` is NULL or writable.
int ubpf_detach(ubpf_probe probe,
                ubpf_error *error);

// Lets a loaded program take the place of an attached one: each call of the function is seen by one of the two, and by the new one alone when
// this returns. `probe` names the new one then, which keeps what was said when the old one was attached, and its counts.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: UBPF_STALE the probe or the program; UBPF_EXISTS a program of this name is attached there; UBPF_UNSUPPORTED the new program cannot
// be where the old one is.
//
// # Safety
// `error` is NULL or writable.
int ubpf_replace(ubpf_probe probe,
                 ubpf_program program,
                 ubpf_error *error);

// Detaches from a function the program of this name, or all of its programs where `program` is NULL. `count` (NULL is
// good) gets how many they were. A pattern, with `*` for any characters, is all functions that it fits.
//
// Threads: any, at any time, but no helper at a traced function; changes take turns.
//
// Errors: UBPF_NOT_FOUND the function, or the program there; UBPF_AMBIGUOUS and UBPF_NO_STUB the function; UBPF_IO as
// ubpf_detach.
//
// # Safety
// `function` and `program` are NULL or NUL-terminated; `count` and `error` are NULL or writable.
int ubpf_detach_function(const char *function,
                         const char *program,
                         size_t *count,
                         ubpf_error *error);

// Calls `each` for every attached program of a function, or of all functions where that is NULL, in the order they run.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_NOT_FOUND, UBPF_AMBIGUOUS and UBPF_NO_STUB the function.
//
// # Safety
// `function` is NULL or NUL-terminated; `each` may be called with `context`; `error` is NULL or writable.
int ubpf_list(const char *function,
              ubpf_each_probe each,
              void *context,
              ubpf_error *error);

// Calls `each` with the names of the functions that can be traced, ascending. It must not call the engine.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: those of every call.
//
// # Safety
// `each` may be called with `context`; `error` is NULL or writable.
int ubpf_functions(ubpf_each_name each,
                   void *context,
                   ubpf_error *error);

// Tells the engine where the compiler left entry stubs: `count` addresses. `kind` is one of UBPF_SITES. `added` (NULL is good)
// gets how many of them can be traced. To be called at start, before threads run in these functions, and after
// ubpf_add_symbols: a stub of nops is used when a symbol says where its function begins. Why the others are not used says
// ubpf_refused_stubs, and ubpf_attach to such a function.
//
// Threads: one, at start.
//
// Errors: UBPF_REFUSED none of them lies in a function that the symbols name, so they are of another image or were not moved with this
// one; nothing was taken. After UBPF_NO_MEMORY some may be known; the call can be made again.
//
// # Safety
// `records` points to `count` readable numbers, which the compiler made for this image; `added` and `error` are NULL or
// writable.
int ubpf_add_sites(uint32_t kind,
                   const uint64_t *records,
                   size_t count,
                   size_t *added,
                   ubpf_error *error);

// Calls `each` for every entry stub that cannot be used. It must not call the engine.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: those of every call.
//
// # Safety
// `each` may be called with `context`; `error` is NULL or writable.
int ubpf_refused_stubs(ubpf_each_refused_stub each, void *context, ubpf_error *error);

// Gives the engine the symbols of this image, as the output of `nm`; they replace those known before. `count` (NULL
// is good) gets how many they are. To be called at start, before ubpf_add_sites. Addresses are those of the running image,
// or those of its file, as `nm` of it prints them: how far the program was moved when it was loaded is found by ubpf_start, or a local
// name of the engine, which one of is in the list then.
//
// Threads: one, at start.
//
// Errors: UBPF_REFUSED no symbols, those of another image, or none that has one of the sites that are known.
//
// # Safety
// `text` points to `length` readable bytes; `count` and `error` are NULL or writable.
int ubpf_add_symbols(const char *text,
                     size_t length,
                     size_t *count,
                     ubpf_error *error);

// Reads symbols from a file of the platform (the output of `nm`), when it is of this image. `count` (NULL is good) gets
// how many are known then.
//
// Threads: any, at any time, but no helper at a traced function.
//
// Errors: UBPF_REFUSED no symbols, or those of another image; UBPF_NOT_FOUND, UBPF_TOO_LARGE, UBPF_IO and
// UBPF_UNSUPPORTED of the file.
//
// # Safety
// `path` is NULL or NUL-terminated; `count` and `error` are NULL or writable.
int ubpf_load_symbols(const char *path,
                      size_t *count,
                      ubpf_error *error);

// Address of a symbol; UBPF_NOT_FOUND, and 0, where there is none.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: UBPF_NOT_FOUND.
//
// # Safety
// `name` is NULL or NUL-terminated; `address` and `error` are NULL or writable.
int ubpf_symbol_address(const char *name, uint64_t *address, ubpf_error *error);

// Name of the symbol at or before an address, and the distance from it. At most `length` bytes are written, always with a
// NUL; a longer name is cut. `distance` may be NULL.
//
// Threads: any, at any time, also a helper at a traced function.
//
// Errors: UBPF_NOT_FOUND.
//
// # Safety
// `name` points to `length` writable bytes; `distance` and `error` are NULL or writable.
int ubpf_symbol_name(uint64_t address,
                     char *name,
                     size_t length,
                     uint64_t *distance,
                     ubpf_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* UBPF_RS_H */
