/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The demo application. It knows nothing of the tracer: it is compiled with entry stubs, and everything else happens
 * from the shell. On Linux it starts the shell itself; in a unikernel the library is there before main() runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef UBPF_DEMO_LINUX
#include <string.h>
#include <ubpf_linux.h>
#include <ushell_rs.h>
#endif

/* Milliseconds between two calls of myfun; 0: a second. */
static volatile int period_ms;

/*
 * Before each line of the application, what hooks have reported is written out. In a unikernel whoever owns the console does that by
 * itself.
 */
static inline __attribute__((always_inline)) void drain(void)
{
#ifdef UBPF_DEMO_LINUX
	ubpf_linux_drain();
#endif
}

/* A function of its own at every optimisation level: it is there to be traced. */
__attribute__((noinline)) void myfun(void)
{
	drain();
	printf("body of function myfun\n");
	fflush(stdout);
}

static void pause_between_calls(void)
{
	int period = period_ms;

	if (period > 0)
		usleep((unsigned int)period * 1000);
	else
		sleep(1);
}

#ifdef UBPF_DEMO_LINUX
/* The shell's command `period`: an application adds its own commands beside the built-in ones. */
static int period_command(void *context, int argc, const char *const *argv, ushell_output *out)
{
	char text[64];
	char *end = "";
	long period = argc > 1 ? strtol(argv[1], &end, 10) : period_ms;

	(void)context;
	if (*end || period < 0 || period > 60000) {
		snprintf(text, sizeof(text), "MS: a number from 0 to 60000\n");
		ushell_write(out, text, strlen(text));
		return 1;
	}
	period_ms = (int)period;
	snprintf(text, sizeof(text), "%ld ms\n", period > 0 ? period : 1000);
	ushell_write(out, text, strlen(text));
	return 0;
}

/* Engine and shell, which a unikernel has before main() runs. */
static int start_shell(const char *socket)
{
	int code = ushell_register_command("period", "[MS]", "show or set the pause between two calls of myfun",
					   period_command, NULL);

	return code == USHELL_OK ? ubpf_linux_start(socket) : code;
}
#endif

int main(int argc, char *argv[])
{
#ifdef UBPF_DEMO_LINUX
	if (argc < 2) {
		fprintf(stderr, "usage: %s SOCKET [PERIOD_MS]\n", argv[0]);
		return 64;
	}
	if (start_shell(argv[1]) != 0)
		return 1;
	argc--;
	argv++;
#endif
	if (argc > 1)
		period_ms = atoi(argv[1]);
	for (;;) {
		myfun();
		pause_between_calls();
	}
}
