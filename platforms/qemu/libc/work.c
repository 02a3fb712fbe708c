/* Application code beside the demo's: what a second CPU does, what is known to wait and to lose memory, and what applications do wrong. Has entry stubs. */
#include <stdlib.h>
#include <unistd.h>

void second_cpu_pause(void);

void second_cpu_work(void);
void second_cpu_main(void);
void work_round(void);
void greedy(void);
void faulty(void);

volatile unsigned long second_cpu_calls, work_rounds;

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

/* What `work_round` allocates and never frees, what it frees again, and how long it sleeps: `cargo xtask qemu tools` knows them. */
enum { LOST = 48, USED = 200, PAUSE_US = 20000 };

static __attribute__((noinline)) void lose(void)
{
	char *volatile lost = malloc(LOST);

	(void)lost;
}

static __attribute__((noinline)) void use(void)
{
	char *volatile used = malloc(USED);

	free(used);
}

/* One of the rounds that the shell's command `work` wants. */
void work_round(void)
{
	lose();
	use();
	usleep(PAUSE_US);
	work_rounds++;
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
