/* SPDX-License-Identifier: BSD-3-Clause */
/* Gives the engine a list of symbols and its entry stubs, in either order, and traces a function; says what is refused. */
#include "platform.h"

extern const uint64_t __start___patchable_function_entries[] __attribute__((visibility("hidden")));
extern const uint64_t __stop___patchable_function_entries[] __attribute__((visibility("hidden")));

static char list[32 << 20];
static size_t length;
static ubpf_error error;

static int symbols(void)
{
	size_t count;

	return ubpf_add_symbols(list, length, &count, &error);
}

static int sites(void)
{
	size_t records = (size_t)(__stop___patchable_function_entries - __start___patchable_function_entries);
	size_t count;

	return ubpf_add_sites(UBPF_SITES_PATCHABLE, __start___patchable_function_entries, records, &count, &error);
}

int main(int argc, char **argv)
{
	FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
	int symbols_first = argc == 3 && strcmp(argv[2], "symbols-first") == 0;
	ubpf_status status;
	ubpf_program program;
	uint64_t address, value;
	int code;

	CHECK(file);
	length = fread(list, 1, sizeof(list), file);
	fclose(file);
	CHECK(ubpf_start(test_platform(), NULL, &error) == UBPF_OK);
	code = symbols_first ? symbols() : sites();
	if (code == UBPF_OK)
		code = symbols_first ? sites() : symbols();
	if (code != UBPF_OK) {
		SIZED(status);
		CHECK(code == UBPF_REFUSED && ubpf_get_status(&status, NULL) == UBPF_OK && status.sites == 0);
		printf("%s\n", error.text);
		return 0;
	}
	CHECK(ubpf_symbol_address("traced", &address, &error) == UBPF_OK && address == (uintptr_t)traced);
	CHECK(ubpf_load("count", count, sizeof(count), NULL, &program, &error) == UBPF_OK);
	if (ubpf_attach("traced", program, NULL, NULL, &error) != UBPF_OK) {
		printf("%s\n", error.text);
		return 1;
	}
	CHECK(traced(1) == 2);
	/* The key is where the call returns to. The first one finds UINT64_MAX and adds 1 to it. */
	value = 1;
	CHECK(ubpf_map_get(address + 5, 7, &value, NULL) == UBPF_OK || ubpf_map_get(address + 9, 7, &value, NULL) == UBPF_OK);
	CHECK(value == 0);
	printf("traced\n");
	return 0;
}
