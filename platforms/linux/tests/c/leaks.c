/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocates when a line is read, in ways that are known: seven blocks of 40 bytes in one function that nobody frees, and others that are freed, moved, or
 * grow. `t` waits: two functions of two threads, three times 20 ms and once.
 */
#define _GNU_SOURCE
#include "lines.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *block);

__attribute__((noipa)) void *malloc(size_t size)
{
	return __libc_malloc(size);
}

__attribute__((noipa)) void *calloc(size_t count, size_t size)
{
	void *block = malloc(count * size);

	return block ? memset(block, 0, count * size) : NULL;
}

__attribute__((noipa)) void *realloc(void *block, size_t size)
{
	/* One that cannot be had: the old one stays. */
	return size == 2000000 ? NULL : __libc_realloc(block, size);
}

__attribute__((noipa)) int posix_memalign(void **to, size_t align, size_t size)
{
	*to = __libc_memalign(align, size);
	return *to ? 0 : 12;
}

__attribute__((noipa)) void free(void *block)
{
	__libc_free(block);
}

static void *volatile kept[64];
static int next;

static void keep(void *block)
{
	kept[next++ & 63] = block;
}

__attribute__((noipa)) void leaks_seven(void)
{
	for (int n = 0; n < 7; n++)
		keep(malloc(40));
	__asm__ volatile("");
}

__attribute__((noipa)) void leaks_nothing(void)
{
	for (int n = 0; n < 1000; n++) {
		void *volatile block = malloc(100);

		block = realloc(block, 300);
		free(block);
	}
	__asm__ volatile("");
}

__attribute__((noipa)) void leaks_others(void)
{
	void *block = NULL;

	keep(calloc(3, 100));
	block = realloc(malloc(10), 1234);
	keep(block);
	/* In vain: the block stays as it is. */
	keep(realloc(block, 2000000));
	if (posix_memalign(&block, 64, 555) == 0)
		keep(block);
	__asm__ volatile("");
}

__attribute__((noipa)) void waits(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
	__asm__ volatile("");
}

__attribute__((noipa)) void *waits_often(void *unused)
{
	pthread_setname_np(pthread_self(), "often");
	for (int n = 0; n < 3; n++)
		waits(20);
	return unused;
}

__attribute__((noipa)) void *waits_once(void *unused)
{
	pthread_setname_np(pthread_self(), "once");
	waits(20);
	return unused;
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		if (line[0] == 'l') {
			leaks_seven();
			leaks_nothing();
			leaks_others();
		}
		if (line[0] == 't')
			in_two_threads(waits_often, NULL, waits_once, NULL);
		say("done");
	}
	return 0;
}
