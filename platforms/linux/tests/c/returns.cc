/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that are left in every way there is: by a return, by a call in place of one, by longjmp, by an exception, by the end of their
 * thread. All have entry stubs but those that say UNTRACED.
 */
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define TRACED extern "C" __attribute__((noinline, noclone))
#define UNTRACED extern "C" __attribute__((noinline, patchable_function_entry(0)))

struct pair {
	long first, second;
};

struct doubles {
	double first, second;
};

TRACED pair returns_pair(long a, long b)
{
	return {a + b, a - b};
}

TRACED doubles returns_doubles(double a, double b)
{
	return {a + b, a - b};
}

TRACED long double returns_x87(long double a)
{
	return a / 3;
}

TRACED long returns_sum(long a, long b, long c, long d, long e, long f, long g)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g;
}

/* The results of all of them, as a caller sees them who relies on every register that a call keeps. */
UNTRACED unsigned returns_self_test(void)
{
	unsigned bad = 0;
	pair p = returns_pair(7, 4);
	doubles d = returns_doubles(0.5, 0.25);

	bad |= (p.first != 11 || p.second != 3) << 0;
	bad |= (d.first != 0.75 || d.second != 0.25) << 1;
	bad |= (returns_x87(1.5L) != 1.5L / 3) << 2;
	bad |= (returns_sum(1, 2, 3, 4, 5, 6, 7) != 140) << 3;
	return bad;
}

TRACED long returns_recursion(long n)
{
	long rest = n ? returns_recursion(n - 1) : 0;

	__asm__ volatile("" : "+r"(rest));
	return rest + n;
}

/* Each calls the other in place of its return. */
TRACED long returns_odd(long n);
TRACED long returns_even(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n ? returns_odd(n - 1) : 1;
}

TRACED long returns_odd(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n ? returns_even(n - 1) : 2;
}

static thread_local jmp_buf way_out;

TRACED long returns_jumps(long depth)
{
	long below = depth;

	if (!depth)
		longjmp(way_out, 1);
	else
		below += returns_jumps(depth - 1);
	__asm__ volatile("" : "+r"(below));
	return below;
}

/* 1 where it was left by the jump. */
UNTRACED long returns_jump(long depth)
{
	if (setjmp(way_out))
		return 1;
	return returns_jumps(depth) + 2;
}

struct counted {
	long *left;
	~counted() { ++*left; }
};

TRACED long returns_throws(long depth, long *left)
{
	counted here{left};

	if (!depth)
		throw 42;
	return returns_throws(depth - 1, left) + 1;
}

TRACED long returns_catches(long depth, long *left)
{
	try {
		return returns_throws(depth, left);
	} catch (int thrown) {
		return thrown;
	}
}

/* Calls setjmp itself, returns, and is not left by the jump that comes back to it. */
TRACED long returns_again(long times)
{
	static thread_local jmp_buf here;
	volatile long count = 0;

	setjmp(here);
	count = count + 1;
	if (count < times)
		longjmp(here, 1);
	return count;
}

TRACED long returns_leaf(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

TRACED long returns_calls_leaf(long n)
{
	return returns_leaf(n) + 1;
}

/* A child on this stack, which ends inside of traced functions; its exit code. */
TRACED void returns_ends_child(long code)
{
	if (returns_leaf(code) == code)
		_exit(code);
}

TRACED long returns_vforks(void)
{
	int status = -1;
	pid_t child = vfork();

	if (child == 0)
		returns_ends_child(7);
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* The thread ends here: with its handlers run (0), or without (1). */
TRACED long returns_ends_thread(long how)
{
	if (how)
		syscall(SYS_exit, 0);
	pthread_exit(nullptr);
	return 0;
}

static void *end_inside(void *how)
{
	returns_ends_thread((long)how);
	return nullptr;
}

UNTRACED int returns_thread(long how)
{
	pthread_t thread;

	if (pthread_create(&thread, nullptr, end_inside, (void *)how))
		return -1;
	return pthread_join(thread, nullptr);
}

/* A stack that is no thread's own: whoever resumes it goes on with the calls on it. */
static ucontext_t parked, resumer;
static long parked_result;

TRACED long returns_parks(long n)
{
	swapcontext(&parked, &resumer);
	return n + 1;
}

UNTRACED void park_on_stack(void)
{
	parked_result = returns_parks(41);
	setcontext(&resumer);
}

UNTRACED void *begin_to_park(void *)
{
	static char stack[64 << 10];

	getcontext(&parked);
	parked.uc_stack.ss_sp = stack;
	parked.uc_stack.ss_size = sizeof stack;
	makecontext(&parked, park_on_stack, 0);
	swapcontext(&resumer, &parked);
	return nullptr;
}

/* A thread begins the call, leaves it half way, and ends. */
UNTRACED int returns_park(void)
{
	pthread_t thread;

	parked_result = 0;
	if (pthread_create(&thread, nullptr, begin_to_park, nullptr))
		return -1;
	return pthread_join(thread, nullptr);
}

/* What the call gives, which comes back in this thread. */
UNTRACED long returns_resume(void)
{
	swapcontext(&resumer, &parked);
	return parked_result;
}

/* As services begin: a child of a child goes on with the call. */
TRACED long returns_forks(long times)
{
	int status = -1;

	for (long left = times; left; left--) {
		pid_t child = fork();

		if (child == 0)
			continue;
		if (child < 0 || waitpid(child, &status, 0) != child)
			return -1;
		return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	}
	return 9;
}

/* The result in the last child, which ends with it. */
UNTRACED long returns_forked(long times)
{
	pid_t self = getpid();
	long result = returns_forks(times);

	if (getpid() != self)
		_exit(result < 0 ? 100 : result);
	return result;
}

/* One instruction after the other, in a call of returns_leaf. The handler of each makes calls and looks at the stack, or jumps out. */
extern "C" const char ubpf_return_pad[];
static volatile unsigned long steps, jump_at, pads_seen, pads_lost;
static sigjmp_buf out_of_step;
#define TRAP 0x100

UNTRACED long stepped_call(long n, long trap)
{
	long result;

	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" ::"r"(trap) : "memory", "cc");
	result = returns_leaf(n);
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : "+r"(result)::"memory", "cc");
	return result;
}

static _Unwind_Reason_Code is_caller(_Unwind_Context *context, void *found)
{
	*(bool *)found |= _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context)) == (void *)stepped_call;
	return _URC_NO_REASON;
}

static void step(int, siginfo_t *, void *context)
{
	auto rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	bool found = false;

	if (++steps == jump_at)
		siglongjmp(out_of_step, 1);
	if (jump_at)
		return;
	if (returns_even(2) != 1)
		++pads_lost;
	/* As far as the slot holds the pad, and some instructions further. */
	if (rip - (uintptr_t)ubpf_return_pad > 140)
		return;
	_Unwind_Backtrace(is_caller, &found);
	++*(found ? &pads_seen : &pads_lost);
}

/*
 * Calls returns_leaf and jumps out of that at step `at`, or never for 0. Gives the number of steps; the instructions of the pad from which
 * the caller was seen, and not, are added up in `pads`.
 */
UNTRACED long returns_steps(unsigned long at, unsigned long *pads)
{
	static char stack[256 << 10];
	stack_t own = {stack, 0, sizeof stack}, before_stack;
	struct sigaction action = {}, before;

	action.sa_sigaction = step;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaltstack(&own, &before_stack);
	sigaction(SIGTRAP, &action, &before);
	steps = 0, jump_at = at, pads_seen = 0, pads_lost = 0;
	if (!sigsetjmp(out_of_step, 1) && stepped_call(3, TRAP) != 3)
		steps = 0;
	/* The slot of a call that was left is used again. */
	if (at && stepped_call(3, 0) != 3)
		steps = 0;
	sigaction(SIGTRAP, &before, nullptr);
	sigaltstack(&before_stack, nullptr);
	pads[0] += pads_seen, pads[1] += pads_lost;
	return (long)steps;
}

/* Calls in place of returns, at every depth down to this one. */
UNTRACED long returns_calls_even_below(long depth)
{
	long rest = depth ? returns_calls_even_below(depth - 1) : 1;

	__asm__ volatile("" : "+r"(rest));
	return returns_even(2) == 1 ? rest : 0;
}

/* The same at the bottom of `depth` calls of this function. */
TRACED long returns_steps_below(long depth, unsigned long at, unsigned long *pads)
{
	long steps = depth ? returns_steps_below(depth - 1, at, pads) : returns_steps(at, pads);

	__asm__ volatile("" : "+r"(steps));
	return steps;
}

/*
 * A walk through nested calls that ends each of them somehow. calls[] counts the entries of each function.
 */
struct walk {
	uint64_t random;
	uint64_t left;
	uint64_t calls[8];
	jmp_buf ways[16];
	unsigned ways_known;
};

static unsigned next(walk *w, unsigned below)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(w->random >> 33) % below;
}

typedef long node(walk *, unsigned depth);
extern "C" node walk_0, walk_1, walk_2, walk_3, walk_4, walk_5, walk_6, walk_7;
static node *const nodes[] = {walk_0, walk_1, walk_2, walk_3, walk_4, walk_5, walk_6, walk_7};

static inline __attribute__((always_inline)) long go_on(walk *w, unsigned depth, unsigned number)
{
	long sum = number;

	w->calls[number]++;
	if (!w->left)
		return sum;
	w->left--;
	switch (next(w, 16)) {
	case 0:
		if (w->ways_known)
			longjmp(w->ways[next(w, w->ways_known)], 1);
		break;
	case 1:
		throw depth;
	case 2:
		/* In place of a return. */
		if (depth < 40)
			return nodes[next(w, 8)](w, depth + 1);
		break;
	}
	for (unsigned calls = depth < 40 ? next(w, 3) : 0; calls; calls--) {
		sum += nodes[next(w, 8)](w, depth + 1);
		__asm__ volatile("" : "+r"(sum));
	}
	return sum;
}

#define PLAIN(n)                                                                                                       \
	TRACED long walk_##n(walk *w, unsigned depth)                                                                  \
	{                                                                                                              \
		return go_on(w, depth, n);                                                                             \
	}
PLAIN(0)
PLAIN(1)
PLAIN(2)
PLAIN(3)

#define CATCHES(n)                                                                                                     \
	TRACED long walk_##n(walk *w, unsigned depth)                                                                  \
	{                                                                                                              \
		try {                                                                                                  \
			return go_on(w, depth, n);                                                                     \
		} catch (unsigned) {                                                                                   \
			return returns_leaf(n);                                                                        \
		}                                                                                                      \
	}
CATCHES(4)
CATCHES(5)

#define JUMPED_TO(n)                                                                                                   \
	TRACED long walk_##n(walk *w, unsigned depth)                                                                  \
	{                                                                                                              \
		unsigned own = w->ways_known;                                                                          \
                                                                                                                       \
		if (own < 16 && !setjmp(w->ways[own])) {                                                               \
			w->ways_known = own + 1;                                                                       \
			long sum;                                                                                      \
			try {                                                                                          \
				sum = go_on(w, depth, n);                                                              \
			} catch (unsigned) {                                                                           \
				sum = n;                                                                               \
			}                                                                                              \
			w->ways_known = own;                                                                           \
			return sum;                                                                                    \
		}                                                                                                      \
		if (own < 16)                                                                                          \
			w->ways_known = own;                                                                           \
		else                                                                                                   \
			w->calls[n]++;                                                                                 \
		return n;                                                                                              \
	}
JUMPED_TO(6)
JUMPED_TO(7)

/* About so many calls; adds what it called to `calls`, eight words. What it computes depends on `seed` alone. */
UNTRACED long returns_walk(uint64_t seed, uint64_t count, uint64_t *calls)
{
	walk w = {seed, count, {}, {}, 0};
	long sum = 0;

	while (w.left) {
		w.ways_known = 0;
		try {
			sum = sum * 31 + nodes[next(&w, 8)](&w, 0);
		} catch (unsigned depth) {
			sum ^= depth;
		}
	}
	for (unsigned n = 0; n < 8; n++)
		calls[n] += w.calls[n];
	return sum;
}
