/* SPDX-License-Identifier: BSD-3-Clause */
/* A shell over a platform of its own: commands from standard input, answers on standard output. */
#include "platform.h"
#include <stdio.h>
#include <string.h>
#include <ushell_rs.h>

/* Writes what the shell has to say. */
static void say(ushell_session shell)
{
	char text[512];
	ptrdiff_t length;

	while ((length = ushell_drain(shell, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)length, stdout);
}

int main(int argc, char **argv)
{
	ubpf_platform below = platform(argc > 1 && strcmp(argv[1], "--machine-code") == 0);
	ushell_session shell;
	ubpf_error error;
	char line[512];

	if (ubpf_start(&below, NULL, &error) != UBPF_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	/* r0 = 42; exit */
	if (below.file_write(NULL, "answer.bin", "\xb7\0\0\0\x2a\0\0\0\x95\0\0\0\0\0\0", 16) != 0 ||
	    ushell_open(NULL, &shell) != USHELL_OK) {
		fprintf(stderr, "out of memory\n");
		return 1;
	}
	ushell_connected(shell);
	say(shell);
	while (!ushell_wants_close(shell) && fgets(line, sizeof(line), stdin)) {
		size_t length = strlen(line), taken = 0;

		while (taken < length) {
			ptrdiff_t count = ushell_feed(shell, line + taken, length - taken);

			if (count < 0) {
				fprintf(stderr, "%s\n", ushell_error_text((int)count));
				return 1;
			}
			taken += (size_t)count;
			say(shell);
		}
	}
	say(shell);
	putchar('\n');
	ushell_close(shell);
	return 0;
}
