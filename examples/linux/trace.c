/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces a program whose source stays as it is. Compiled without entry stubs and linked into it, this file starts the engine before main,
 * as the environment says:
 *
 *   UBPF_SHELL     folder of the shell's socket, which is named after the process's number; without it nothing is done
 *   UBPF_ATTACH    flat program that is attached to every function with an entry stub,
 *   UBPF_ONLY      or only to those in this file, one name a line
 *   UBPF_EXCHANGE  flat program: a thread puts it in the place of the other at one function after the other, then back, for ever
 *   UBPF_SAY       say on standard error what was attached, and how long that took
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ubpf_linux.h>
#include <ubpf_rs.h>
#include <unistd.h>

#define NAME 128
#define MOST 65536

extern const unsigned long __start___patchable_function_entries[], __stop___patchable_function_entries[];

static char (*names)[NAME];
static size_t count;
static ubpf_program programs[2];

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "trace: %s: %s\n", what, why);
	_exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static ubpf_program load(const char *name, const char *path)
{
	static char text[65536];
	ubpf_program program;
	ubpf_error error;
	FILE *file = fopen(path, "r");
	size_t size;

	if (!file)
		fail(path, "cannot be read");
	size = fread(text, 1, sizeof text, file);
	if (size == sizeof text)
		fail(path, "too large for this example");
	if (ubpf_load(name, text, size, NULL, &program, &error))
		fail(path, error.text);
	fclose(file);
	return program;
}

/* By address, since several functions may have one name. */
static void all_functions(void)
{
	const unsigned long *at = __start___patchable_function_entries;

	for (; at < __stop___patchable_function_entries && count < MOST; at++)
		snprintf(names[count++], NAME, "%#lx", *at);
}

static void functions_in(const char *path)
{
	FILE *file = fopen(path, "r");

	if (!file)
		fail(path, "cannot be read");
	while (count < MOST && fscanf(file, "%127s", names[count]) == 1)
		count++;
	fclose(file);
}

static void *exchange(void *unused)
{
	ubpf_probe probe;

	for (unsigned long i = 0;; i++) {
		const char *name = names[i * 7919 % count];

		ubpf_detach_function(name, NULL, NULL, NULL);
		ubpf_attach(name, programs[i / count % 2 ? 0 : 1], NULL, &probe, NULL);
		usleep(300);
	}
	return unused;
}

__attribute__((constructor)) static void trace(void)
{
	const char *folder = getenv("UBPF_SHELL"), *first = getenv("UBPF_ATTACH");
	const char *only = getenv("UBPF_ONLY"), *second = getenv("UBPF_EXCHANGE");
	double wall, cpu;
	size_t attached = 0;
	ubpf_probe probe;
	pthread_t thread;
	char path[108];

	if (!folder)
		return;
	if (snprintf(path, sizeof path, "%s/%d", folder, getpid()) >= (int)sizeof path)
		fail("UBPF_SHELL", "the path of a socket has at most 107 bytes");
	wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	if (ubpf_linux_start(path))
		_exit(1);
	if (getenv("UBPF_SAY"))
		fprintf(stderr, "trace: started in %.1f ms (CPU %.1f)\n", now(CLOCK_MONOTONIC) - wall,
			now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	if (!first)
		return;
	names = malloc(MOST * sizeof *names);
	if (!names)
		fail("names", "out of memory");
	programs[0] = load("first", first);
	if (only)
		functions_in(only);
	else
		all_functions();
	wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < count; i++)
		attached += ubpf_attach(names[i], programs[0], NULL, &probe, NULL) == UBPF_OK;
	if (getenv("UBPF_SAY"))
		fprintf(stderr, "trace: %zu of %zu functions attached in %.1f ms (CPU %.1f)\n", attached, count,
			now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	if (second && count) {
		programs[1] = load("second", second);
		pthread_create(&thread, NULL, exchange, NULL);
	}
}
