/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SQLite at work for ever: a database in memory, a batch of inserts, a query over all rows, one line per batch. It
 * knows nothing of the tracer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "sqlite3.h"

#define ROWS 1000
/* The scheduler is cooperative: between batches the application gives way. */
#define PAUSE_US 20000

static void check(sqlite3 *db, int code, int wanted, const char *what)
{
	if (code == wanted)
		return;
	fprintf(stderr, "sqlite: %s: %s\n", what, sqlite3_errmsg(db));
	exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
	check(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, sql);
}

static void insert_rows(sqlite3 *db, sqlite3_stmt *insert, unsigned int batch)
{
	unsigned int row;

	run(db, "BEGIN");
	for (row = 0; row < ROWS; row++) {
		sqlite3_bind_int(insert, 1, (int)row);
		sqlite3_bind_int(insert, 2, (int)((row * 7919 + batch) % 1000));
		check(db, sqlite3_step(insert), SQLITE_DONE, "insert");
		sqlite3_reset(insert);
	}
	run(db, "COMMIT");
}

/* Reads every row one by one; gives the sum of their values. */
static long long read_rows(sqlite3 *db, sqlite3_stmt *query, unsigned int *rows)
{
	long long sum = 0;
	int code;

	*rows = 0;
	while ((code = sqlite3_step(query)) == SQLITE_ROW) {
		sum += sqlite3_column_int64(query, 1);
		(*rows)++;
	}
	check(db, code, SQLITE_DONE, "select");
	sqlite3_reset(query);
	return sum;
}

int main(int argc, char *argv[])
{
	/* 0: for ever */
	unsigned int batches = argc > 1 ? (unsigned int)atoi(argv[1]) : 0, batch = 0, rows;
	sqlite3_stmt *insert, *query;
	sqlite3 *db = NULL;

	printf("SQLite %s\n", sqlite3_libversion());
	check(db, sqlite3_open(":memory:", &db), SQLITE_OK, "open");
	run(db, "CREATE TABLE item (id INTEGER PRIMARY KEY, value INTEGER)");
	check(db, sqlite3_prepare_v2(db, "INSERT INTO item VALUES (?, ?)", -1, &insert, NULL), SQLITE_OK, "insert");
	check(db, sqlite3_prepare_v2(db, "SELECT id, value FROM item", -1, &query, NULL), SQLITE_OK, "select");
	while (batches == 0 || batch < batches) {
		long long sum;

		insert_rows(db, insert, ++batch);
		sum = read_rows(db, query, &rows);
		printf("batch %u: %u rows, sum %lld\n", batch, rows, sum);
		fflush(stdout);
		run(db, "DELETE FROM item");
		usleep(PAUSE_US);
	}
	sqlite3_finalize(insert);
	sqlite3_finalize(query);
	sqlite3_close(db);
	return 0;
}
