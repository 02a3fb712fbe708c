/* SPDX-License-Identifier: BSD-3-Clause */
#define UK_CONSOLE_FLAG_ASYNC_RX 16
enum uk_console_devclass { UK_CONSOLE_CLASS_NONE, UK_CONSOLE_CLASS_HVC };
struct uk_console {
	__u16 id;
	const char *name;
	int flags;
	enum uk_console_devclass dclass;
};
