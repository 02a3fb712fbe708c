/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include <stddef.h>
struct uk_sched;
struct uk_thread {
	struct uk_sched *sched;
};
typedef void (*uk_thread_fn1_t)(void *) __attribute__((noreturn));
struct uk_thread *uk_thread_current(void);
struct uk_sched *uk_sched_current(void);
void uk_sched_yield(void);
struct uk_thread *standin_thread(struct uk_sched *s, uk_thread_fn1_t body, void *arg, const char *name);
#define uk_sched_thread_create(s, body, arg, name) standin_thread(s, body, arg, name)
