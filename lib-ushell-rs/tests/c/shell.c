/* SPDX-License-Identifier: BSD-3-Clause */
/* Every call of ushell_rs.h as an application uses it, and with what it must refuse. Compiled as C99 and as C++. */
#include "platform.h"
#include <errno.h>
#include <ushell_rs.h>

static char said[65536];

/* Feeds a text, taking what the shell says meanwhile; gives all of it. */
static const char *say_bytes(ushell_session session, const char *bytes, size_t length)
{
	size_t end = 0;
	ptrdiff_t count;

	for (;;) {
		count = ushell_feed(session, bytes, length);
		CHECK(count >= 0 && (size_t)count <= length);
		bytes += count;
		length -= (size_t)count;
		while ((count = ushell_drain(session, said + end, 100)) > 0) {
			end += (size_t)count;
			CHECK(end + 100 < sizeof(said));
		}
		CHECK(count == 0);
		if (length == 0)
			break;
	}
	said[end] = 0;
	return said;
}

static const char *say(ushell_session session, const char *text)
{
	return say_bytes(session, text, strlen(text));
}

#define SAYS(session, text, answer) CHECK(strcmp(say(session, text), answer) == 0)

static int raised;

static int note_signal(int number)
{
	raised = number;
	return number == 9;
}

/* CRC-32 as zlib computes it. */
static uint32_t crc32_of(const unsigned char *bytes, size_t length)
{
	uint32_t crc = 0xffffffffu;
	size_t i;
	int bit;

	for (i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

static void put(ushell_session session, const char *name, const unsigned char *bytes, size_t length)
{
	char line[600];
	int end = snprintf(line, 80, "put %s %lu 0x%lx\n", name, (unsigned long)length,
			   (unsigned long)crc32_of(bytes, length));

	memcpy(line + end, bytes, length);
	CHECK(strstr(say_bytes(session, line, (size_t)end + length), " bytes written.\n> ") != NULL);
}

static void before_the_start(void)
{
	ushell_session session = 1;

	CHECK(strcmp(ushell_version(), ubpf_version()) == 0);
	CHECK(ushell_open(NULL, &session) == USHELL_NOT_STARTED && session == 0);
	CHECK(strstr(ushell_error_text(USHELL_NOT_STARTED), "ubpf_start") != NULL);
	CHECK(strcmp(ushell_error_text(USHELL_OK), "no error") == 0);
	CHECK(strcmp(ushell_error_text(-12345), "unknown code") == 0);
	CHECK(ushell_close(session) == USHELL_STALE);
}

static void programs_are_uploaded_attached_and_listed(ushell_session session)
{
	SAYS(session, "ls\n", "> answer.bin\n> ");
	put(session, "count", count, sizeof(count));
	SAYS(session, "ls\n", "answer.bin\ncount\n> ");
	SAYS(session, "bpf_exec answer.bin\n", "The program returned: 42\n> ");
	SAYS(session, "bpf_attach traced count\n", "Program was attached successfully.\n> ");
	CHECK(traced(1) == 2);
	SAYS(session, "bpf_list\n", "traced:\n - count\n> ");
	SAYS(session, "bpf_detach traced\n", "Program was detached successfully.\n> ");
	SAYS(session, "rm count\nls\n", "> answer.bin\n> ");
}

static void a_reader_comes_and_goes(ushell_session session)
{
	SAYS(session, "put half 100 0\nhalf of it", "");
	CHECK(ushell_disconnected(session) == USHELL_OK && ushell_connected(session) == USHELL_OK);
	SAYS(session, "ls\n", "> answer.bin\n> ");
	CHECK(ushell_wants_close(session) == 0);
	SAYS(session, "quit\n", "");
	CHECK(ushell_wants_close(session) == 1);
	SAYS(session, "ls\n", "> answer.bin\n> ");
	CHECK(ushell_wants_close(session) == 0);
}

static void signals(void)
{
	ushell_config config;
	ushell_session session = 0;

	memset(&config, 0, sizeof(config));
	CHECK(ushell_open(&config, &session) == USHELL_INVALID && session == 0);
	SIZED(config);
	CHECK(ushell_open(&config, &session) == USHELL_OK);
	SAYS(session, "kill 5\n", "> this platform has no signals\n> ");
	CHECK(ushell_close(session) == USHELL_OK);
	config.raise = note_signal;
	config.file_limit = 10;
	CHECK(ushell_open(&config, &session) == USHELL_OK);
	SAYS(session, "kill 5\n", "> > ");
	CHECK(raised == 5);
	CHECK(strstr(say(session, "kill 9\n"), "was not raised") != NULL);
	CHECK(strstr(say(session, "put a 11 0\n0123456789a"), "limit 10 bytes") != NULL);
	CHECK(ushell_close(session) == USHELL_OK);
}

/* Called with its own session as context: says what the calls of this interface give within a command. */
static int inner(void *context, int argc, const char *const *argv, ushell_output *out)
{
	ushell_session session = *(ushell_session *)context;
	char text[80];

	CHECK(argc == 2 && argv[2] == NULL && strcmp(argv[0], "inner") == 0);
	CHECK(ushell_feed(session, "ls\n", 3) == USHELL_BUSY);
	CHECK(ushell_drain(session, text, sizeof(text)) == USHELL_BUSY);
	CHECK(ushell_close(session) == USHELL_BUSY && ushell_disconnected(session) == USHELL_BUSY);
	CHECK(ubpf_map_put(1, 2, 3, NULL) == UBPF_OK);
	snprintf(text, sizeof(text), "hello %s\n", argv[1]);
	ushell_write(out, text, strlen(text));
	ushell_write(NULL, text, 1);
	return strcmp(argv[1], "nobody") == 0 ? 7 : 0;
}

static void commands_of_the_application(ushell_session session)
{
	static ushell_session own;

	own = session;
	CHECK(ushell_register_command(NULL, NULL, NULL, inner, &own) == USHELL_INVALID);
	CHECK(ushell_register_command("inner", NULL, NULL, NULL, &own) == USHELL_INVALID);
	CHECK(ushell_register_command("in ner", NULL, NULL, inner, &own) == USHELL_INVALID);
	CHECK(ushell_register_command("help", NULL, NULL, inner, &own) == USHELL_EXISTS);
	CHECK(ushell_register_command("inner", "NAME", "greet\nand more", inner, &own) == USHELL_OK);
	CHECK(ushell_register_command("inner", "NAME", "greet", inner, &own) == USHELL_EXISTS);
	SAYS(session, "inner you\n", "hello you\n> ");
	SAYS(session, "inner nobody\n", "hello nobody\ninner failed (code 7)\n> ");
	SAYS(session, "inner\n", "NAME is missing\nUsage: inner NAME\n> ");
	SAYS(session, "help inner\n", "Usage: inner NAME\ngreet\nand more\n> ");
	CHECK(strstr(say(session, "help\n"), "\ninner NAME                   greet\n") != NULL);
	SAYS(session, "complete inn\n", "inner\n> ");
}

static void wrong_arguments(ushell_session session)
{
	struct {
		ushell_config known;
		size_t later;
	} newer;
	ushell_session other = 1;
	char byte;
	char *name = (char *)calloc(1, 100001);

	memset(name, 'n', 100000);
	CHECK(ushell_register_command(name, NULL, NULL, inner, NULL) == USHELL_INVALID);
	name[65] = 0;
	CHECK(ushell_register_command(name, NULL, NULL, inner, NULL) == USHELL_INVALID);
	name[64] = 0;
	CHECK(ushell_register_command(name, NULL, NULL, inner, NULL) == USHELL_OK);
	free(name);
	/* A newer caller: zeros ask for nothing. */
	SIZED(newer.known);
	newer.known.size = sizeof(newer);
	newer.later = 1;
	CHECK(ushell_open(&newer.known, &other) == USHELL_UNSUPPORTED && other == 0);
	newer.later = 0;
	CHECK(ushell_open(&newer.known, &other) == USHELL_OK && ushell_close(other) == USHELL_OK);

	CHECK(ushell_open(NULL, NULL) == USHELL_INVALID);
	CHECK(ushell_feed(session, NULL, 0) == 0 && ushell_drain(session, NULL, 0) == 0);
	CHECK(ushell_feed(session, NULL, 1) == USHELL_INVALID);
	CHECK(ushell_feed(session, "x", (size_t)-1) == USHELL_INVALID);
	CHECK(ushell_drain(session, NULL, 1) == USHELL_INVALID);
	CHECK(ushell_drain(session, &byte, (size_t)-1) == USHELL_INVALID);
}

static void stale_handles(ushell_session session)
{
	ushell_session other = 0;
	char byte;

	CHECK(ushell_close(session) == USHELL_OK);
	CHECK(ushell_open(NULL, &other) == USHELL_OK && other != 0 && other != session);
	CHECK(ushell_close(session) == USHELL_STALE && ushell_connected(session) == USHELL_STALE);
	CHECK(ushell_feed(session, "ls\n", 3) == USHELL_STALE && ushell_drain(session, &byte, 1) == USHELL_STALE);
	CHECK(ushell_wants_close(session) == USHELL_STALE && ushell_disconnected(session) == USHELL_STALE);
	CHECK(ushell_feed(0, "ls\n", 3) == USHELL_STALE);
	CHECK(ushell_close(other) == USHELL_OK);
}

static int lie;
static ubpf_each_entry kept_each;
static char long_name[70000];

/* Entries that no folder can have, and what a caller that means ill does with the function that takes them. */
static int lying_list(void *context, const char *path, ubpf_each_entry each, void *cookie)
{
	char name[16];
	int i;

	(void)context, (void)path;
	kept_each = each;
	switch (lie) {
	case 0: /* controls, no UTF-8, nothing, what leads out of the folder, one name twice */
		each(cookie, "red\033[31m\n> rm x", 15, 1, 0);
		each(cookie, "\377\376", 2, 1, 0);
		each(cookie, "", 0, 1, 0);
		each(cookie, NULL, 0, 1, 0);
		each(cookie, "../out", 6, UINT64_MAX, 0);
		each(cookie, "same", 4, 1, 0);
		each(cookie, "same", 4, 2, 1);
		each(cookie, "zero\0byte", 9, 1, 0);
		return 0;
	case 1: /* more than there is room for on a line, or in a name */
		memset(long_name, 'n', sizeof(long_name));
		each(cookie, long_name, sizeof(long_name), 1, 0);
		return 0;
	case 2: /* an error after entries */
		each(cookie, "half", 4, 1, 0);
		return EIO;
	case 3: /* no error number at all */
		return -1;
	default: /* very many */
		for (i = 0; i < 3000; i++) {
			snprintf(name, sizeof(name), "f%06d", i * 7919 % 3000);
			each(cookie, name, 7, 1, 0);
		}
		return 0;
	}
}

/* Whatever the platform's folder says, the answer is printable, has an end, and the shell goes on. */
static void a_folder_that_lies(void)
{
	ubpf_platform liar = *test_platform();
	ushell_session session = 0;
	const char *list, *c;

	liar.directory_list = lying_list;
	CHECK(ubpf_start(&liar, NULL, NULL) == UBPF_OK && ushell_open(NULL, &session) == USHELL_OK);
	for (lie = 0; lie <= 4; lie++) {
		list = say(session, "ls\n");
		for (c = list; *c; c++)
			CHECK(*c == '\n' || (*c >= ' ' && *c != 127));
		if (lie == 0)
			CHECK(strstr(list, "same\n") != NULL && strstr(list, "../out\n") != NULL);
		if (lie == 2 || lie == 3)
			CHECK(strstr(list, "half") == NULL && strstr(list, "input/output error") != NULL);
		if (lie == 4)
			CHECK(strstr(list, "f000000\nf000001\n") != NULL && strstr(list, "f002999\n> ") != NULL);
		say(session, "complete bpf_exec s\ncomplete cat f00\ncomplete rm ../\n");
		SAYS(session, "bpf_exec answer.bin\n", "The program returned: 42\n> ");
	}
	CHECK(ushell_close(session) == USHELL_OK && ubpf_stop(NULL) == UBPF_OK);
}

/* Not while a session is open. */
static void the_engine_stops(void)
{
	ushell_session session = 0;

	CHECK(ushell_open(NULL, &session) == USHELL_OK);
	SAYS(session, "bpf_attach traced answer.bin\n", "> Program was attached successfully.\n> ");
	CHECK(ubpf_stop(NULL) == UBPF_BUSY);
	SAYS(session, "bpf_list\n", "traced:\n - answer.bin\n> ");
	CHECK(ushell_close(session) == USHELL_OK && ubpf_stop(NULL) == UBPF_OK);
	CHECK(ushell_open(NULL, &session) == USHELL_NOT_STARTED && traced(1) == 2);
	CHECK(ubpf_start(test_platform(), NULL, NULL) == UBPF_OK && ushell_open(NULL, &session) == USHELL_OK);
	SAYS(session, "bpf_list\ncomplete inn\n", "> > inner\n> ");
	CHECK(ushell_close(session) == USHELL_OK && ubpf_stop(NULL) == UBPF_OK);
}

int main(void)
{
	ushell_session session = 0, other = 0;

	before_the_start();
	CHECK(ubpf_start(test_platform(), NULL, NULL) == UBPF_OK);
	describe_image();
	CHECK(ushell_open(NULL, &session) == USHELL_OK && session != 0);
	CHECK(ushell_connected(session) == USHELL_OK);
	programs_are_uploaded_attached_and_listed(session);
	a_reader_comes_and_goes(session);
	signals();
	commands_of_the_application(session);
	/* Another session has the commands, too, and a conversation of its own. */
	CHECK(ushell_open(NULL, &other) == USHELL_OK && other != session);
	SAYS(session, "inn", "");
	SAYS(other, "complete inn\n", "> inner\n> ");
	SAYS(session, "er you\n", "hello you\n> ");
	CHECK(ushell_close(other) == USHELL_OK);
	wrong_arguments(session);
	stale_handles(session);
	the_engine_stops();
	a_folder_that_lies();
	return 0;
}
