/* SPDX-License-Identifier: BSD-3-Clause */
/* A state machine that counts words, numbers, strings and lines of text. */
#include "bench.h"

enum state { BLANK, WORD, NUMBER, STRING, ESCAPE };

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *input = memory + HEADER;
	enum state state = BLANK;
	uint64_t words = 0, numbers = 0, strings = 0, lines = 0;

	for (uint64_t i = 0; i < LIMIT(4096); i++) {
		OPAQUE(i);
		uint32_t c = input[i & 4095] & 127, lower = c | 32;

		if (c == '\n')
			lines++;
		if (state == ESCAPE) {
			state = STRING;
		} else if (state == STRING) {
			if (c == '\\')
				state = ESCAPE;
			else if (c == '"')
				state = BLANK;
		} else if (c == '"') {
			state = STRING;
			strings++;
		} else if (lower - 'a' < 26) {
			words += state != WORD;
			state = WORD;
		} else if (c - '0' < 10) {
			numbers += state == BLANK;
			if (state == BLANK)
				state = NUMBER;
		} else {
			state = BLANK;
		}
	}
	return words << 48 ^ numbers << 32 ^ strings << 16 ^ lines;
}
