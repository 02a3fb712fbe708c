/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine is stopped and started again: what it had is given back, handles from before are stale, and threads that go on are safe. */
#include "platform.h"
#include <pthread.h>
#include <sched.h>

static ubpf_error error;
static int stopped_within = 1;

static uint64_t stops(void *context, uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
	*(int *)context = ubpf_stop(NULL);
	return r1 + r2 + r3 + r4 + r5;
}

static void seen(void *context, const ubpf_probe_info *info)
{
	(void)info;
	*(int *)context = ubpf_stop(NULL);
}

/* Every call says that there is no engine. */
static void nothing_runs(ubpf_program program, ubpf_probe probe)
{
	ubpf_status status;
	uint64_t value;

	SIZED(status);
	CHECK(ubpf_stop(&error) == UBPF_NOT_STARTED && strstr(error.text, "ubpf_start") != NULL);
	CHECK(ubpf_exec(program, NULL, 0, 0, NULL, &error) == UBPF_NOT_STARTED);
	CHECK(ubpf_detach(probe, &error) == UBPF_NOT_STARTED && ubpf_get_status(&status, &error) == UBPF_NOT_STARTED);
	CHECK(ubpf_map_get(1, 2, &value, &error) == UBPF_NOT_STARTED && ubpf_reset(&error) == UBPF_NOT_STARTED);
	ubpf_poll();
	ubpf_drain();
	CHECK(traced(1) == 2);
}

/* The function and its stub, which an earlier life may have made one instruction. */
static void describe(void)
{
	uint64_t record = (uint64_t)(uintptr_t)traced;
	size_t known = 0;
	char symbols[64];

	snprintf(symbols, sizeof(symbols), "%llx T traced\n", (unsigned long long)record);
	CHECK(ubpf_add_symbols(symbols, strlen(symbols), NULL, &error) == UBPF_OK);
	record += traced_offset();
	CHECK(ubpf_add_sites(UBPF_SITES_PATCHABLE, &record, 1, &known, &error) == UBPF_OK && known == 1);
}

/* One life of the engine, which ends with everything in use. */
static void life(ubpf_program *program, ubpf_probe *probe)
{
	/* r1 = 1; r2 = 1; r3 = 1; r4 = 1; r5 = 1; call 600; exit */
	static const unsigned char calls[] = {0xb7, 1, 0, 0, 1, 0, 0, 0, 0xb7, 2, 0, 0, 1, 0, 0, 0, 0xb7, 3, 0, 0, 1, 0, 0, 0, 0xb7, 4, 0, 0,
					      1, 0, 0, 0, 0xb7, 5, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0x58, 2, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};
	ubpf_program old_program = *program, other = 0;
	ubpf_probe old_probe = *probe;
	ubpf_status status;
	ubpf_run run;
	uint64_t value;
	char name[32];
	int i;

	SIZED(run);
	SIZED(status);
	CHECK(ubpf_start(test_platform_with_code(), NULL, &error) == UBPF_OK);
	describe();
	/* Nothing of the life before is there. */
	CHECK(ubpf_get_status(&status, &error) == UBPF_OK && status.programs == 0 && status.probes == 0 && status.map_entries == 0);
	CHECK(ubpf_load("calls", calls, sizeof(calls), NULL, &other, &error) == UBPF_REFUSED);
	CHECK(ubpf_map_get(1, 2, &value, &error) == UBPF_NOT_FOUND);
	for (i = 0; i < 40; i++) {
		ubpf_helper helper;

		SIZED(helper);
		snprintf(name, sizeof(name), "helper%d", i);
		helper.name = name;
		helper.number = (uint32_t)(600 + i);
		helper.args[0] = UBPF_ARG_NUMBER;
		helper.function_with_context = stops;
		helper.context = &stopped_within;
		CHECK(ubpf_register_helper(&helper, &error) == UBPF_OK);
	}
	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "count%d", i);
		CHECK(ubpf_load(name, count, sizeof(count), NULL, program, &error) == UBPF_OK && *program != old_program);
		CHECK(ubpf_attach("traced", *program, NULL, probe, &error) == UBPF_OK && *probe != old_probe);
	}
	if (old_program != 0) {
		CHECK(ubpf_exec(old_program, NULL, 0, 0, NULL, &error) == UBPF_STALE);
		CHECK(ubpf_detach(old_probe, &error) == UBPF_STALE);
	}
	CHECK(ubpf_map_put(1, 2, 3, &error) == UBPF_OK && traced(1) == 2);
	/* Whoever is in a call, or in a hook, cannot stop it. */
	CHECK(ubpf_list("traced", seen, &stopped_within, &error) == UBPF_OK && stopped_within == UBPF_BUSY);
	CHECK(ubpf_load("calls", calls, sizeof(calls), NULL, &other, &error) == UBPF_OK);
	CHECK(ubpf_exec(other, NULL, 0, 0, &run, &error) == UBPF_OK && stopped_within == UBPF_BUSY && run.value == 5);
	CHECK(ubpf_attach("traced", other, NULL, NULL, &error) == UBPF_OK && traced(1) == 2 && stopped_within == UBPF_DENIED);
	CHECK(ubpf_stop(&error) == UBPF_OK);
}

/* Threads that know nothing of it. */

static volatile int ends;
static const ubpf_platform *plain;
static pthread_mutex_t text = PTHREAD_MUTEX_INITIALIZER;

/* The test's platform changes text as bytes, which nobody may execute meanwhile. */
static int locked_text_replace(void *context, uintptr_t address, const void *old_bytes, const void *new_bytes, size_t length)
{
	int code;

	pthread_mutex_lock(&text);
	code = plain->text_replace(context, address, old_bytes, new_bytes, length);
	pthread_mutex_unlock(&text);
	return code;
}

static void *calls_the_function(void *argument)
{
	while (!ends) {
		pthread_mutex_lock(&text);
		CHECK(traced(1) == 2);
		pthread_mutex_unlock(&text);
		sched_yield();
	}
	return argument;
}

static void *calls_the_engine(void *argument)
{
	uint64_t number = (uint64_t)(uintptr_t)argument, value;

	while (!ends) {
		ubpf_program program = 0;
		int code = ubpf_map_put(number, 1, 7, NULL);

		CHECK(code == UBPF_OK || code == UBPF_NOT_STARTED);
		code = ubpf_map_get(number, 1, &value, NULL);
		CHECK((code == UBPF_OK && value == 7) || code == UBPF_NOT_FOUND || code == UBPF_NOT_STARTED);
		if (ubpf_load("answer", answer, sizeof(answer), NULL, &program, NULL) == UBPF_OK) {
			ubpf_run run;

			SIZED(run);
			code = ubpf_exec(program, NULL, 0, 0, &run, NULL);
			CHECK((code == UBPF_OK && run.value == 42) || code == UBPF_NOT_STARTED || code == UBPF_STALE);
		}
		sched_yield();
	}
	return argument;
}

static void beside_threads(void)
{
	pthread_t threads[3];
	ubpf_platform platform;
	uintptr_t i, round;

	plain = test_platform_with_code();
	platform = *plain;
	platform.text_replace = locked_text_replace;
	for (i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, i == 0 ? calls_the_function : calls_the_engine, (void *)i) == 0);
	for (round = 0; round < 20; round++) {
		ubpf_program program = 0;
		int code;

		CHECK(ubpf_start(&platform, NULL, &error) == UBPF_OK);
		describe();
		CHECK(ubpf_load("count", count, sizeof(count), NULL, &program, &error) == UBPF_OK);
		CHECK(ubpf_attach("traced", program, NULL, NULL, &error) == UBPF_OK);
		while ((code = ubpf_stop(&error)) == UBPF_BUSY)
			sched_yield();
		CHECK(code == UBPF_OK);
	}
	ends = 1;
	for (i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void)
{
	ubpf_program program = 0;
	ubpf_probe probe = 0;
	size_t round, heap = 0, code = 0;
	unsigned char before[16];

	nothing_runs(0, 0);
	CHECK(heap_used() == 0 && code_in_use == 0);
	for (round = 0; round < 20; round++) {
		life(&program, &probe);
		nothing_runs(program, probe);
		if (round == 0) {
			/* What threads may stand in: little, and it does not grow. */
			heap = heap_used();
			code = code_in_use;
			memcpy(before, (const void *)(uintptr_t)traced, sizeof(before));
			CHECK(heap < 4096 && code <= 8192);
		}
		CHECK(heap_used() == heap && code_in_use == code);
		CHECK(memcmp(before, (const void *)(uintptr_t)traced, sizeof(before)) == 0);
	}
	beside_threads();
	CHECK(heap_used() == heap && code_in_use == code);
	nothing_runs(program, probe);
	return 0;
}
