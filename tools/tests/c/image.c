/* SPDX-License-Identifier: BSD-3-Clause */
/* An application with an engine, a shell, a function to trace, and whatever programs are linked to it. */
#include <stdio.h>
#include <unistd.h>

int ubpf_linux_start(const char *socket);

__attribute__((noinline)) void work(void)
{
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	alarm(120);
	if (argc < 2 || ubpf_linux_start(argv[1]))
		return 1;
	for (;;) {
		work();
		usleep(1000);
	}
}
