// The shell of ushell-rs: sessions over bytes, and commands of the application.
// Made by `cargo xtask headers` from lib-ushell-rs/src/ffi.

#ifndef USHELL_RS_H
#define USHELL_RS_H

#include <stddef.h>
#include <stdint.h>

// The call did what it says.
#define USHELL_OK 0

// The engine was not started: call ubpf_start first.
#define USHELL_NOT_STARTED -3

// The handle names no session: it was closed, or never given.
#define USHELL_STALE -9

// There is no memory; nothing was changed.
#define USHELL_NO_MEMORY -12

// Another call works on this session at this moment.
#define USHELL_BUSY -16

// There is a command of this name already.
#define USHELL_EXISTS -17

// A pointer is NULL, a length or a text is not what it must be, or the name of a command has characters other than
// letters, digits, `_` and `-`.
#define USHELL_INVALID -22

// A struct has fields that this version of the library does not know, and they are not zero.
#define USHELL_UNSUPPORTED -95

// Where a command writes; valid during its call only.
typedef struct ushell_output ushell_output;

// Raises a signal in the application; returns 0 or an errno value.
typedef int (*ushell_raise_fn)(int signal);

// Limits of a session; but for `size`, all zeros for the defaults.
typedef struct {
  // sizeof of this struct, as the caller knows it.
  size_t size;
  // Bytes of output kept for a slow reader; 0: 16384. At least 8192 are kept.
  size_t output_bytes;
  // Largest file that `put` takes, in bytes; 0: 1048576.
  size_t file_limit;
  // Lines that the history keeps; 0: 64.
  size_t history_lines;
  // What `kill` calls; NULL: the application has no signals.
  ushell_raise_fn raise;
} ushell_config;

// Names a session; 0 names none. A number that is never given twice.
typedef uint64_t ushell_session;

// What runs when a command is called: on the shell's thread, with the words of the line. `argv[0]` is the command's
// name and `argv[argc]` is NULL. Returns 0 when it did well; anything else is shown as a failure.
typedef int (*ushell_command_fn)(void *context,
                                 int argc,
                                 const char *const *argv,
                                 ushell_output *out);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library, for instance "0.1.0". The text stays.
//
// Threads: any, at any time.
const char *ushell_version(void);

// A code in words, for instance "no such session". The text stays.
//
// Threads: any, at any time.
const char *ushell_error_text(int code);

// Opens a session of the shell over the engine of the image. `config` may be NULL for the defaults. The platform's
// loop then tells it when a reader comes and goes, feeds it what the reader sends, and sends what it drains.
//
// Threads: any, at any time.
//
// Errors: USHELL_NOT_STARTED; USHELL_INVALID `session` is NULL, or `size` is not that of a configuration; USHELL_UNSUPPORTED the
// configuration has more than this library knows of; USHELL_NO_MEMORY.
//
// # Safety
// `config` is NULL or readable, and its `raise` may be called from the thread that feeds; `session` is NULL or writable.
int ushell_open(const ushell_config *config,
                ushell_session *session);

// Closes a session and forgets it. What commands of it have attached stays attached.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY.
int ushell_close(ushell_session session);

// A reader has come: the session starts afresh, in plain mode, with a prompt.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY.
int ushell_connected(ushell_session session);

// The reader has gone: a half-taken file, a half-typed line and unread output are dropped; the history stays.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY.
int ushell_disconnected(ushell_session session);

// Gives the session input; commands run within this call. Returns how many of the bytes it took, or a negative code: the
// rest is to be offered again after output was drained, so that a reader who is slow holds the writer up. Input
// without a reader begins a new conversation.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY; USHELL_INVALID `bytes` is NULL.
//
// # Safety
// `bytes` points to `length` readable bytes.
ptrdiff_t ushell_feed(ushell_session session,
                      const void *bytes,
                      size_t length);

// Takes output for the reader; commands with much output go on writing within this call. Returns how many bytes it wrote to
// `into`, 0 when there is nothing to send, or a negative code. `trace` waits for what programs write: while it runs, 0 is no end, and the
// call is to be made again now and then.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY; USHELL_INVALID `into` is NULL.
//
// # Safety
// `into` points to `length` writable bytes.
ptrdiff_t ushell_drain(ushell_session session,
                       void *into,
                       size_t length);

// Whether the reader asked to end (`quit`) and has all output: 1 or 0, or a negative code. The platform then closes the
// connection; where it cannot, the next input begins a new conversation.
//
// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
//
// Errors: USHELL_STALE; USHELL_BUSY.
int ushell_wants_close(ushell_session session);

// Registers a command of the application with every shell of the image; from any thread, at any time.
//
// `args` says what it takes and is checked before each call: `LEVEL [FILE...] on|off` for a required
// argument, any number of optional ones, and a choice; NULL for anything. The first line of `help` is the summary in
// the list of commands. `name` has at most 64 bytes (letters, digits, `_` and `-`), `args` 512 and `help` 8192. The texts are copied. Returns USHELL_OK, or why not.
//
// Threads: any, at any time, also a command.
//
// Errors: USHELL_EXISTS; USHELL_INVALID; USHELL_NO_MEMORY.
//
// # Safety
// `name`, `args` and `help` are NULL or NUL-terminated strings. `handler` may be called with `context` from the
// shell's thread for as long as the image runs.
int ushell_register_command(const char *name,
                            const char *args,
                            const char *help,
                            ushell_command_fn handler,
                            void *context);

// Writes `length` bytes of text from within a command. What goes beyond the shell's buffer is dropped, and the reader
// is told.
//
// Threads: the one that called the command.
//
// # Safety
// `out` is what the command was called with, and the call has not ended; `text` points to `length` readable bytes.
void ushell_write(ushell_output *out,
                  const char *text,
                  size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* USHELL_RS_H */
