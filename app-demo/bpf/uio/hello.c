/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints a line. The text is on the stack: a flat program has no data section. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	volatile char text[8];

	(void)arg;
	text[0] = 'h';
	text[1] = 'e';
	text[2] = 'l';
	text[3] = 'l';
	text[4] = 'o';
	text[5] = '\0';
	bpf_puts((const char *)text);
	return 0;
}
