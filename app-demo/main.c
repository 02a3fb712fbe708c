/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The demo application. It knows nothing of the tracer: it is compiled with entry stubs, and everything else happens
 * from the shell. On Linux it starts the shell itself; in a unikernel the library is there before main() runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef UBPF_DEMO_LINUX
#include <ubpf_linux.h>
#endif

/* A function of its own at every optimisation level: it is there to be traced. */
__attribute__((noinline)) void myfun(void)
{
	printf("body of function myfun\n");
	fflush(stdout);
}

/* Once a second; with a period, every so many milliseconds. */
static void pause_between_calls(int period_ms)
{
	if (period_ms > 0)
		usleep((unsigned int)period_ms * 1000);
	else
		sleep(1);
}

int main(int argc, char *argv[])
{
	int period_ms = 0;

#ifdef UBPF_DEMO_LINUX
	if (argc < 2) {
		fprintf(stderr, "usage: %s SOCKET [PERIOD_MS]\n", argv[0]);
		return 64;
	}
	if (ubpf_linux_start(argv[1]) != 0)
		return 1;
	argc--;
	argv++;
#endif
	if (argc > 1)
		period_ms = atoi(argv[1]);
	for (;;) {
		myfun();
		pause_between_calls(period_ms);
	}
}
