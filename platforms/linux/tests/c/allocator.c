/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The allocator of the whole process, the engine's own threads included, as functions that can be traced. When a line is read, two threads
 * allocate and free `number` times each, in every way; then it says how often the application has called each function since the line before.
 */
#include "lines.h"
#include <stdatomic.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

/* Calls of threads that the application has made; all others are the engine's. */
static __thread int application;
static atomic_ulong calls[4], engine_calls;

static void called(int function)
{
	atomic_fetch_add(application ? &calls[function] : &engine_calls, 1);
}

__attribute__((noipa)) void *malloc(size_t size)
{
	called(0);
	return __libc_malloc(size);
}

__attribute__((noipa)) void *calloc(size_t count, size_t size)
{
	called(1);
	return __libc_calloc(count, size);
}

__attribute__((noipa)) void *realloc(void *block, size_t size)
{
	called(2);
	return __libc_realloc(block, size);
}

__attribute__((noipa)) void free(void *block)
{
	called(3);
	__libc_free(block);
}

static void *work(void *number)
{
	application = 1;
	for (long left = (long)number; left > 0; left--) {
		void *volatile block = malloc((size_t)left % 100);

		block = realloc(block, 200);
		free(block);
		block = calloc(3, 5);
		free(block);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	application = 1;
	while (is_asked(line)) {
		void *number = (void *)atol(line);

		in_two_threads(work, number, work, number);
		printf("%lu %lu %lu %lu %lu\n", calls[0], calls[1], calls[2], calls[3], engine_calls);
		for (int i = 0; i < 4; i++)
			atomic_store(&calls[i], 0);
		atomic_store(&engine_calls, 0);
		say("done");
	}
	return 0;
}
