/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions with entry stubs of every layout, compiled with -fpatchable-function-entry=N,M for many N and M. For each function
 * it prints whether a program runs at every call of it, or why it cannot be attached: "plain runs" or "plain refused: ...".
 * Everything is called before and after the engine starts: nothing may change what a function does.
 */
#include "ubpf_linux.h"
#include "ubpf_rs.h"
#include <stdio.h>
#include <string.h>

/* No copies of functions for constant arguments either, which have other names. */
#ifdef __clang__
#define WHOLE noinline
#else
#define WHOLE noipa
#endif
#define TRACED __attribute__((WHOLE))
#define STUB(n, m) __attribute__((WHOLE, patchable_function_entry(n, m)))

static volatile long sink;

TRACED int plain(int x) { sink = sink + 1; return x + 1; }
TRACED int second(int x) { sink = sink + 2; return x + 2; }
/* Nothing but a return behind its nops. */
TRACED void shortest(void) { __asm__ volatile(""); }
/* A loop that begins at once. */
TRACED int loops(int n) { for (; n > 1; n--) sink = sink + n; return n; }
TRACED int shared(int x) { sink = sink + 3; return x + 3; }
int also_shared(int x) __attribute__((alias("shared")));
STUB(0, 0) int none(int x) { sink = sink + 4; return x + 4; }
STUB(4, 0) int four(int x) { sink = sink + 5; return x + 5; }
STUB(5, 5) int ahead(int x) { sink = sink + 6; return x + 6; }
STUB(7, 2) int split(int x) { sink = sink + 7; return x + 7; }
STUB(5, 0) int five(int x) { sink = sink + 8; return x + 8; }
/* The rarely executed part stands elsewhere. */
TRACED int parted(int x)
{
	if (__builtin_expect(x == 12345, 0)) {
		puts("rare");
		sink = sink * 3 + x;
		return 0;
	}
	return x + 9;
}
__attribute__((WHOLE, visibility("hidden"))) int chosen_here(int x) { sink = sink + 10; return x + 10; }
__attribute__((used, patchable_function_entry(0, 0))) static int (*choose(void))(int) { return chosen_here; }
int chosen(int x) __attribute__((ifunc("choose")));

static int call_all(void)
{
	int bad = plain(1) != 2 || second(1) != 3 || loops(4) != 1 || shared(1) != 4 || also_shared(1) != 4;

	shortest();
	bad |= none(1) != 5 || four(1) != 6 || ahead(1) != 7 || split(1) != 8 || five(1) != 9;
	return bad || parted(1) != 10 || chosen(1) != 11;
}

static const char *const names[] = { "plain", "second", "shortest", "loops", "shared", "also_shared", "none", "four", "ahead",
				     "split", "five", "parted", "chosen_here" };
/* r0 = 0, exit */
static const unsigned char noop[16] = { 0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95 };

static void sum(void *context, const ubpf_probe_info *info)
{
	*(unsigned long long *)context += info->runs;
}

static int count_refused(void *context, const ubpf_refused_stub *stub)
{
	*(int *)context += stub->address != 0 && stub->reason[0] != 0 && stub->function[0] != 0;
	return 1;
}

int main(int argc, char **argv)
{
	ubpf_error error;
	ubpf_program program;
	int refused = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc < 2 || call_all())
		return 2;
	if (ubpf_linux_start(argv[1]) || call_all())
		return 3;
	if (ubpf_load("noop", noop, sizeof(noop), NULL, &program, &error))
		return 4;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned long long runs = 0;
		ubpf_probe probe;

		if (ubpf_attach(names[i], program, NULL, &probe, &error) != 0) {
			printf("%s refused: %s\n", names[i], error.text);
			if (call_all())
				return 5;
			continue;
		}
		if (call_all() || call_all())
			return 6;
		ubpf_list(names[i], sum, &runs, NULL);
		/* Two functions, one code: both names are called. */
		printf("%s %s\n", names[i], runs == 2 || (strstr(names[i], "shared") && runs == 4) ? "runs" : "DOES NOT RUN");
		if (ubpf_detach(probe, &error) || call_all())
			return 7;
	}
	ubpf_refused_stubs(count_refused, &refused, NULL);
	printf("%d refused\n", refused);
	return 0;
}
