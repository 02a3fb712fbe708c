/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Known calls, when a line is read: two threads at a time, or one after the other where the line is `alone` or `many`, call `known_work`,
 * and that `known_often` 1,000 times with 0 to 999, every tenth time `known_seldom` with that number below zero, and once `known_once`.
 * Then, as the line says: `never`: `known_never` once; `many`: `known_often` with 0 to 4,999; `deep`: `known_deep`, which calls itself,
 * with 100; `slow`: `known_slow` three times, which sleeps 2 ms and gives the sum of what it is given; `jump`: `known_jump`, which does
 * not return; `tree`: `tree_root` twice, in each two `tree_branch` of one `tree_leaf` each, and a `tree_leaf`.
 */
#include "lines.h"
#include <setjmp.h>
#include <time.h>

__attribute__((noipa)) long known_often(long number)
{
	return number + 1;
}

__attribute__((noipa)) int known_seldom(const char *name, int number, unsigned char byte)
{
	return name[0] + number + byte;
}

__attribute__((noipa)) int known_once(void)
{
	return 1;
}

__attribute__((noipa)) int known_never(void)
{
	return 2;
}

__attribute__((noipa)) int known_deep(int depth)
{
	int below = depth == 0 ? 0 : known_deep(depth - 1);

	/* It is to stay a call. */
	__asm__ volatile("" : "+r"(below));
	return below + 1;
}

__attribute__((noipa)) long known_slow(long first, int second)
{
	struct timespec time = {0, 2000000};

	while (nanosleep(&time, &time) != 0)
		;
	return first + second;
}

__attribute__((noipa)) int tree_leaf(int number)
{
	return number + 1;
}

__attribute__((noipa)) int tree_branch(int number)
{
	return tree_leaf(number) + 1;
}

__attribute__((noipa)) int tree_root(int number)
{
	return tree_branch(number) + tree_branch(number);
}

static jmp_buf back;

__attribute__((noipa)) int known_jump(void)
{
	longjmp(back, 1);
}

__attribute__((noipa)) void *known_work(void *result)
{
	for (long number = 0; number < 1000; number++) {
		*(volatile long *)result += known_often(number);
		if (number % 10 == 0)
			*(volatile long *)result += known_seldom("name", (int)-number, (unsigned char)number);
	}
	*(volatile long *)result += known_once();
	return NULL;
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		long results[2] = {0, 0};

		if (line[0] == 'a' || line[0] == 'm') {
			known_work(&results[0]);
			known_work(&results[1]);
		} else {
			in_two_threads(known_work, &results[0], known_work, &results[1]);
		}
		if (line[0] == 'n')
			known_never();
		for (long number = 0; line[0] == 'm' && number < 5000; number++)
			known_often(number);
		if (line[0] == 'd')
			known_deep(100);
		for (int number = 0; line[0] == 's' && number < 3; number++)
			known_slow(70000, number);
		if (line[0] == 't')
			tree_leaf(tree_root(1) + tree_root(2));
		if (line[0] == 'j' && setjmp(back) == 0)
			known_jump();
		say("done");
	}
	return 0;
}
