/* SPDX-License-Identifier: BSD-3-Clause */
/* Every call of ubpf_rs.h as an application uses it, and with what it must refuse. Compiled as C99 and as C++. */
#include "platform.h"

static uint64_t twice(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
	(void)r2;
	(void)r3;
	(void)r4;
	(void)r5;
	return r1 * 2;
}

/* Adds what it was registered with. */
static uint64_t add_own(void *context, uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
	return *(uint64_t *)context + r1 + r2 + r3 + r4 + r5;
}

static ubpf_probe meddler;
static int meddled[6];

/* Calls the engine while its program runs. */
static uint64_t meddle(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
	ubpf_program program = 0;
	ubpf_status status;

	(void)r2;
	(void)r3;
	(void)r4;
	(void)r5;
	SIZED(status);
	meddled[0] = ubpf_detach(meddler, NULL);
	meddled[1] = ubpf_load("answer", answer, sizeof(answer), NULL, &program, NULL);
	meddled[2] = ubpf_get_status(&status, NULL);
	meddled[3] = ubpf_reset(NULL);
	meddled[4] = ubpf_map_put(77, 77, r1, NULL);
	meddled[5]++;
	ubpf_poll();
	ubpf_drain();
	return 0;
}

static const char *attached = "count";

static void remember(void *context, const ubpf_probe_info *info)
{
	CHECK(strcmp(info->function, "traced") == 0 && strcmp(info->program, attached) == 0);
	CHECK(info->size == sizeof(*info));
	CHECK(strcmp(info->way, "interpreted") == 0);
	*(uint64_t *)context = info->runs;
}

static int first_name(void *context, const char *name)
{
	*(int *)context += strcmp(name, "traced") == 0;
	return 1;
}

static void before_the_start(void)
{
	ubpf_error error;
	ubpf_program program = 1;
	ubpf_platform nothing;

	SIZED(nothing);
	CHECK(ubpf_load("a", answer, sizeof(answer), NULL, &program, &error) == UBPF_NOT_STARTED && program == 0);
	CHECK(error.code == UBPF_NOT_STARTED && strstr(error.text, "ubpf_start") != NULL);
	CHECK(ubpf_start(NULL, NULL, &error) == UBPF_INVALID);
	CHECK(ubpf_start(&nothing, NULL, &error) == UBPF_INVALID);
	CHECK(ubpf_map_put(1, 2, 3, NULL) == UBPF_NOT_STARTED);
	ubpf_drain();
	ubpf_poll();
}

static void loads_and_runs(void)
{
	ubpf_error error;
	ubpf_program program = 0, other = 0;
	ubpf_run run;
	ubpf_load_options options;

	SIZED(run);
	CHECK(ubpf_load("answer", answer, sizeof(answer), NULL, &program, &error) == UBPF_OK && program != 0);
	CHECK(error.code == UBPF_OK && error.text[0] == 0);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42 && run.budget_left > 0);
	CHECK(ubpf_exec(program, NULL, 0, 1, &run, &error) == UBPF_STOPPED);
	CHECK(ubpf_load_file("answer.bin", NULL, &other, &error) == UBPF_OK && other != program);
	CHECK(ubpf_load_file("none.bin", NULL, &other, &error) == UBPF_NOT_FOUND && other == 0);
	CHECK(strstr(error.text, "none.bin") != NULL);
	CHECK(ubpf_load("odd", answer, 9, NULL, &other, &error) == UBPF_REFUSED && error.text[0] != 0);
	CHECK(ubpf_load("none", NULL, 0, NULL, &other, &error) == UBPF_REFUSED);
	CHECK(ubpf_load("null", NULL, 8, NULL, &other, &error) == UBPF_INVALID);
	CHECK(ubpf_load("huge", answer, (size_t)-1, NULL, &other, &error) == UBPF_INVALID);
	CHECK(ubpf_load(NULL, answer, sizeof(answer), NULL, &other, &error) == UBPF_INVALID);
	CHECK(ubpf_load("\xff", answer, sizeof(answer), NULL, &other, &error) == UBPF_INVALID);
	CHECK(ubpf_load("answer", answer, sizeof(answer), NULL, NULL, &error) == UBPF_INVALID);
	SIZED(options);
	options.policy = 99;
	CHECK(ubpf_verify("answer", answer, sizeof(answer), &options, &error) == UBPF_INVALID);
	options.policy = UBPF_POLICY_STRICT;
	CHECK(ubpf_verify("answer", answer, sizeof(answer), &options, &error) == UBPF_OK);
	CHECK(ubpf_verify("wild", wild, sizeof(wild), &options, &error) == UBPF_REFUSED);
	CHECK(ubpf_load("wild", wild, sizeof(wild), NULL, &other, &error) == UBPF_OK);
	CHECK(ubpf_exec(other, NULL, 0, 0, &run, &error) == UBPF_STOPPED && strstr(error.text, "out of bounds") != NULL);
	CHECK(strstr(console, "uBPF error: out of bounds memory load at PC 1") != NULL);
	CHECK(ubpf_exec(program, NULL, 8, 0, &run, &error) == UBPF_INVALID);

	CHECK(ubpf_unload(program, &error) == UBPF_OK);
	CHECK(ubpf_unload(program, &error) == UBPF_STALE && error.text[0] != 0);
	CHECK(ubpf_exec(program, NULL, 0, 0, NULL, NULL) == UBPF_STALE);
	CHECK(ubpf_load("again", answer, sizeof(answer), NULL, &other, &error) == UBPF_OK && other != program);
	CHECK(ubpf_exec(program, NULL, 0, 0, NULL, NULL) == UBPF_STALE);
	CHECK(ubpf_exec(0, NULL, 0, 0, NULL, NULL) == UBPF_STALE);
	CHECK(ubpf_exec((ubpf_program)-1, NULL, 0, 0, NULL, NULL) == UBPF_STALE);
}

static void attaches(void)
{
	ubpf_error error;
	ubpf_program program = 0, answers = 0;
	ubpf_probe probe = 0, other = 0;
	uint64_t address = 0, value = 0, runs = 0, distance = 9;
	size_t detached = 9;
	int names = 0, i;
	char name[4];
	unsigned char before[16];

	memcpy(before, (const void *)(uintptr_t)traced, sizeof(before));
	CHECK(ubpf_symbol_address("traced", &address, &error) == UBPF_OK && address == (uint64_t)(uintptr_t)traced);
	CHECK(ubpf_symbol_address("none", &address, &error) == UBPF_NOT_FOUND && address == 0);
	CHECK(ubpf_symbol_name((uint64_t)(uintptr_t)traced + 2, name, sizeof(name), &distance, &error) == UBPF_OK);
	CHECK(strcmp(name, "tra") == 0 && distance == 2);
	CHECK(ubpf_functions(first_name, &names, &error) == UBPF_OK && names == 1);
	CHECK(ubpf_functions(NULL, NULL, &error) == UBPF_INVALID);

	CHECK(ubpf_load("count", count, sizeof(count), NULL, &program, &error) == UBPF_OK);
	CHECK(ubpf_attach("none", program, NULL, &probe, &error) == UBPF_NOT_FOUND && probe == 0);
	CHECK(ubpf_attach(NULL, program, NULL, &probe, &error) == UBPF_INVALID);
	CHECK(ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK && probe != 0);
	CHECK(ubpf_attach("traced", program, NULL, &other, &error) == UBPF_EXISTS && other == 0);
	CHECK(ubpf_exec((ubpf_program)probe, NULL, 0, 0, NULL, NULL) == UBPF_STALE);
	CHECK(ubpf_detach((ubpf_probe)program, &error) == UBPF_STALE);
	for (i = 0; i < 5; i++)
		CHECK(traced(i) == i + 1);
	CHECK(ubpf_list("traced", remember, &runs, &error) == UBPF_OK && runs == 5);
	CHECK(ubpf_list(NULL, remember, &runs, &error) == UBPF_OK);
	CHECK(ubpf_list("none", remember, &runs, &error) == UBPF_NOT_FOUND);
	/* What takes its place has its handle and its counts, and counts no calls in the map. */
	attached = "answer";
	CHECK(ubpf_load("answer", answer, sizeof(answer), NULL, &answers, &error) == UBPF_OK);
	CHECK(ubpf_replace(probe, answers, &error) == UBPF_OK && traced(1) == 2 && traced(1) == 2);
	CHECK(ubpf_list("traced", remember, &runs, &error) == UBPF_OK && runs == 7);
	CHECK(ubpf_replace(probe, probe, &error) == UBPF_STALE && ubpf_replace(program, answers, &error) == UBPF_STALE);
	attached = "count";
	CHECK(ubpf_unload(answers, &error) == UBPF_OK && ubpf_replace(probe, answers, &error) == UBPF_STALE);
	CHECK(ubpf_detach(probe, &error) == UBPF_OK);
	CHECK(ubpf_detach(probe, &error) == UBPF_STALE && ubpf_replace(probe, program, &error) == UBPF_STALE);
	CHECK(ubpf_detach_function("traced", "count", &detached, &error) == UBPF_NOT_FOUND && detached == 0);
	CHECK(ubpf_detach_function("traced", NULL, &detached, &error) == UBPF_OK && detached == 0);
	CHECK(traced(1) == 2);
	/* A missing entry reads as all ones, so five runs leave 4. */
	CHECK(ubpf_map_get((uint64_t)(uintptr_t)traced + 5, 7, &value, &error) == UBPF_OK ||
	      ubpf_map_get((uint64_t)(uintptr_t)traced + 9, 7, &value, &error) == UBPF_OK);
	CHECK(value == 4);
	CHECK(memcmp(before, (const void *)(uintptr_t)traced, sizeof(before)) == 0);
}

/* One function, registered twice, with something of its own each time. */
static void helpers_with_context(void)
{
	static uint64_t own[2] = {100, 200};
	static const char *const names[2] = {"add_100", "add_200"};
	/* r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call 510 (and 511); exit */
	unsigned char calls[] = {0xb7, 1, 0, 0, 1, 0, 0, 0, 0xb7, 2, 0, 0, 2, 0, 0, 0, 0xb7, 3, 0, 0, 3, 0, 0, 0, 0xb7, 4, 0, 0, 4, 0, 0, 0,
				 0xb7, 5, 0, 0, 5, 0, 0, 0, 0x85, 0, 0, 0, 0xfe, 1, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};
	ubpf_error error;
	ubpf_helper helper;
	ubpf_run run;
	size_t i, j;

	SIZED(run);
	for (i = 0; i < 2; i++) {
		ubpf_program program = 0;

		SIZED(helper);
		helper.name = names[i];
		helper.number = (uint32_t)(510 + i);
		for (j = 0; j < 5; j++)
			helper.args[j] = UBPF_ARG_NUMBER;
		helper.function_with_context = add_own;
		helper.function = twice;
		CHECK(ubpf_register_helper(&helper, &error) == UBPF_INVALID);
		helper.function = NULL;
		helper.context = &own[i];
		CHECK(ubpf_register_helper(&helper, &error) == UBPF_OK);
		calls[44] = (unsigned char)(0xfe + i);
		CHECK(ubpf_load("own", calls, sizeof(calls), NULL, &program, &error) == UBPF_OK);
		CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == own[i] + 15);
	}
}

/* What could not be checked, or shown, is not registered. */
static void refused_helpers(void)
{
	static const uint32_t args[][5] = {
		{0, 0, 0, 0, UBPF_ARG_WRITE},
		{UBPF_ARG_READ, UBPF_ARG_NUMBER, UBPF_ARG_LENGTH, 0, 0},
		{UBPF_ARG_LENGTH, 0, 0, 0, 0},
		{UBPF_ARG_STRING, UBPF_ARG_STRING, 0, 0, 0},
		{7, 0, 0, 0, 0},
	};
	static char name[1000];
	const char *const names[] = {"", "a b", "a\nb", "\x1b[31m", "\xff", name};
	ubpf_error error;
	ubpf_helper helper;
	size_t i;

	memset(name, 'n', sizeof(name) - 1);
	for (i = 0; i < sizeof(args) / sizeof(args[0]) + sizeof(names) / sizeof(names[0]); i++) {
		const size_t signatures = sizeof(args) / sizeof(args[0]);

		SIZED(helper);
		helper.name = i < signatures ? "fine" : names[i - signatures];
		helper.number = 700;
		helper.function = twice;
		if (i < signatures)
			memcpy(helper.args, args[i], sizeof(helper.args));
		CHECK(ubpf_register_helper(&helper, &error) == UBPF_INVALID && error.text[0] != 0);
		CHECK(strchr(error.text, '\n') == NULL && strchr(error.text, '\x1b') == NULL && strlen(error.text) < 251);
	}
}

/* Names of programs are bounded and can be shown. */
static void names_of_programs(void)
{
	static char name[300];
	const char *const names[] = {"", "a\nb", "\x1b[31m", name};
	ubpf_program program = 0;
	ubpf_error error;
	size_t i;

	memset(name, 'n', 257);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK(ubpf_load(names[i], answer, sizeof(answer), NULL, &program, &error) == UBPF_INVALID && program == 0);
		CHECK(strstr(error.text, "no name for a program") != NULL && strpbrk(error.text, "\n\x1b") == NULL);
	}
	name[256] = 0;
	CHECK(ubpf_load(name, answer, sizeof(answer), NULL, &program, &error) == UBPF_OK);
	CHECK(ubpf_load("dir/with space.bin", answer, sizeof(answer), NULL, &program, &error) == UBPF_OK);
}

static void maps_helpers_and_state(void)
{
	ubpf_error error;
	ubpf_status status;
	ubpf_helper helper;
	ubpf_program program = 0;
	ubpf_run run;
	uint64_t value = 1;
	void *base = NULL;
	size_t length = 0;
	/* r1 = 21; call 500; exit */
	static const unsigned char calls[] = {0xb7, 1, 0, 0, 21, 0, 0, 0, 0x85, 0, 0, 0, 0xf4, 1, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};

	SIZED(status);
	CHECK(ubpf_map_get(1, 2, &value, &error) == UBPF_NOT_FOUND && value == 0);
	CHECK(ubpf_map_get(1, 2, NULL, &error) == UBPF_INVALID);
	CHECK(ubpf_map_put(1, 2, 3, &error) == UBPF_OK);
	CHECK(ubpf_map_get(1, 2, &value, &error) == UBPF_OK && value == 3);
	CHECK(ubpf_map_del(1, 2, &error) == UBPF_OK && ubpf_map_del(1, 2, &error) == UBPF_NOT_FOUND);
	CHECK(ubpf_arena(&base, &length, &error) == UBPF_OK && base != NULL && length >= 8);
	CHECK(ubpf_arena(NULL, &length, &error) == UBPF_INVALID);

	SIZED(helper);
	SIZED(run);
	helper.name = "twice";
	helper.number = 500;
	helper.args[0] = UBPF_ARG_NUMBER;
	helper.cost = 1;
	CHECK(ubpf_register_helper(&helper, &error) == UBPF_INVALID);
	helper.function = twice;
	helper.number = 1024;
	CHECK(ubpf_register_helper(&helper, &error) == UBPF_INVALID && strstr(error.text, "at most 1023") != NULL);
	helper.number = 500;
	CHECK(ubpf_register_helper(NULL, &error) == UBPF_INVALID);
	CHECK(ubpf_load("calls", calls, sizeof(calls), NULL, &program, &error) == UBPF_REFUSED);
	CHECK(ubpf_register_helper(&helper, &error) == UBPF_OK);
	CHECK(ubpf_register_helper(&helper, &error) == UBPF_EXISTS);
	CHECK(ubpf_load("calls", calls, sizeof(calls), NULL, &program, &error) == UBPF_OK);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42);

	helpers_with_context();
	refused_helpers();

	CHECK(ubpf_stats(1, &error) == UBPF_OK && ubpf_get_status(&status, &error) == UBPF_OK && status.stats == 1);
	CHECK(ubpf_stats(0, NULL) == UBPF_OK && ubpf_get_status(NULL, NULL) == UBPF_INVALID);
	CHECK(ubpf_reset(&error) == UBPF_OK);
	CHECK(ubpf_get_status(&status, &error) == UBPF_OK);
	CHECK(status.programs == 0 && status.probes == 0 && status.map_entries == 0 && status.sites >= 1);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_STALE);
}

static void helpers_that_call_the_engine(void)
{
	ubpf_error error;
	ubpf_program program = 0;
	ubpf_helper helper;
	ubpf_run run;
	uint64_t value = 0;
	/* r1 = 21; call 501; exit */
	static const unsigned char calls[] = {0xb7, 1, 0, 0, 21, 0, 0, 0, 0x85, 0, 0, 0, 0xf5, 1, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};
	int i;

	SIZED(helper);
	SIZED(run);
	helper.name = "meddle";
	helper.number = 501;
	helper.args[0] = UBPF_ARG_NUMBER;
	helper.function = meddle;
	CHECK(ubpf_register_helper(&helper, &error) == UBPF_OK);
	CHECK(ubpf_load("meddle", calls, sizeof(calls), NULL, &program, &error) == UBPF_OK);
	CHECK(ubpf_attach("traced", program, NULL, &meddler, &error) == UBPF_OK);
	CHECK(traced(1) == 2 && meddled[5] == 1);
	for (i = 0; i < 4; i++)
		CHECK(meddled[i] == UBPF_DENIED);
	CHECK(meddled[4] == UBPF_OK && ubpf_map_get(77, 77, &value, &error) == UBPF_OK && value == 21);
	/* Where no hook runs, it may. */
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && meddled[5] == 2);
	for (i = 0; i < 5; i++)
		CHECK(meddled[i] == UBPF_OK);
	CHECK(traced(1) == 2 && meddled[5] == 2);
	CHECK(ubpf_reset(&error) == UBPF_OK);
}

/* Callers that were compiled with an older or a newer header. */
static void older_and_newer_callers(void)
{
	struct {
		ubpf_load_options known;
		uint64_t later;
	} newer;
	struct {
		ubpf_status known;
		uint64_t later;
	} larger;
	struct {
		size_t size;
		uint64_t value;
		uint64_t not_ours;
	} smaller;
	ubpf_error error;
	ubpf_program program = 0;
	ubpf_run run;

	/* Zero, and what was never filled in. */
	memset(&newer, 0, sizeof(newer));
	CHECK(ubpf_load("a", answer, sizeof(answer), &newer.known, &program, &error) == UBPF_INVALID);
	CHECK(strstr(error.text, "sizeof(ubpf_load_options)") != NULL);
	memset(&newer, 0xa5, sizeof(newer));
	CHECK(ubpf_load("a", answer, sizeof(answer), &newer.known, &program, &error) == UBPF_INVALID);
	/* A newer one: zeros ask for nothing. */
	SIZED(newer.known);
	newer.known.size = sizeof(newer);
	newer.later = 0;
	CHECK(ubpf_load("a", answer, sizeof(answer), &newer.known, &program, &error) == UBPF_OK);
	newer.later = 1;
	CHECK(ubpf_verify("a", answer, sizeof(answer), &newer.known, &error) == UBPF_UNSUPPORTED);
	CHECK(strstr(error.text, "ubpf_load_options has fields") != NULL);
	/* An older one: what it does not have is zero, and it gets no more than it has. */
	newer.known.size = offsetof(ubpf_load_options, policy);
	newer.known.policy = 99;
	CHECK(ubpf_verify("a", answer, sizeof(answer), &newer.known, &error) == UBPF_OK);
	memset(&smaller, 0xa5, sizeof(smaller));
	smaller.size = offsetof(ubpf_run, budget_left);
	CHECK(ubpf_exec(program, NULL, 0, 0, (ubpf_run *)(void *)&smaller, &error) == UBPF_OK);
	CHECK(smaller.size == offsetof(ubpf_run, budget_left) && smaller.value == 42 && smaller.not_ours == 0xa5a5a5a5a5a5a5a5u);
	memset(&larger, 0xa5, sizeof(larger));
	larger.known.size = sizeof(larger);
	CHECK(ubpf_get_status(&larger.known, &error) == UBPF_OK);
	CHECK(larger.known.size == sizeof(larger) && larger.known.programs >= 1 && larger.later == 0);
	memset(&run, 0, sizeof(run));
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_INVALID && strstr(error.text, "sizeof(ubpf_run)") != NULL);
	CHECK(ubpf_unload(program, &error) == UBPF_OK);
}

int main(void)
{
	ubpf_config config;
	ubpf_error error;

	CHECK(strchr(ubpf_version(), '.') != NULL);
	before_the_start();
	CHECK(ubpf_config_default(NULL, 0) == UBPF_OK && ubpf_config_default(&config, 4) == UBPF_INVALID);
	CHECK(ubpf_config_default(&config, sizeof(config)) == UBPF_OK && config.size == sizeof(config) && config.exec_budget > 0);
	config.hook_areas = 65;
	CHECK(ubpf_start(test_platform(), &config, &error) == UBPF_INVALID);
	config.size = 0;
	config.hook_areas = 4;
	CHECK(ubpf_start(test_platform(), &config, &error) == UBPF_INVALID && strstr(error.text, "sizeof(ubpf_config)") != NULL);
	config.size = sizeof(config);
	CHECK(ubpf_start(test_platform(), &config, &error) == UBPF_OK);
	CHECK(ubpf_start(test_platform(), &config, &error) == UBPF_EXISTS);
	describe_image();
	loads_and_runs();
	names_of_programs();
	attaches();
	older_and_newer_callers();
	maps_helpers_and_state();
	helpers_that_call_the_engine();
	return 0;
}
