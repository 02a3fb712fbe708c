/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include <stdbool.h>
#include <stddef.h>
struct uk_sched;
struct uk_thread {
	struct uk_sched *sched;
	const char *name;
	struct uk_thread *next;
};
extern struct uk_thread *__uk_sched_thread_current;
struct uk_thread *standin_threads(struct uk_sched *s);
#define uk_sched_foreach_thread(s, t) for ((t) = standin_threads(s); (t); (t) = (t)->next)
#define UK_PRIO_LATEST 9
struct standin_thread_init {
	int (*init)(struct uk_thread *);
	void (*term)(struct uk_thread *);
	int prio, flags;
};
#define UK_THREAD_INIT_PRIO_FLAGS(init, term, prio, flags) \
	extern const struct standin_thread_init standin_##term; \
	const struct standin_thread_init standin_##term = { init, term, prio, flags }
typedef void (*uk_thread_fn1_t)(void *) __attribute__((noreturn));
struct uk_thread *uk_thread_current(void);
struct uk_sched *uk_sched_current(void);
void uk_sched_yield(void);
typedef void (*uk_thread_dtor_t)(struct uk_thread *);
struct uk_thread *uk_sched_thread_create_fn1(struct uk_sched *s, uk_thread_fn1_t body, void *arg, size_t stack_len, size_t auxstack_len,
	bool no_uktls, bool no_ectx, const char *name, void *priv, uk_thread_dtor_t dtor);
