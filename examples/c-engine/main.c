/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a program from a file on numbers from the command line: the engine alone, with the least that it needs from below. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ubpf_rs.h>

/* What the archive is linked with. */

void *ubpf_platform_alloc(size_t align, size_t length)
{
	/* aligned_alloc wants whole multiples. */
	return aligned_alloc(align, (length + align - 1) / align * align);
}

void ubpf_platform_free(void *block)
{
	free(block);
}

void ubpf_platform_panic(const char *text, size_t length)
{
	fprintf(stderr, "%.*s\n", (int)length, text);
	abort();
}

/* What the table is filled with. */

static uint64_t now_ns(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* No memory can be read safely here: a program that asks for some gets none. */
static size_t probe_read(void *context, uint64_t address, void *into, size_t length)
{
	(void)context, (void)address, (void)into, (void)length;
	return 0;
}

static void console_write(void *context, const char *bytes, size_t length)
{
	(void)context;
	fwrite(bytes, 1, length, stdout);
}

struct numbers {
	uint64_t count;
	uint64_t number[15];
};

int main(int argc, char **argv)
{
	static const ubpf_platform platform = {
		.size = sizeof(platform),
		.name = "example",
		.now_ns = now_ns,
		.probe_read = probe_read,
		.console_write = console_write,
	};
	struct numbers numbers = {0};
	unsigned char code[4096];
	ubpf_program program;
	ubpf_run run = {.size = sizeof(run)};
	ubpf_error error;
	size_t length;
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;

	if (!file) {
		fprintf(stderr, "usage: main PROGRAM NUMBER...\n");
		return 64;
	}
	length = fread(code, 1, sizeof(code), file);
	fclose(file);
	for (int i = 2; i < argc && numbers.count < 15; i++)
		numbers.number[numbers.count++] = strtoull(argv[i], NULL, 0);

	if (ubpf_start(&platform, NULL, &error) != UBPF_OK ||
	    ubpf_load(argv[1], code, length, NULL, &program, &error) != UBPF_OK ||
	    ubpf_exec(program, &numbers, sizeof(numbers), 0, &run, &error) != UBPF_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	printf("%" PRIu64 "\n", run.value);
	return 0;
}
