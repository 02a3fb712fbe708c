/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls of several threads at once: each gets its own answers, and in the end nothing is left over. */
#include "platform.h"
#include <pthread.h>

#define THREADS 4
#define ROUNDS 200

static void nothing(void *context, const ubpf_probe_info *info)
{
	(void)context;
	(void)info;
}

static void *work(void *argument)
{
	unsigned long number = (unsigned long)(uintptr_t)argument;
	char name[16];
	int i;

	snprintf(name, sizeof(name), "count%lu", number);
	for (i = 0; i < ROUNDS; i++) {
		ubpf_program program = 0, counter = 0;
		ubpf_probe probe = 0;
		ubpf_error error;
		ubpf_run run;
		uint64_t value = 0;

		SIZED(run);
		CHECK(ubpf_load(name, answer, sizeof(answer), NULL, &program, &error) == UBPF_OK);
		CHECK(ubpf_load(name, count, sizeof(count), NULL, &counter, &error) == UBPF_OK);
		CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42);
		CHECK(ubpf_map_put(number, 1, (uint64_t)i, &error) == UBPF_OK);
		CHECK(ubpf_map_get(number, 1, &value, &error) == UBPF_OK && value == (uint64_t)i);
		CHECK(ubpf_attach("traced", counter, NULL, &probe, &error) == UBPF_OK);
		CHECK(ubpf_list(NULL, nothing, NULL, &error) == UBPF_OK);
		CHECK(ubpf_detach(probe, &error) == UBPF_OK);
		CHECK(ubpf_detach(probe, &error) == UBPF_STALE);
		CHECK(ubpf_unload(program, &error) == UBPF_OK && ubpf_unload(counter, &error) == UBPF_OK);
		CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_STALE);
	}
	return NULL;
}

static void last(void *context, const ubpf_probe_info *info)
{
	*(ubpf_probe_info *)context = *info;
}

/* A program at returns: what its limits may say, and how it is listed. */
static void at_return(void)
{
	ubpf_program counter = 0;
	ubpf_probe_info info;
	ubpf_limits limits;
	ubpf_probe probe = 0;
	ubpf_error error;

	memset(&limits, 0, sizeof(limits));
	limits.size = sizeof(limits);
	CHECK(ubpf_load("count", count, sizeof(count), NULL, &counter, &error) == UBPF_OK);
	limits.flags = 8;
	CHECK(ubpf_attach("traced", counter, &limits, &probe, &error) == UBPF_INVALID && !probe);
	limits.flags = UBPF_ATTACH_RETURN;
	limits.arguments = 1;
	CHECK(ubpf_attach("traced", counter, &limits, &probe, &error) == UBPF_INVALID && !probe);
	limits.flags |= UBPF_ATTACH_ARGUMENTS;
	limits.arguments = 7;
	CHECK(ubpf_attach("traced", counter, &limits, &probe, &error) == UBPF_INVALID && !probe);
	limits.arguments = 6;
	CHECK(ubpf_attach("traced", counter, &limits, &probe, &error) == UBPF_OK);
	CHECK(traced(1) == traced(1));
	CHECK(ubpf_list("traced", last, &info, &error) == UBPF_OK);
	CHECK(info.size == sizeof(info) && info.probe == probe && info.at_return == 1);
	CHECK(info.hits == 2 && info.runs == 2 && info.outstanding == 0 && info.abandoned == 0);
	CHECK(ubpf_detach(probe, &error) == UBPF_OK && ubpf_unload(counter, &error) == UBPF_OK);
}

int main(void)
{
	pthread_t threads[THREADS];
	ubpf_status status;
	size_t i;

	SIZED(status);
	CHECK(ubpf_start(test_platform(), NULL, NULL) == UBPF_OK);
	describe_image();
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) == 0);
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(ubpf_get_status(&status, NULL) == UBPF_OK);
	CHECK(status.programs == 0 && status.probes == 0 && status.map_entries == THREADS);
	at_return();
	return 0;
}
