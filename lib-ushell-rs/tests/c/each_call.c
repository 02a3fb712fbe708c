/* SPDX-License-Identifier: BSD-3-Clause */
/* Every function of ushell_rs.h while memory ends in it. */
#include "../../../lib-ubpf-rs/tests/c/each_call.h"
#include <ushell_rs.h>

static ushell_session session;
static const char *line;
static char long_name[100001];

static int print(void *context, int argc, const char *const *argv, ushell_output *out)
{
	(void)context;
	(void)argc;
	ushell_write(out, argv[0], strlen(argv[0]));
	return 0;
}

static void drain_all(void)
{
	char page[4096];

	while (ushell_drain(session, page, sizeof(page)) > 0)
		;
}

static void open_session(void)
{
	CHECK(ushell_open(NULL, &session) == USHELL_OK);
	CHECK(ushell_connected(session) == USHELL_OK);
	drain_all();
}

static void close_session(int code)
{
	(void)code;
	if (session)
		CHECK(ushell_close(session) == USHELL_OK);
	session = 0;
	CHECK(ubpf_reset(NULL) == UBPF_OK);
}

static int call_version(void)
{
	return ushell_version() == NULL;
}

static int call_error_text(void)
{
	return ushell_error_text(-12) == NULL;
}

static int call_open(void)
{
	int code = ushell_open(NULL, &session);

	CHECK(code == USHELL_OK || session == 0);
	return code;
}

static int call_close(void)
{
	int code = ushell_close(session);

	if (code == USHELL_OK)
		session = 0;
	return code;
}

static int call_connected(void)
{
	return ushell_connected(session);
}

static int call_disconnected(void)
{
	return ushell_disconnected(session);
}

static int call_wants_close(void)
{
	return ushell_wants_close(session);
}

/* A line is taken, whatever becomes of it. */
static int call_feed(void)
{
	const char *rest = line;
	size_t length = strlen(line);
	char page[256];

	while (length > 0) {
		ptrdiff_t taken = ushell_feed(session, rest, length);

		CHECK(taken >= 0 && (size_t)taken <= length);
		rest += taken;
		length -= (size_t)taken;
		while ((taken = ushell_drain(session, page, sizeof(page))) > 0)
			;
		CHECK(taken == 0);
	}
	return 0;
}

static void with_output(void)
{
	open_session();
	CHECK(ushell_feed(session, "help\n", 5) == 5);
}

static int call_drain(void)
{
	drain_all();
	return 0;
}

static int call_register_command(void)
{
	static unsigned number;
	char name[30];
	int code = ushell_register_command(long_name, NULL, NULL, print, NULL);

	CHECK(code == USHELL_INVALID || code == USHELL_NO_MEMORY);
	code = ushell_register_command("long", long_name, NULL, print, NULL);
	CHECK(code == USHELL_INVALID || code == USHELL_NO_MEMORY);
	code = ushell_register_command("long", NULL, long_name, print, NULL);
	CHECK(code == USHELL_INVALID || code == USHELL_NO_MEMORY);
	sprintf(name, "command-%u", number);
	code = ushell_register_command(name, "[ARG...]", "said by the test", print, NULL);
	number += code == USHELL_OK;
	return code;
}

static void with_command(void)
{
	int code = ushell_register_command("print", NULL, "prints its name", print, NULL);

	CHECK(code == USHELL_OK || code == USHELL_EXISTS);
	line = "print a b c\n";
	open_session();
}

static const struct row rows[] = {
	{"ushell_version", NULL, call_version, NULL},
	{"ushell_error_text", NULL, call_error_text, NULL},
	{"ushell_open", NULL, call_open, close_session},
	{"ushell_close", open_session, call_close, close_session},
	{"ushell_connected", open_session, call_connected, close_session},
	{"ushell_disconnected", with_output, call_disconnected, close_session},
	{"ushell_wants_close", with_output, call_wants_close, close_session},
	{"ushell_drain", with_output, call_drain, close_session},
	{"ushell_register_command", NULL, call_register_command, NULL},
	{"ushell_write", with_command, call_feed, close_session},
	/* With each of the lines below. */
	{"ushell_feed", open_session, call_feed, close_session},
};

/* Longer than a line may be; as long as one may be, of a word and of words of one letter; and as functions that there are not. */
static char long_line[6000], many_words[1025], unknown_function[1025], long_function[2000];

static const char *const lines[] = {
	"help\n", "help bpf_attach\n", "status\n", "ls -l\n", "cat answer.bin\n", "cat missing\n", "bpf_exec answer.bin word 1\n",
	"bpf_attach traced answer.bin --hits 3\nbpf_list -v\nbpf_list traced\nbpf_detach traced\n", "functions\n",
	"complete \"bpf_attach tr\"\n", "bpf_map_put 1 2 3\nbpf_map_list\nbpf_map_del 1 2\n", "no such thing\n",
	"put new.bin 3 0x352441c2\nabcrm new.bin\n", "put bad.bin 3 0\nabc", "terminal on\nbpf_att\ttr\t\x03terminal off\n",
	"\x1b[A\x1b[A\n", "bench traced answer.bin --runs 3\n", "load symbols\n", "print a b c d e f g h\n", "stats on\nstats off\n",
	"bpf_get_addr traced\n", "bpf_get_ret_addr traced\n", "version\n", "kill 5\n", "session 1\n", "bpf_exec \"unfinished\n", long_line,
	many_words, unknown_function, long_function,
};

int main(void)
{
	size_t i;

	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_line, 'l', sizeof(long_line) - 2);
	long_line[sizeof(long_line) - 2] = '\n';
	for (i = 0; i < sizeof(many_words) - 1; i++)
		many_words[i] = i % 2 ? ' ' : 'w';
	memcpy(many_words, "print", 5);
	memset(unknown_function, 'u', sizeof(unknown_function) - 1);
	memcpy(unknown_function, "bpf_detach ", 11);
	memset(long_function, 't', sizeof(long_function) - 1);
	memcpy(long_function, "bpf_list ", 9);
	many_words[1023] = unknown_function[1023] = long_function[1000] = '\n';
	long_function[1001] = 0;
	CHECK(ubpf_start(test_platform_with_code(), NULL, NULL) == UBPF_OK);
	describe_image();
	line = "status\n";
	play_all(rows, sizeof(rows) / sizeof(rows[0]));
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		line = lines[i];
		play(&rows[sizeof(rows) / sizeof(rows[0]) - 1], 0);
		play(&rows[sizeof(rows) / sizeof(rows[0]) - 1], 1);
	}
	return 0;
}
