/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine needs from below, for applications that bring their own platform: a table of functions for
 * ubpf_start(), and three functions that the stand-alone archive is linked with.
 *
 * Read by bindgen: lib-ubpf-rs/src/ffi/bindings.rs is made from this file by `cargo xtask headers`.
 *
 * "Hook path": may be called from a traced function, also in an interrupt and on several CPUs at once. Such a function must
 * not block, not allocate, and not take a lock that a thread can hold. The others are called by whoever calls the engine.
 *
 * The console, files, `give_way` and `cancelled` may call the engine themselves (a change that waits for itself gives UBPF_BUSY); no
 * other function may.
 */
#ifndef UBPF_PLATFORM_H
#define UBPF_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A block of memory for generated code. */
typedef struct ubpf_exec_block {
	uintptr_t write; /* where to write while the block is open */
	uintptr_t exec;  /* where the code will run; may equal write */
	size_t length;   /* bytes */
} ubpf_exec_block;

/* Called for each entry of a directory; the name need not end with a NUL. */
typedef void (*ubpf_each_entry)(void *cookie, const char *name, size_t length, uint64_t size, int is_directory);

/*
 * The table. It is copied by ubpf_start(), and its functions may be called for as long as the image runs. Every function gets
 * `context` first. A function that returns int gives 0, or an errno value where it says so.
 */
typedef struct ubpf_platform {
	size_t size;      /* sizeof(ubpf_platform), as the application knows it */
	const char *name; /* for `status`, for instance "myos 1.0"; copied */
	void *context;

	/* Monotonic time in nanoseconds. Required. Hook path. */
	uint64_t (*now_ns)(void *context);
	/*
	 * Copies memory that may not be mapped; returns how many leading bytes were readable. Must refuse device memory.
	 * Required. Hook path.
	 */
	size_t (*probe_read)(void *context, uint64_t address, void *into, size_t length);
	/* Writes all bytes to the console. Required. */
	void (*console_write)(void *context, const char *bytes, size_t length);
	/* Number of the CPU this runs on, from 0. NULL: there is one. Hook path. */
	uint32_t (*cpu)(void *context);
	/* Whether this runs in an interrupt handler. NULL: never. Hook path. */
	int (*in_interrupt)(void *context);

	/*
	 * Replaces `length` bytes (1 to 8) of the text after comparing them with the old ones, so that every CPU executes the old
	 * or the new instruction and never a mixture. 0, EILSEQ when other bytes were there, or another errno value. NULL:
	 * functions with entry stubs cannot be traced.
	 */
	int (*text_replace)(void *context, uintptr_t address, const void *old_bytes, const void *new_bytes, size_t length);

	/* Memory for generated code, all four or none: a writable block within 2 GiB of the text (0 or an errno value), */
	int (*exec_alloc)(void *context, size_t length, ubpf_exec_block *block);
	/* made executable and no longer writable (0 or an errno value), */
	int (*exec_seal)(void *context, const ubpf_exec_block *block);
	/* given back, */
	void (*exec_free)(void *context, const ubpf_exec_block *block);
	/* and whether a sealed block is really not writable. */
	int (*exec_enforced)(void *context);

	/* Files, each NULL where the platform has none. Size in bytes, or a negative errno value, */
	int64_t (*file_size)(void *context, const char *path);
	/* up to `length` leading bytes: how many, or a negative errno value, */
	int64_t (*file_read)(void *context, const char *path, void *into, size_t length);
	/* created or replaced, or the old one left untouched: 0 or an errno value, */
	int (*file_write)(void *context, const char *path, const void *from, size_t length);
	/* removed: 0 or an errno value, */
	int (*file_remove)(void *context, const char *path);
	/* and the entries of a directory ("" is the default one): 0 or an errno value. */
	int (*directory_list)(void *context, const char *path, ubpf_each_entry each, void *cookie);

	/*
	 * Called again and again by calls that take long (loading, running, listing ...), on the thread that made the call, with no
	 * lock held and never on the hook path: lets other threads run, where they are cooperative, and returns. Other threads may
	 * call the engine meanwhile. NULL: threads are preempted, and nobody waits.
	 */
	void (*give_way)(void *context);
	/*
	 * Asked after it: whether the call that runs on this thread is to end. It then gives UBPF_CANCELLED, unless it is past the
	 * point where it could leave everything as it was. NULL: never.
	 */
	int (*cancelled)(void *context);
	/*
	 * Whether probe_read may end in a fault while a traced function runs on the stack that holds this address: not on one that
	 * the next fault begins anew, as the handler of a fault has it. Where it may not, programs read no application memory. NULL:
	 * always. Hook path.
	 */
	int (*may_fault)(void *context, uint64_t stack);
} ubpf_platform;

/*
 * The stand-alone archives (libubpf_rs.a, libushell_rs.a) call these; the application defines them. The archive of a
 * platform, such as a Unikraft image's, has its own.
 */

/* Memory of `length` bytes at a multiple of `align` (a power of two), or NULL. From any thread. */
void *ubpf_platform_alloc(size_t align, size_t length);
/* Gives memory back. From any thread. */
void ubpf_platform_free(void *block);
/* A fault of the library itself, in words. Must not return. */
void ubpf_platform_panic(const char *text, size_t length);

/*
 * For an application compiled with -finstrument-functions: its `__cyg_profile_func_enter` calls this with its own arguments. The
 * archive of a platform has that function already.
 */
void ubpf_instrument_entry(void *function, void *call_site);

#ifdef __cplusplus
}
#endif

#endif /* UBPF_PLATFORM_H */
