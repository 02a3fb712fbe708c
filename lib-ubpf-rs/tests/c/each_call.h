/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of the C interface, each made again and again with one allocation more before memory ends: for a moment, and for good. It does
 * what it says or says that there is no memory; then everything is as it was, and the engine works.
 */
#ifndef TEST_EACH_CALL_H
#define TEST_EACH_CALL_H

#include "platform.h"

/* A call under test. */
struct row {
	const char *name;     /* of the function */
	void (*before)(void); /* what it needs, with all the memory there is; may be NULL */
	int (*call)(void);    /* the call alone: 0, or what it gave */
	void (*after)(int);   /* takes back what it did, knowing what it gave; may be NULL */
};

#define NO_MEMORY (-12)

/* Checks that the engine works. */
static void works(void)
{
	ubpf_program program = 0;
	ubpf_probe probe = 0;
	ubpf_run run;
	ubpf_error error;
	uint64_t value = 0;

	SIZED(run);
	if (ubpf_load("works", answer, sizeof(answer), NULL, &program, &error) == UBPF_NOT_STARTED)
		return;
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42);
	if (ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK) {
		CHECK(traced(1) == 2);
		CHECK(ubpf_detach(probe, &error) == UBPF_OK);
	} else {
		/* Sites or symbols are not told yet. */
		CHECK(error.code == UBPF_NOT_FOUND || error.code == UBPF_NO_STUB);
	}
	CHECK(ubpf_unload(program, &error) == UBPF_OK && traced(1) == 2);
	CHECK(ubpf_map_put(9, 9, 9, &error) == UBPF_OK && ubpf_map_get(9, 9, &value, &error) == UBPF_OK && value == 9);
	CHECK(ubpf_map_del(9, 9, &error) == UBPF_OK);
}

/* Plays one row; gives how many of its calls had an allocation fail. */
static size_t play(const struct row *row, int for_good)
{
	size_t allocations, failures = 0;
	int code, failed;

	for (allocations = 0;; allocations++) {
		size_t used;

		if (row->before)
			row->before();
		used = heap_used();
		heap_fails_for_good = for_good;
		heap_fails_after = allocations;
		code = row->call();
		failed = heap_fails_after == HEAP_FAILED;
		heap_fails_after = (size_t)-1;
		if (code != 0 && !(failed && code == NO_MEMORY)) {
			fprintf(stderr, "%s gave %d when allocation %lu failed\n", row->name, code, (unsigned long)allocations);
			exit(1);
		}
		if (code == NO_MEMORY && heap_used() > used) {
			fprintf(stderr, "%s keeps %ld bytes when allocation %lu failed\n", row->name, (long)(heap_used() - used),
				(unsigned long)allocations);
			exit(1);
		}
		if (row->after)
			row->after(code);
		works();
		if (!failed)
			break;
		failures++;
	}
	return failures;
}

static void play_all(const struct row *rows, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		size_t once = play(&rows[i], 0), for_good = play(&rows[i], 1);

		/* Read by the test that compares the names with those of the header. */
		printf("%s %lu %lu\n", rows[i].name, (unsigned long)once, (unsigned long)for_good);
		fflush(stdout);
	}
}

#endif
