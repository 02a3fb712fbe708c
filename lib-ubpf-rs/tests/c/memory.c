/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heap of every size: a call that finds no memory says so and changes nothing, and all that was taken is given back.
 */
#include "platform.h"

/* Steps of the heap's size in bytes. */
#define STEP 40

static void nothing(void *context, const ubpf_probe_info *info)
{
	(void)context;
	(void)info;
}

/* One round of calls; UBPF_OK or the first failure. Everything is taken back. */
static int round_of_calls(void)
{
	ubpf_program program = 0;
	ubpf_probe probe = 0;
	ubpf_run run;
	int code = ubpf_load("count", count, sizeof(count), NULL, &program, NULL);

	if (code == UBPF_OK)
		code = ubpf_attach("traced", program, NULL, &probe, NULL);
	if (code == UBPF_OK)
		code = ubpf_list(NULL, nothing, NULL, NULL);
	SIZED(run);
	CHECK(traced(1) == 2);
	if (program != 0 && code == UBPF_OK) {
		char memory[8] = {0};

		code = ubpf_exec(program, memory, sizeof(memory), 0, &run, NULL);
	}
	if (probe != 0) {
		size_t limit = heap_limit;
		int detached = ubpf_detach(probe, NULL);

		CHECK(detached == UBPF_OK || detached == UBPF_NO_MEMORY);
		heap_limit = (size_t)-1;
		if (detached != UBPF_OK)
			CHECK(ubpf_detach(probe, NULL) == UBPF_OK);
		heap_limit = limit;
	}
	if (program != 0)
		CHECK(ubpf_unload(program, NULL) == UBPF_OK);
	CHECK(traced(1) == 2);
	return code;
}

int main(void)
{
	size_t room, before, failures = 0;
	ubpf_status status;
	int code;

	SIZED(status);
	for (room = 0;; room += 997) {
		heap_limit = room;
		code = ubpf_start(test_platform(), NULL, NULL);
		if (code == UBPF_OK)
			break;
		CHECK(code == UBPF_NO_MEMORY && heap_used() == 0);
		failures++;
	}
	CHECK(failures > 20);
	heap_limit = (size_t)-1;
	describe_image();
	/* What is made once and kept: lists that have grown, the state of the site. */
	CHECK(round_of_calls() == UBPF_OK);
	before = heap_used();
	failures = 0;
	for (room = 0;; room += STEP) {
		heap_limit = before + room;
		code = round_of_calls();
		CHECK(heap_used() == before);
		if (code == UBPF_OK)
			break;
		CHECK(code == UBPF_NO_MEMORY);
		failures++;
	}
	heap_limit = (size_t)-1;
	CHECK(failures > 20);
	CHECK(ubpf_get_status(&status, NULL) == UBPF_OK && status.programs == 0 && status.probes == 0);
	return 0;
}
