/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
struct uk_console;
typedef void (*uk_console_async_handler_func)(struct uk_console *dev, void *cookie);
#define UK_CONSOLE_ASYNC_EVENT_IN 1
__ssz uk_console_out(const char *from, __sz len);
__ssz uk_console_in(char *into, __sz len);
struct uk_console *uk_console_get(__u16 id);
__ssz uk_console_in_direct(struct uk_console *dev, char *into, __sz len);
__ssz uk_console_out_direct(struct uk_console *dev, const char *from, __sz len);
int uk_console_async_register_callback(struct uk_console *dev, uk_console_async_handler_func handler, void *cookie, __u32 event);
