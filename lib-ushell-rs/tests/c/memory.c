/* SPDX-License-Identifier: BSD-3-Clause */
/* A heap of every size: a session that finds no memory is not opened, a command says so, and all that was taken is given back. */
#include "platform.h"
#include <ushell_rs.h>

#define STEP 203

static const char *const lines[] = {
	"help\n", "ls -l\n", "cat answer.bin\n", "bpf_exec answer.bin word 1\n", "bpf_attach traced answer.bin --hits 3\n",
	"bpf_list -v\n", "functions\n", "complete \"bpf_attach tr\"\n", "bpf_map_put 1 2 3\n", "bpf_map_del 1 2\n",
	"status\n", "bpf_detach traced\n", "no such thing\n", "put new.bin 3 0x352441c2\nabc", "rm new.bin\n",
	"terminal on\nbpf_att\ttr\t\x03", "terminal off\n", "\x1b[A\x1b[A\n", "bpf_detach traced\n",
};

static void say(ushell_session session, const char *text)
{
	char page[256];
	size_t length = strlen(text);
	ptrdiff_t taken;

	while (length > 0) {
		taken = ushell_feed(session, text, length);
		CHECK(taken >= 0);
		text += taken;
		length -= (size_t)taken;
		while ((taken = ushell_drain(session, page, sizeof(page))) > 0)
			;
		CHECK(taken == 0);
	}
}

static int conversation(void)
{
	ushell_session session = 0;
	int code = ushell_open(NULL, &session);
	size_t i;

	if (code != USHELL_OK)
		return code;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		say(session, lines[i]);
		CHECK(traced(1) == 2);
	}
	CHECK(ushell_close(session) == USHELL_OK);
	return code;
}

/* What an attach that came through has left attached. */
static void clean(void)
{
	size_t detached;

	heap_limit = (size_t)-1;
	CHECK(ubpf_detach_function("traced", NULL, &detached, NULL) == UBPF_OK);
}

int main(void)
{
	size_t room, before, refused = 0, opened = 0;

	CHECK(ubpf_start(test_platform(), NULL, NULL) == UBPF_OK);
	describe_image();
	/* What is made once and kept. */
	CHECK(conversation() == USHELL_OK);
	before = heap_used();
	for (room = 0; room < 100000; room += STEP) {
		int code;

		heap_limit = before + room;
		code = conversation();
		clean();
		CHECK(code == USHELL_OK || code == USHELL_NO_MEMORY);
		CHECK(heap_used() == before);
		code == USHELL_OK ? opened++ : refused++;
	}
	CHECK(refused > 20 && opened > 20);
	return 0;
}
