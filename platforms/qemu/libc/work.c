/* Application code beside the demo's: what a second CPU does, and what applications do wrong. Has entry stubs. */
#include <stdlib.h>

void second_cpu_pause(void);

void second_cpu_work(void);
void second_cpu_main(void);
void greedy(void);
void faulty(void);

volatile unsigned long second_cpu_calls;

/* Traced; silent, as the console is the demo's. */
__attribute__((noinline)) void second_cpu_work(void)
{
	second_cpu_calls++;
}

void second_cpu_main(void)
{
	for (;;) {
		for (int i = 0; i < 100; i++)
			second_cpu_work();
		second_cpu_pause();
	}
}

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
