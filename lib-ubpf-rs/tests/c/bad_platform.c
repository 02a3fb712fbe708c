/* SPDX-License-Identifier: BSD-3-Clause */
/* Platforms whose functions fail, lie, or call back into the engine: each call ends in an error that says so, and the engine goes on. */
#define _GNU_SOURCE
#include "platform.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static ubpf_platform platform;
static const ubpf_platform *good;
static ubpf_error error;

static void start(void)
{
	CHECK(ubpf_start(&platform, NULL, &error) == UBPF_OK);
	describe_image();
}

static ubpf_program loaded(const unsigned char *bytes, size_t length)
{
	ubpf_program program = 0;

	CHECK(ubpf_load("program", bytes, length, NULL, &program, &error) == UBPF_OK);
	return program;
}

/* Everything that needs no such function works. */
static void works(void)
{
	ubpf_program program = loaded(answer, sizeof(answer));
	ubpf_run run;
	uint64_t value;

	SIZED(run);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42);
	CHECK(ubpf_map_put(1, 2, 3, &error) == UBPF_OK && ubpf_map_get(1, 2, &value, &error) == UBPF_OK && value == 3);
	CHECK(ubpf_unload(program, &error) == UBPF_OK && traced(1) == 2);
}

static uint64_t runs;

static void see(void *context, const ubpf_probe_info *info)
{
	(void)context;
	runs = info->runs;
}

/* A program counts the calls of a function, and is taken off. */
static void traces(void)
{
	ubpf_program program = loaded(count, sizeof(count));
	ubpf_probe probe = 0;
	int i;

	CHECK(ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK);
	for (i = 0; i < 5; i++)
		CHECK(traced(i) == i + 1);
	CHECK(ubpf_list("traced", see, NULL, &error) == UBPF_OK && runs == 5);
	CHECK(ubpf_detach(probe, &error) == UBPF_OK && ubpf_unload(program, &error) == UBPF_OK && traced(1) == 2);
}

static void works_as_it_is(void)
{
	start();
	works();
	traces();
}

/* Memory for code. */

static int how;

static int bad_exec_alloc(void *context, size_t length, ubpf_exec_block *block)
{
	int code = how == 1 ? ENOMEM : good->exec_alloc(context, length, block);

	if (how == 2)
		block->length = length - 1;
	if (how == 3)
		block->write = 0;
	if (how == 4)
		block->exec = 0;
	return code;
}

static int bad_exec_seal(void *context, const ubpf_exec_block *block)
{
	return how == 5 ? EPERM : good->exec_seal(context, block);
}

static void memory_for_code_fails(void)
{
	ubpf_load_options options;
	ubpf_program program = 0;

	platform.exec_alloc = bad_exec_alloc;
	platform.exec_seal = bad_exec_seal;
	start();
	SIZED(options);
	options.engine = UBPF_ENGINE_JIT;
	CHECK(ubpf_load("a", answer, sizeof(answer), &options, &program, &error) == UBPF_UNSUPPORTED && program == 0);
	CHECK(error.text[0] != 0);
	works();
	traces();
	if (how == 5)
		CHECK(code_in_use == 0);
}

static int next_far = 0;

static int far_exec_alloc(void *context, size_t length, ubpf_exec_block *block)
{
	uintptr_t place = 0x700000000000u + (uintptr_t)next_far++ * 0x100000;

	if (good->exec_alloc(context, length, block) != 0)
		return ENOMEM;
	block->exec = (uintptr_t)mremap((void *)block->exec, block->length, block->length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)place);
	return block->exec == place ? 0 : ENOMEM;
}

static void memory_for_code_is_far_away(void)
{
	ubpf_load_options options;
	ubpf_program program = 0;
	ubpf_run run;

	platform.exec_alloc = far_exec_alloc;
	start();
	SIZED(options);
	SIZED(run);
	options.engine = UBPF_ENGINE_JIT;
	CHECK(ubpf_load("a", answer, sizeof(answer), &options, &program, &error) == UBPF_OK);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && run.value == 42);
	works();
	traces();
}

/* Text. */

static int replaces_to_go;

static int bad_text_replace(void *context, uintptr_t address, const void *old_bytes, const void *new_bytes, size_t length)
{
	if (replaces_to_go-- > 0)
		return good->text_replace(context, address, old_bytes, new_bytes, length);
	return how;
}

static void text_cannot_be_changed(void)
{
	ubpf_program program;
	ubpf_probe probe = 0;

	/* What prepares the stubs at start goes well. */
	replaces_to_go = 1000;
	platform.text_replace = bad_text_replace;
	start();
	program = loaded(count, sizeof(count));
	replaces_to_go = 0;
	CHECK(ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_IO && probe == 0 && error.text[0] != 0);
	CHECK(ubpf_list("traced", see, NULL, &error) == UBPF_OK);
	works();
	/* Nor back: the program is off, and the call is used again. */
	replaces_to_go = 1;
	CHECK(ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK);
	CHECK(ubpf_detach(probe, &error) == UBPF_IO && ubpf_detach(probe, &error) == UBPF_STALE);
	works();
	CHECK(ubpf_reset(&error) == UBPF_OK);
	replaces_to_go = 1000;
	traces();
}

/* Says that it did, and did nothing. */
static int lying_text_replace(void *context, uintptr_t address, const void *old_bytes, const void *new_bytes, size_t length)
{
	(void)context;
	(void)address;
	(void)old_bytes;
	(void)new_bytes;
	(void)length;
	return 0;
}

static void text_is_not_changed(void)
{
	ubpf_program program;
	ubpf_probe probe = 0;

	platform.text_replace = lying_text_replace;
	CHECK(ubpf_start(&platform, NULL, &error) == UBPF_OK);
	works();
	program = loaded(count, sizeof(count));
	/* The stub is not as it said, or no call comes. */
	if (ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK)
		CHECK(traced(1) == 2 && ubpf_detach(probe, &error) == UBPF_OK);
	works();
}

/* Files. */

static int64_t size_given, length_given;

static int64_t lying_file_size(void *context, const char *path)
{
	(void)context;
	(void)path;
	return size_given;
}

static int64_t lying_file_read(void *context, const char *path, void *into, size_t length)
{
	(void)context;
	(void)path;
	memset(into, 0, length);
	memcpy(into, answer, length < sizeof(answer) ? length : sizeof(answer));
	return length_given;
}

static int load_file(int64_t size, int64_t length)
{
	ubpf_program program = 0;
	int code;

	size_given = size;
	length_given = length;
	code = ubpf_load_file("file", NULL, &program, &error);
	CHECK(code == UBPF_OK ? program != 0 : program == 0 && error.text[0] != 0);
	return code;
}

static void files_lie(void)
{
	const int64_t all = (int64_t)sizeof(answer);

	platform.file_size = lying_file_size;
	platform.file_read = lying_file_read;
	start();
	CHECK(load_file(all, all) == UBPF_OK);
	/* More than there was room for: it cannot be. */
	CHECK(load_file(all, all + 1000000) == UBPF_OK && load_file(all, INT64_MAX) == UBPF_OK);
	CHECK(load_file(all, 8) == UBPF_REFUSED && load_file(all, 0) == UBPF_REFUSED && load_file(0, 0) == UBPF_REFUSED);
	CHECK(load_file(INT64_MAX, all) == UBPF_TOO_LARGE && load_file(1 << 21, all) == UBPF_TOO_LARGE);
	CHECK(load_file(-ENOENT, all) == UBPF_NOT_FOUND && load_file(INT64_MIN, all) == UBPF_IO && load_file(-1, all) == UBPF_IO);
	CHECK(load_file(all, -EIO) == UBPF_IO && load_file(all, INT64_MIN) == UBPF_IO && load_file(all, -ENOMEM) == UBPF_NO_MEMORY);
	CHECK(ubpf_load_symbols("file", NULL, &error) != UBPF_OK);
	works();
	traces();
}

/* Reads, time. */

static size_t lying_probe_read(void *context, uint64_t address, void *into, size_t length)
{
	size_t count = good->probe_read(context, address, into, length);

	return how == 1 ? count + 1000000 : how == 2 ? (size_t)-1 : 0;
}

static void reads_lie(void)
{
	size_t added = 9;
	uint64_t record = (uint64_t)(uintptr_t)traced;
	char symbols[64];

	platform.probe_read = lying_probe_read;
	if (how != 3) {
		start();
		works();
		traces();
		return;
	}
	/* Nothing can be read: no stub is known, and none is patched. */
	CHECK(ubpf_start(&platform, NULL, &error) == UBPF_OK);
	sprintf(symbols, "%llx T traced\n", (unsigned long long)record);
	CHECK(ubpf_add_symbols(symbols, strlen(symbols), NULL, &error) == UBPF_OK);
	CHECK(ubpf_add_sites(UBPF_SITES_PATCHABLE, &record, 1, &added, &error) == UBPF_OK && added == 0);
	CHECK(ubpf_attach("traced", loaded(count, sizeof(count)), NULL, NULL, &error) == UBPF_NO_STUB);
	CHECK(strstr(error.text, "cannot be read") != NULL);
	works();
}

static uint64_t wild_now(void *context)
{
	static uint64_t calls;

	(void)context;
	calls++;
	return how == 1 ? 0 : how == 2 ? UINT64_MAX : how == 3 ? UINT64_MAX - calls : calls * 0x9e3779b97f4a7c15u;
}

static void time_is_wild(void)
{
	ubpf_limits limits;
	ubpf_program program;
	ubpf_probe probe = 0;
	int code;

	platform.now_ns = wild_now;
	start();
	works();
	traces();
	SIZED(limits);
	limits.max_ns = UINT64_MAX;
	program = loaded(count, sizeof(count));
	CHECK(ubpf_attach("traced", program, &limits, &probe, &error) == UBPF_OK && traced(1) == 2);
	ubpf_poll();
	code = ubpf_detach(probe, &error);
	CHECK(code == UBPF_OK || code == UBPF_STALE);
	CHECK(ubpf_stats(1, &error) == UBPF_OK);
	traces();
}

/* Functions that call the engine. */

static int called, inner_code;

static void calling_console(void *context, const char *bytes, size_t length)
{
	ubpf_status status;

	(void)context;
	(void)bytes;
	(void)length;
	SIZED(status);
	called++;
	ubpf_drain();
	CHECK(ubpf_get_status(&status, NULL) == UBPF_OK && ubpf_map_put(5, 5, 5, NULL) == UBPF_OK);
	inner_code = ubpf_verify("inner", answer, sizeof(answer), NULL, NULL);
}

static int64_t calling_file_size(void *context, const char *path)
{
	ubpf_program program = 0;

	if (strcmp(path, "answer.bin") == 0 && called++ == 0) {
		inner_code = ubpf_load_file("answer.bin", NULL, &program, NULL);
		CHECK(inner_code == UBPF_OK && ubpf_unload(program, NULL) == UBPF_OK);
		inner_code = ubpf_reset(NULL);
	}
	return good->file_size(context, path);
}

static void functions_call_the_engine(void)
{
	ubpf_program program;
	ubpf_run run;

	SIZED(run);
	if (how == 1)
		platform.console_write = calling_console;
	else
		platform.file_size = calling_file_size;
	start();
	program = loaded(wild, sizeof(wild));
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_STOPPED);
	CHECK(ubpf_load_file("answer.bin", NULL, &program, &error) == UBPF_OK);
	CHECK(called > 0 && inner_code == UBPF_OK);
	works();
	traces();
}

static const char *traced_stack;

/* It is asked about the stack of the traced function; the hook itself runs on another one. */
static int no_faults(void *context, uint64_t stack)
{
	(void)context;
	called += stack < (uintptr_t)traced_stack + (1 << 16) && stack > (uintptr_t)traced_stack - (1 << 16);
	return 0;
}

static int may_fault(void *context, uint64_t stack)
{
	(void)no_faults(context, stack);
	return 1;
}

/* What a hook reads of the application's memory: nothing, where a fault is not to happen. */
static uint64_t read_by_a_hook(const uint64_t *from)
{
	/* r1 = from ll; r2 = 8; call probe_read; r1 = 77; r2 = 7; r3 = r0; call map_put; r0 = 0; exit */
	unsigned char reads[] = {
		0x18, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0xb7, 2, 0, 0, 8, 0, 0, 0, 0x85, 0, 0, 0, 5, 0, 0, 0,
		0xb7, 1, 0, 0, 77, 0, 0, 0, 0xb7, 2, 0, 0, 7, 0, 0, 0, 0xbf, 0x03, 0, 0, 0, 0, 0, 0,
		0x85, 0, 0, 0, 2, 0, 0, 0, 0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0,
	};
	ubpf_load_options options;
	ubpf_program program = 0;
	ubpf_probe probe = 0;
	uint64_t value = 0;

	traced_stack = (const char *)&value;
	memcpy(reads + 4, &from, 4);
	memcpy(reads + 12, (const char *)&from + 4, 4);
	SIZED(options);
	options.abi = UBPF_ABI_UIO;
	CHECK(ubpf_load("reads", reads, sizeof(reads), &options, &program, &error) == UBPF_OK);
	CHECK(ubpf_attach("traced", program, NULL, &probe, &error) == UBPF_OK && traced(1) == 2);
	CHECK(ubpf_map_get(77, 7, &value, &error) == UBPF_OK);
	CHECK(ubpf_detach(probe, &error) == UBPF_OK && ubpf_unload(program, &error) == UBPF_OK);
	return value;
}

static void stacks_may_not_fault(void)
{
	static const uint64_t secret = 0x1122334455667788;

	platform.may_fault = how ? may_fault : no_faults;
	start();
	works();
	traces();
	CHECK(called == 0);
	CHECK(read_by_a_hook(&secret) == (how ? secret : 0) && called == 1);
}

/* Plays one case in a process of its own: there is one engine in each. */
static void play(const char *name, void (*test)(void), int number)
{
	int status = 0;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		good = test_platform_with_code();
		platform = *good;
		how = number;
		alarm(60);
		test();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (status != 0)
		fprintf(stderr, "%s %d: status %x\n", name, number, (unsigned)status);
	CHECK(status == 0);
}

#define PLAY(test, number) play(#test, test, number)

int main(void)
{
	int number;

	PLAY(works_as_it_is, 0);
	for (number = 1; number <= 5; number++)
		PLAY(memory_for_code_fails, number);
	PLAY(memory_for_code_is_far_away, 0);
	PLAY(text_cannot_be_changed, EIO);
	PLAY(text_cannot_be_changed, EILSEQ);
	PLAY(text_cannot_be_changed, -1);
	PLAY(text_is_not_changed, 0);
	PLAY(files_lie, 0);
	for (number = 1; number <= 3; number++)
		PLAY(reads_lie, number);
	for (number = 1; number <= 4; number++)
		PLAY(time_is_wild, number);
	for (number = 1; number <= 2; number++)
		PLAY(functions_call_the_engine, number);
	for (number = 0; number <= 1; number++)
		PLAY(stacks_may_not_fault, number);
	return 0;
}
