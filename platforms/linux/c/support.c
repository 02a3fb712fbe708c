/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Rust cannot say: weak references to the bounds of the compiler's record sections (which may be absent),
 * and the functions that -finstrument-functions calls.
 */

#include <stdio.h>

#define WEAK_BOUND __attribute__((weak, visibility("hidden")))

extern const unsigned long __start___patchable_function_entries[] WEAK_BOUND;
extern const unsigned long __stop___patchable_function_entries[] WEAK_BOUND;
extern const unsigned long __start___mcount_loc[] WEAK_BOUND;
extern const unsigned long __stop___mcount_loc[] WEAK_BOUND;
extern const unsigned long __start_ubpf_programs[] WEAK_BOUND;
extern const unsigned long __stop_ubpf_programs[] WEAK_BOUND;

struct ubpf_linux_records {
	const unsigned long *patchable;
	const unsigned long *patchable_end;
	const unsigned long *mcount;
	const unsigned long *mcount_end;
	const unsigned long *programs;
	const unsigned long *programs_end;
};

void ubpf_linux_records(struct ubpf_linux_records *bounds)
{
	bounds->patchable = __start___patchable_function_entries;
	bounds->patchable_end = __stop___patchable_function_entries;
	bounds->mcount = __start___mcount_loc;
	bounds->mcount_end = __stop___mcount_loc;
	bounds->programs = __start_ubpf_programs;
	bounds->programs_end = __stop_ubpf_programs;
}

/* How far from the thread pointer a variable of this thread is. */
static long from_thread_pointer(const unsigned long *own)
{
	const char *thread;

	__asm__("mov %%fs:0, %0" : "=r"(thread));
	return (const char *)own - thread;
}

/*
 * Where a thread keeps the address of its own counters, at the same distance from the thread pointer in every thread, also
 * in a library that was loaded late.
 */
static __thread unsigned long own_counters __attribute__((tls_model("initial-exec")));

unsigned long *ubpf_linux_own_counters(void)
{
	return &own_counters;
}

long ubpf_linux_own_counters_offset(void)
{
	return from_thread_pointer(&own_counters);
}

/* The number of the thread, so that the kernel is asked once; 0 until it was asked. */
static __thread unsigned long own_thread __attribute__((tls_model("initial-exec")));

unsigned long *ubpf_linux_own_thread(void)
{
	return &own_thread;
}

long ubpf_linux_own_thread_offset(void)
{
	return from_thread_pointer(&own_thread);
}

/* What a thread is that does the engine's own work, and its counters meanwhile: see threads.rs. */
static __thread struct {
	unsigned long own;
	unsigned long counters;
} own_path __attribute__((tls_model("initial-exec")));

unsigned long *ubpf_linux_own_path(void)
{
	return &own_path.own;
}

long ubpf_linux_own_path_offset(void)
{
	return from_thread_pointer(&own_path.own);
}

void ubpf_instrument_entry(void *function, void *call_site);

void __cyg_profile_func_enter(void *function, void *call_site)
{
	ubpf_instrument_entry(function, call_site);
}

void __cyg_profile_func_exit(void *function, void *call_site)
{
	(void)function;
	(void)call_site;
}

void ubpf_linux_flush(void)
{
	fflush(stdout);
}
