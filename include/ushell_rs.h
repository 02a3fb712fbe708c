// Commands of the application for the shell of ushell-rs.
// Made by `cargo xtask headers` from lib-ushell-rs/src/ffi.rs.

#ifndef USHELL_RS_H
#define USHELL_RS_H

#include <stddef.h>
#include <stdint.h>

// The command is registered.
#define USHELL_OK 0

// There is no memory.
#define USHELL_NO_MEMORY -12

// There is a command of this name already.
#define USHELL_EXISTS -17

// A pointer is NULL, a text is not UTF-8, or the name has characters other than letters, digits, `_` and `-`.
#define USHELL_INVALID -22

// Where a command writes; valid during its call only.
typedef struct ushell_output ushell_output;

// What runs when a command is called: on the shell's thread, with the words of the line. `argv[0]` is the command's
// name and `argv[argc]` is NULL. Returns 0 when it did well; anything else is shown as a failure.
typedef int (*ushell_command_fn)(void *context,
                                 int argc,
                                 const char *const *argv,
                                 ushell_output *out);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Registers a command of the application with every shell of the image; from any thread, at any time.
//
// `args` says what it takes and is checked before each call: `LEVEL [FILE...] on|off` for a required
// argument, any number of optional ones, and a choice; NULL for anything. The first line of `help` is the summary in
// the list of commands. The texts are copied. Returns USHELL_OK, or why not.
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
// # Safety
// `out` is what the command was called with, and the call has not ended; `text` points to `length` readable bytes.
void ushell_write(ushell_output *out,
                  const char *text,
                  size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* USHELL_RS_H */
