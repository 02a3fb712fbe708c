/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions with names as compilers of C++ and Rust make them; each line that is read calls `bank::Account::deposit(long)` 30 times in 10
 * calls of `bank::Account::deposit(long, long)`, and `shop::price` 7 times.
 */
#include "lines.h"

__attribute__((noipa)) long deposit(long cents) __asm__("_ZN4bank7Account7depositEl");
__attribute__((noipa)) long deposit_often(long cents, long times) __asm__("_ZN4bank7Account7depositEll");
__attribute__((noipa)) long price(long amount) __asm__("_ZN4shop5price17h0123456789abcdefE");

long deposit(long cents)
{
	return cents + 1;
}

long deposit_often(long cents, long times)
{
	long sum = 0;

	while (times-- > 0)
		sum += deposit(cents);
	return sum;
}

long price(long amount)
{
	return amount * 3;
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		for (int time = 0; time < 10; time++)
			deposit_often(time, 3);
		for (int time = 0; time < 7; time++)
			price(time);
		say("done");
	}
	return 0;
}
