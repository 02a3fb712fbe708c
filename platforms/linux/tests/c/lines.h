/* SPDX-License-Identifier: BSD-3-Clause */
/* A process with the engine, which does something known each time a line is read. */
#ifndef TESTS_LINES_H
#define TESTS_LINES_H

#include "ubpf_linux.h"
#include <pthread.h>
#include <stdio.h>

#define LINE 16

static inline void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

/** Starts the engine with its shell at the socket that is named, and says so; whether that went well. */
static inline int is_started(int argc, char **argv)
{
	if (argc < 2 || ubpf_linux_start(argv[1]) != 0)
		return 0;
	say("ready");
	return 1;
}

/** Waits for a line; whether there is one. */
static inline int is_asked(char line[LINE])
{
	return fgets(line, LINE, stdin) != NULL;
}

/** Runs both, each in a thread of its own with its own argument, and waits for them. */
static inline void in_two_threads(void *(*first)(void *), void *of_first, void *(*second)(void *), void *of_second)
{
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, first, of_first);
	pthread_create(&threads[1], NULL, second, of_second);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

#endif /* TESTS_LINES_H */
