/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that were compiled ahead of time, in an application with a platform of its own. */
#include "platform.h"

extern const char __start_ubpf_programs[] __attribute__((visibility("hidden")));
extern const char __stop_ubpf_programs[] __attribute__((visibility("hidden")));

static uint64_t result_of(const char *path, const ubpf_load_options *options)
{
	ubpf_program program = 0;
	ubpf_error error;
	ubpf_run run;

	SIZED(run);
	CHECK(ubpf_load_file(path, options, &program, &error) == UBPF_OK);
	CHECK(ubpf_exec(program, NULL, 0, 0, &run, &error) == UBPF_OK && ubpf_unload(program, &error) == UBPF_OK);
	return run.value;
}

int main(void)
{
	const char *start = __start_ubpf_programs, *stop = __stop_ubpf_programs;
	ubpf_load_options options;
	ubpf_program program;
	ubpf_error error;
	size_t added = 9;

	CHECK(ubpf_add_linked(start, stop, &added, &error) == UBPF_NOT_STARTED && added == 0);
	/* Memory for code is not needed. */
	CHECK(ubpf_start(test_platform(), NULL, &error) == UBPF_OK);
	CHECK(ubpf_add_linked(start, stop - 1, &added, &error) == UBPF_INVALID);
	CHECK(ubpf_add_linked(start + 1, stop + 1, &added, &error) == UBPF_INVALID);
	CHECK(ubpf_add_linked(NULL, stop, &added, &error) == UBPF_INVALID);
	CHECK(ubpf_add_linked(stop, start, &added, &error) == UBPF_INVALID);
	CHECK(ubpf_add_linked(NULL, NULL, &added, &error) == UBPF_OK && added == 0);
	CHECK(ubpf_load_file("seven", NULL, &program, &error) == UBPF_NOT_FOUND);

	/* Two can be used. The first that cannot is told, all are said. */
	CHECK(ubpf_add_linked(start, stop, &added, &error) == UBPF_REFUSED && added == 2);
	CHECK(strstr(error.text, "seven") != NULL && strstr(error.text, "there is one of this name") != NULL);
	CHECK(strstr(console, "spoilt") != NULL && strstr(console, "another version") != NULL);
	CHECK(strstr(console, "nnn... of the image: its name is") != NULL && strchr(console, 27) == NULL);
	CHECK(result_of("seven", NULL) == 7);
	/* Before the file of this name, unless it is asked for otherwise. */
	CHECK(result_of("answer.bin", NULL) == 43);
	SIZED(options);
	options.engine = UBPF_ENGINE_INTERPRETER;
	CHECK(result_of("answer.bin", &options) == 42);
	CHECK(ubpf_load_file("seven", &options, &program, &error) == UBPF_NOT_FOUND);
	/* Once more: all names are taken. */
	CHECK(ubpf_add_linked(start, stop, NULL, &error) == UBPF_REFUSED);
	return 0;
}
