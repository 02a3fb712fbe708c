/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The demo application. It knows nothing of the tracer: it is compiled with entry stubs, and everything else happens
 * from the shell.
 */
#include <stdio.h>
#include <unistd.h>

/* A function of its own at every optimisation level: it is there to be traced. */
__attribute__((noinline)) void myfun(void)
{
	printf("body of function myfun\n");
	fflush(stdout);
}

int main(void)
{
	for (;;) {
		myfun();
		sleep(1);
	}
}
