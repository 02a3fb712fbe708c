/* Application code beside the demo's: for tests of what applications do wrong. Compiled with entry stubs. */
#include <stdlib.h>

void greedy(void);
void faulty(void);

/* Takes all memory there is for applications. */
void greedy(void)
{
	for (unsigned long size = 1 << 20; size >= 16; size /= 2)
		while (malloc(size))
			;
}

/* Writes where nothing is. */
void faulty(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}
