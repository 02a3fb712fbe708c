/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SQLite at work, to be compiled with each kind of entry stub.
 *
 *   sqlite plain ROUNDS                 nanoseconds of one workload (the least), engine not started
 *   sqlite started ROUNDS SOCKET        the same with the engine started: the stubs are made ready
 *   sqlite count ROUNDS SOCKET FUNCTION PROGRAM
 *                                       in turns without and with the program attached to the function
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sqlite3.h"
#include "ubpf_linux.h"
#include "ubpf_rs.h"

#define MOST_ROUNDS 1000

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
	char *error = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail(sql, error);
}

/* Steps through every row of a query; gives a number that depends on all of them. */
static uint64_t query(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	uint64_t mixed = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail(sql, sqlite3_errmsg(db));
	while (sqlite3_step(statement) == SQLITE_ROW)
		mixed = mixed * 31 + (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return mixed;
}

static void insert(sqlite3 *db)
{
	sqlite3_stmt *statement;
	uint32_t state = 12345;
	char text[32];

	if (sqlite3_prepare_v2(db, "insert into item values (?, ?, ?, ?)", -1, &statement, NULL) != SQLITE_OK)
		fail("insert", sqlite3_errmsg(db));
	for (int i = 0; i < 4000; i++) {
		state = state * 1664525 + 1013904223;
		snprintf(text, sizeof(text), "name %08x of %d", state, i);
		sqlite3_bind_int(statement, 1, i);
		sqlite3_bind_int(statement, 2, (int)(state >> 22));
		sqlite3_bind_text(statement, 3, text, -1, SQLITE_TRANSIENT);
		sqlite3_bind_double(statement, 4, state / 1000.0);
		if (sqlite3_step(statement) != SQLITE_DONE)
			fail("insert", sqlite3_errmsg(db));
		sqlite3_reset(statement);
	}
	sqlite3_finalize(statement);
}

/* Not inlined, so that tools can count what happens below it. */
__attribute__((noinline)) uint64_t workload(void)
{
	sqlite3 *db;
	uint64_t mixed = 0;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		fail("open", sqlite3_errmsg(db));
	run(db, "create table item (id integer primary key, kind integer, name text, price real)");
	run(db, "begin");
	insert(db);
	run(db, "create index item_kind on item (kind); commit");
	mixed += query(db, "select count(*) from item where name like '%a1%'");
	mixed += query(db, "select kind, sum(price), max(name) from item group by kind");
	mixed += query(db, "select id from item order by price desc");
	mixed += query(db, "select count(*) from item a join item b on a.kind = b.kind where a.id < 500");
	for (int i = 0; i < 10; i++)
		mixed += query(db, "select id, kind, price from item where price > 1000.0 and kind % 3 = 1");
	run(db, "begin; update item set price = price * 1.1 where kind < 300; delete from item where kind > 900; commit");
	mixed += query(db, "select sum(length(name)) from item");
	sqlite3_close(db);
	return mixed;
}

static double timed(uint64_t *expected)
{
	struct timespec begin, end;
	uint64_t result;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	result = workload();
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (*expected && result != *expected)
		fail("workload", "the results are not those of the round before");
	*expected = result;
	return (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}

/* What else the machine does only adds to a time. */
static double least(const double *times, int count)
{
	double found = times[0];

	for (int i = 1; i < count; i++)
		if (times[i] < found)
			found = times[i];
	return found;
}

static void check(const char *what, int status, const ubpf_error *error)
{
	if (status)
		fail(what, error->text);
}

/* Remembers how often the one attached program ran. */
static void remember(void *hits, const ubpf_probe_info *report)
{
	*(uint64_t *)hits = report->runs;
}

int main(int argc, char **argv)
{
	static double off[MOST_ROUNDS], on[MOST_ROUNDS];
	uint64_t expected = 0, counted = 0;
	ubpf_error error;
	ubpf_program program = 0;
	int rounds = argc > 2 ? atoi(argv[2]) : 0;
	int count = argc == 6 && !strcmp(argv[1], "count");

	if (rounds < 1 || rounds > MOST_ROUNDS || !(argc == 3 || argc == 4 || count))
		fail("usage", "sqlite plain|started|count ROUNDS [SOCKET [FUNCTION PROGRAM]]");
	if (argc > 3 && ubpf_linux_start(argv[3]))
		fail(argv[3], "the engine does not start");
	if (count)
		check("load", ubpf_load_file(argv[5], NULL, &program, &error), &error);
	for (int i = 0; i < rounds; i++) {
		ubpf_probe probe = 0;

		off[i] = timed(&expected);
		if (!count)
			continue;
		check("attach", ubpf_attach(argv[4], program, NULL, &probe, &error), &error);
		on[i] = timed(&expected);
		check("list", ubpf_list(argv[4], remember, &counted, &error), &error);
		check("detach", ubpf_detach(probe, &error), &error);
	}
	printf("off\t%.0f\n", least(off, rounds));
	if (count)
		printf("on\t%.0f\nratio\t%f\nhits\t%" PRIu64 "\n", least(on, rounds), least(on, rounds) / least(off, rounds),
		       counted);
	return 0;
}
