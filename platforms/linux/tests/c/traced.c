/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions whose callers rely on every register that a call may not change, compiled once for each kind of entry
 * stub. PREFIX##_self_test runs them and answers with a bit for each that gave a wrong result.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GLUE_(a, b) a##_##b
#define GLUE(a, b) GLUE_(a, b)
#define NAME(f) GLUE(PREFIX, f)
#define TRACED __attribute__((noinline, noclone))
#define UNTRACED __attribute__((noinline, no_instrument_function))

#ifdef __clang__
#undef TRACED
#define TRACED __attribute__((noinline))
#endif

struct large {
	long a[9];
	double d;
};

TRACED void NAME(empty)(void)
{
	__asm__ volatile("");
}

static volatile unsigned long counter;

TRACED void NAME(myfun)(void)
{
	counter = counter + 1;
}

TRACED double NAME(doubles)(double a, double b, double c, double d, double e, double f, double g, double h)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

TRACED long NAME(on_stack)(long a, long b, long c, long d, long e, long f, long g, long h, double x, long i)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + (long)x;
}

TRACED double NAME(variadic)(int n, ...)
{
	va_list list;
	double sum = 0;

	va_start(list, n);
	for (int i = 0; i < n; i++)
		sum += i % 2 ? va_arg(list, double) : (double)va_arg(list, int);
	va_end(list);
	return sum;
}

TRACED struct large NAME(structure)(long seed)
{
	struct large s;

	for (int i = 0; i < 9; i++)
		s.a[i] = seed + i;
	s.d = 0.5 * seed;
	return s;
}

TRACED long NAME(recursion)(long n)
{
	long rest = n ? NAME(recursion)(n - 1) : 0;

	__asm__ volatile("" : "+r"(rest));
	return rest + n;
}

/* Calls back, so that a test can do something while a call has not returned. */
TRACED long NAME(calls)(long (*back)(void *), void *with)
{
	return back(with) + 1;
}

/* With -fipa-ra gcc knows that this changes next to no register, and its caller keeps values in the others. */
TRACED static long NAME(leaf)(long a)
{
	long r;

	__asm__("lea 1(%1), %0" : "=r"(r) : "r"(a));
	return r;
}

TRACED static long NAME(ipa_ra)(long a, long b, long c, long d, long e, long f)
{
	double x = a * 0.5, y = b * 0.25;
	long r = NAME(leaf)(a);

	return r + a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + (long)(x + y);
}

UNTRACED unsigned NAME(self_test)(void)
{
	unsigned bad = 0;
	struct large s = NAME(structure)(40);

	NAME(empty)();
	bad |= (NAME(doubles)(1, 2, 3, 4, 5, 6, 7, 8) != 204) << 0;
	bad |= (NAME(on_stack)(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10) != 303) << 1;
	bad |= (NAME(variadic)(6, 1, 2.5, 3, 4.5, 5, 6.5) != 22.5) << 2;
	bad |= (s.a[8] != 48 || s.d != 20) << 3;
	bad |= (NAME(recursion)(20000) != 200010000) << 4;
	bad |= (NAME(ipa_ra)(8, 4, 3, 2, 1, 1) != 9 + 8 + 8 + 9 + 8 + 5 + 6 + 5) << 5;
	return bad;
}

/* A child that has its parent's memory until it ends; its exit code, or -1. */
UNTRACED int NAME(vforked)(void)
{
	int status = -1;
	pid_t child = vfork();

	if (child == 0) {
		NAME(empty)();
		_exit(NAME(recursion)(100) == 5050 ? 0 : 1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
