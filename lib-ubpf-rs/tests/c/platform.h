/* SPDX-License-Identifier: BSD-3-Clause */
/* The platform of the test programs: memory with a limit, files and a console in memory, text patched in place. */
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ubpf_rs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that the library may hold at most; what would exceed them is not given. */
extern size_t heap_limit;
/* After so many more allocations one fails, and all behind it where it is for good; (size_t)-1: none does. */
extern size_t heap_fails_after;
extern int heap_fails_for_good;
/* What it is from then on. */
#define HEAP_FAILED ((size_t)-2)
/* Bytes that it holds. */
size_t heap_used(void);
extern char console[4096];

const ubpf_platform *test_platform(void);
/* The same with memory for code, of which so many bytes are in use. */
const ubpf_platform *test_platform_with_code(void);
extern size_t code_in_use;

/* A struct of the C interface with its size and zeros. */
#define SIZED(thing) (memset(&(thing), 0, sizeof(thing)), (thing).size = sizeof(thing))
/* Tells the engine the entry stubs and the function `traced`. */
void describe_image(void);
/* Where its entry stub stands, from its start. */
uint64_t traced_offset(void);
/* Traced; gives its argument plus one. */
int traced(int number);

#ifdef __cplusplus
}
#endif

#define CHECK(what)                                                              \
	do {                                                                     \
		if (!(what)) {                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                                 \
		}                                                                \
	} while (0)

/* r0 = 42; exit */
static const unsigned char answer[] = {0xb7, 0, 0, 0, 42, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};
/* r1 = *(u64 *)r1; r6 = r1; r2 = 7; map_get; r0 += 1; r1 = r6; r2 = 7; r3 = r0; map_put; r0 = 0; exit */
static const unsigned char count[] = {
	0x79, 0x11, 0, 0, 0, 0, 0, 0, 0xbf, 0x16, 0, 0, 0, 0, 0, 0, 0xb7, 2, 0, 0, 7, 0, 0, 0,
	0x85, 0, 0, 0, 0, 0, 0, 0,    0x07, 0, 0, 0, 1, 0, 0, 0,    0xbf, 0x61, 0, 0, 0, 0, 0, 0,
	0xb7, 2, 0, 0, 7, 0, 0, 0,    0xbf, 0x03, 0, 0, 0, 0, 0, 0, 0x85, 0, 0, 0, 1, 0, 0, 0,
	0xb7, 0, 0, 0, 0, 0, 0, 0,    0x95, 0, 0, 0, 0, 0, 0, 0,
};
/* loads from address 0 */
static const unsigned char wild[] = {
	0xb7, 1, 0, 0, 0, 0, 0, 0, 0x61, 0x10, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0,
};

#endif
