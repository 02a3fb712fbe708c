/* SPDX-License-Identifier: BSD-3-Clause */
/* Every function of ubpf_rs.h while memory ends in it. */
#define _POSIX_C_SOURCE 200809L
#include "each_call.h"
#include <sys/wait.h>
#include <unistd.h>

extern const uint64_t __start___patchable_function_entries[] __attribute__((visibility("hidden")));
extern const uint64_t __stop___patchable_function_entries[] __attribute__((visibility("hidden")));

static ubpf_program program;
static ubpf_probe probe;
static char long_name[100001];

static char symbols[128];

static void load(void)
{
	CHECK(ubpf_load("count", count, sizeof(count), NULL, &program, NULL) == UBPF_OK);
}

static void unload(int code)
{
	(void)code;
	if (program)
		CHECK(ubpf_unload(program, NULL) == UBPF_OK);
	program = 0;
}

/* What machine code calls helpers with is made for a program when it is first attached, and goes with it. */
static void load_and_try(void)
{
	load();
	CHECK(ubpf_attach("traced", program, NULL, &probe, NULL) == UBPF_OK && ubpf_detach(probe, NULL) == UBPF_OK);
}

static void attach(void)
{
	load();
	CHECK(ubpf_attach("traced", program, NULL, &probe, NULL) == UBPF_OK);
	CHECK(traced(1) == 2);
}

static void detach(int code)
{
	if (probe && code != 0)
		CHECK(ubpf_detach(probe, NULL) == UBPF_OK);
	probe = 0;
	unload(code);
}

static void detach_always(int code)
{
	(void)code;
	detach(1);
}

static int call_version(void)
{
	return ubpf_version() == NULL;
}

static int call_config_default(void)
{
	ubpf_config config;

	return ubpf_config_default(&config, sizeof(config));
}

static int call_start(void)
{
	ubpf_error error;
	int code = ubpf_start(test_platform_with_code(), NULL, &error);

	return code == UBPF_EXISTS ? 0 : code;
}

/* It starts once in a process, so each time is played in one. */
static void starts(int for_good)
{
	size_t allocations;
	int status = 0;

	for (allocations = 0; status == 0; allocations++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child > 0) {
			CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
			CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
			continue;
		}
		heap_fails_for_good = for_good;
		heap_fails_after = allocations;
		int code = call_start(), failed = heap_fails_after == HEAP_FAILED;

		heap_fails_after = (size_t)-1;
		CHECK(code == UBPF_OK || (failed && code == UBPF_NO_MEMORY && heap_used() == 0));
		CHECK(call_start() == UBPF_OK);
		works();
		_exit(failed ? 0 : 7);
	}
	CHECK(allocations > 10);
}

static int call_reset(void)
{
	return ubpf_reset(NULL);
}

/* What a reset without memory has not undone, the next one does. */
static void reset(int code)
{
	(void)code;
	CHECK(ubpf_reset(NULL) == UBPF_OK);
	program = probe = 0;
}

static int call_drain(void)
{
	ubpf_drain();
	return 0;
}

static int call_poll(void)
{
	ubpf_poll();
	return 0;
}

static int call_stats(void)
{
	return ubpf_stats(1, NULL);
}

static void no_stats(int code)
{
	CHECK(ubpf_stats(0, NULL) == UBPF_OK);
	detach_always(code);
}

static int call_get_status(void)
{
	ubpf_status status;

	SIZED(status);
	return ubpf_get_status(&status, NULL);
}

static int call_arena(void)
{
	void *base;
	size_t length;

	return ubpf_arena(&base, &length, NULL);
}

static void put(void)
{
	CHECK(ubpf_map_put(1, 2, 3, NULL) == UBPF_OK);
}

static int call_map_get(void)
{
	uint64_t value;

	return ubpf_map_get(1, 2, &value, NULL);
}

static int call_map_put(void)
{
	return ubpf_map_put(1, 2, 3, NULL);
}

static int call_map_del(void)
{
	return ubpf_map_del(1, 2, NULL);
}

static uint64_t helper_function(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
	return r1 + r2 + r3 + r4 + r5;
}

static int call_register_helper(void)
{
	static unsigned number = 600;
	static char names[100][120];
	ubpf_helper helper;
	int code;

	SIZED(helper);
	memset(names[number - 600], 'h', 100);
	sprintf(names[number - 600] + 100, "%u", number);
	helper.name = names[number - 600];
	helper.number = number;
	helper.function = helper_function;
	code = ubpf_register_helper(&helper, NULL);
	number += code == UBPF_OK;
	return code;
}

/* Names of any length make no call allocate where it must not. */
static void long_texts(void)
{
	ubpf_error error;
	ubpf_helper helper;
	int code = ubpf_load(long_name, answer, sizeof(answer), NULL, &program, &error);

	CHECK(code == UBPF_INVALID || code == UBPF_NO_MEMORY);
	code = ubpf_load_file(long_name, NULL, &program, &error);
	CHECK(code == UBPF_NOT_FOUND || code == UBPF_NO_MEMORY || code == UBPF_INVALID);
	SIZED(helper);
	helper.name = long_name;
	helper.number = 900;
	helper.function = helper_function;
	code = ubpf_register_helper(&helper, &error);
	CHECK(code == UBPF_INVALID || code == UBPF_NO_MEMORY);
	CHECK(ubpf_load("any", answer, sizeof(answer), NULL, &program, NULL) != UBPF_INVALID);
	code = ubpf_attach(long_name, program, NULL, &probe, &error);
	CHECK(code == UBPF_NOT_FOUND || code == UBPF_NO_MEMORY || code == UBPF_STALE);
	code = ubpf_detach_function(long_name, long_name, NULL, &error);
	CHECK(code == UBPF_NOT_FOUND || code == UBPF_NO_MEMORY);
	code = ubpf_detach_function("traced", long_name, NULL, &error);
	CHECK(code == UBPF_NOT_FOUND || code == UBPF_NO_MEMORY);
	code = ubpf_list(long_name, NULL, NULL, &error);
	CHECK(code == UBPF_INVALID);
	code = ubpf_load_symbols(long_name, NULL, &error);
	CHECK(code == UBPF_NOT_FOUND || code == UBPF_NO_MEMORY);
}

static int call_load(void)
{
	long_texts();
	if (program)
		CHECK(ubpf_unload(program, NULL) == UBPF_OK);
	program = 0;
	return ubpf_load("count", count, sizeof(count), NULL, &program, NULL);
}

static int call_load_file(void)
{
	return ubpf_load_file("answer.bin", NULL, &program, NULL);
}

extern const char __start_ubpf_programs[] __attribute__((visibility("hidden")));
extern const char __stop_ubpf_programs[] __attribute__((visibility("hidden")));

/* Some may be there when memory ends: what it gave is looked at here. */
static int call_add_linked(void)
{
	static size_t all;
	size_t added;
	int code = ubpf_add_linked(__start_ubpf_programs, __stop_ubpf_programs, &added, NULL);

	all += added;
	CHECK(all <= 3 && (code == UBPF_NO_MEMORY || code == UBPF_REFUSED || (code == UBPF_OK && all == 3)));
	return 0;
}

/* With memory, those that were left out are added. */
static void all_linked(int code)
{
	static const char *const names[] = {"one", "two", "three"};
	size_t i;

	(void)code;
	call_add_linked();
	for (i = 0; i < 3; i++) {
		CHECK(ubpf_load_file(names[i], NULL, &program, NULL) == UBPF_OK);
		unload(0);
	}
}

static int call_verify(void)
{
	return ubpf_verify("count", count, sizeof(count), NULL, NULL);
}

static int call_unload(void)
{
	int code = ubpf_unload(program, NULL);

	if (code == UBPF_OK)
		program = 0;
	return code;
}

static int call_exec(void)
{
	uint64_t memory = 5;

	return ubpf_exec(program, &memory, sizeof(memory), 0, NULL, NULL);
}

static int call_attach(void)
{
	return ubpf_attach("traced", program, NULL, &probe, NULL);
}

static int call_replace(void)
{
	return ubpf_replace(probe, program, NULL);
}

static int call_detach(void)
{
	return ubpf_detach(probe, NULL);
}

static int call_detach_function(void)
{
	size_t detached;

	return ubpf_detach_function("traced", "count", &detached, NULL);
}

static void see_probe(void *context, const ubpf_probe_info *info)
{
	(void)info;
	++*(int *)context;
}

static int call_list(void)
{
	int seen = 0, code = ubpf_list(NULL, see_probe, &seen, NULL);

	CHECK(code != UBPF_OK || seen == 1);
	return code;
}

static int see_name(void *context, const char *name)
{
	(void)name;
	++*(int *)context;
	return 1;
}

static int call_functions(void)
{
	int seen = 0, code = ubpf_functions(see_name, &seen, NULL);

	CHECK(code != UBPF_OK || seen == 1);
	return code;
}

static int see_stub(void *context, const ubpf_refused_stub *stub)
{
	CHECK(stub->reason[0] != 0);
	++*(int *)context;
	return 1;
}

static int refused;

static int call_refused_stubs(void)
{
	int seen = 0, code = ubpf_refused_stubs(see_stub, &seen, NULL);

	CHECK(code != UBPF_OK || seen == refused);
	return code;
}

static int call_add_sites(void)
{
	size_t records = (size_t)(__stop___patchable_function_entries - __start___patchable_function_entries);
	size_t added = 9;
	int code = ubpf_add_sites(UBPF_SITES_PATCHABLE, __start___patchable_function_entries, records, &added, NULL);

	CHECK(added <= 1 && (code == UBPF_OK || added == 0));
	refused = (int)records - 1;
	return code;
}

/* Every record is a site, or its stub is shown with the reason. */
static void all_are_there(int code)
{
	int seen = 0;

	if (code != UBPF_OK)
		return;
	CHECK(ubpf_refused_stubs(see_stub, &seen, NULL) == UBPF_OK && seen == refused);
	CHECK(ubpf_functions(see_name, &seen, NULL) == UBPF_OK && seen == refused + 1);
}

static int call_add_symbols(void)
{
	size_t known = 9;
	int code = ubpf_add_symbols(symbols, strlen(symbols), &known, NULL);

	CHECK(known == (code == UBPF_OK));
	return code;
}

static int call_load_symbols(void)
{
	size_t known;

	return ubpf_load_symbols("symbols", &known, NULL);
}

static int call_symbol_address(void)
{
	uint64_t address;

	return ubpf_symbol_address("traced", &address, NULL);
}

static int call_symbol_name(void)
{
	char name[100];

	return ubpf_symbol_name((uint64_t)(uintptr_t)traced, name, sizeof(name), NULL, NULL);
}

static int call_stop(void)
{
	return ubpf_stop(NULL);
}

static void start_again(int code)
{
	CHECK(call_start() == UBPF_OK);
	if (code == UBPF_OK)
		CHECK(call_add_symbols() == UBPF_OK && call_add_sites() == UBPF_OK);
	reset(code);
}

/* In an order in which each can do what it says. */
static const struct row rows[] = {
	{"ubpf_version", NULL, call_version, NULL},
	{"ubpf_config_default", NULL, call_config_default, NULL},
	{"ubpf_start", NULL, call_start, NULL},
	{"ubpf_add_symbols", NULL, call_add_symbols, NULL},
	{"ubpf_add_sites", NULL, call_add_sites, all_are_there},
	{"ubpf_refused_stubs", NULL, call_refused_stubs, NULL},
	{"ubpf_functions", NULL, call_functions, NULL},
	{"ubpf_load_symbols", NULL, call_load_symbols, NULL},
	{"ubpf_symbol_address", NULL, call_symbol_address, NULL},
	{"ubpf_symbol_name", NULL, call_symbol_name, NULL},
	{"ubpf_drain", NULL, call_drain, NULL},
	{"ubpf_poll", attach, call_poll, detach_always},
	{"ubpf_stats", attach, call_stats, no_stats},
	{"ubpf_get_status", NULL, call_get_status, NULL},
	{"ubpf_arena", NULL, call_arena, NULL},
	{"ubpf_map_put", NULL, call_map_put, NULL},
	{"ubpf_map_get", put, call_map_get, NULL},
	{"ubpf_map_del", put, call_map_del, NULL},
	{"ubpf_register_helper", NULL, call_register_helper, NULL},
	{"ubpf_load", NULL, call_load, unload},
	{"ubpf_load_file", NULL, call_load_file, unload},
	{"ubpf_add_linked", NULL, call_add_linked, all_linked},
	{"ubpf_verify", NULL, call_verify, NULL},
	{"ubpf_unload", load, call_unload, unload},
	{"ubpf_exec", load, call_exec, unload},
	{"ubpf_attach", load_and_try, call_attach, detach_always},
	{"ubpf_replace", attach, call_replace, detach_always},
	{"ubpf_detach", attach, call_detach, detach},
	{"ubpf_detach_function", attach, call_detach_function, detach},
	{"ubpf_list", attach, call_list, detach_always},
	{"ubpf_reset", attach, call_reset, reset},
	{"ubpf_stop", attach, call_stop, start_again},
};

int main(void)
{
	memset(long_name, 'n', sizeof(long_name) - 1);
	snprintf(symbols, sizeof(symbols), "%llx T traced\n", (unsigned long long)(uintptr_t)traced);
	CHECK(test_platform()->file_write(NULL, "symbols", symbols, strlen(symbols)) == 0);
	starts(0);
	starts(1);
	play_all(rows, sizeof(rows) / sizeof(rows[0]));
	return 0;
}
