/* SPDX-License-Identifier: BSD-3-Clause */
#define UK_EVENT_HANDLED 1
#define UK_EVENT_NOT_HANDLED 0
#define UK_EVENT_HANDLER_PRIO(event, function, priority) static int (*const event##_##function)(void *) __used = function
