/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the Rust side of the Unikraft platform needs from Unikraft. Everything that depends on a Unikraft
 * version is behind these functions, in ukglue.c. They are internal: none of them is exported to the image.
 * Errors are negative errno values.
 */
#ifndef UBPF_UKGLUE_H
#define UBPF_UKGLUE_H

#include <stddef.h>
#include <stdint.h>

/* Values of the configuration menu. Strings may be empty, never NULL. */
struct ukglue_config {
	uint64_t exec_budget;
	uint64_t hook_budget;
	uint64_t irq_budget;
	uint32_t map_entries;
	uint32_t ring_bytes;
	uint32_t hook_areas;
	uint32_t hook_stack;
	uint32_t file_limit;
	uint32_t history;
	uint32_t strict;       /* 1: programs must be proved safe */
	uint32_t uio_abi;      /* 1: flat programs use uIO's helper numbers */
	uint32_t read_only;    /* 1: the shell changes no file */
	const char *directory; /* where relative file names start */
	const char *autoload;  /* "function:file ..." attached at boot */
	const char *const *attach; /* the same from the kernel command line, one each; NULL: not given */
	size_t attach_count;
	const char *port;      /* name of the virtio-serial port; empty: the console */
};

/* One table of addresses: [start, end). Empty when the image has none. */
struct ukglue_range {
	const void *start;
	const void *end;
};

const struct ukglue_config *ukglue_config(void);
const char *ukglue_version(void);

/* Pages that follow each other, aligned as pages are, or NULL. */
void *ukglue_pages_take(size_t count);
void ukglue_pages_give_back(void *start, size_t count);

void ukglue_print(const char *text, size_t len);
void ukglue_crash(void) __attribute__((noreturn));

uint64_t ukglue_now(void);
/* The CPU's counter from which Unikraft makes its time; 0 where it does not. */
uint64_t ukglue_counter(void);
uint32_t ukglue_cpu(void);
/* Whether the image can run on more than one CPU. */
int ukglue_several_cpus(void);
int ukglue_irqs_off(void);
int ukglue_raise(int number);
/* Of the running thread, in a hook of a function that has set it. */
int ukglue_errno(void);

/* Fault-safe copy; returns how many leading bytes could be read. */
size_t ukglue_read(uint64_t addr, void *into, size_t len);

/* The two words at an address; 0 where they cannot be read. */
int ukglue_read_pair(uint64_t addr, uint64_t into[2]);

/* Whether a read may take a fault while the stack that holds this address is in use; 0 on those that the CPU begins anew at each trap. */
int ukglue_may_fault(uint64_t stack);
/*
 * Lets the engine look for programs of timers at least every so many nanoseconds, if that can be, from now on. Nanoseconds between two looks; 0: this
 * Unikraft does not tell what an interrupt has interrupted.
 */
uint64_t ukglue_timer_start(uint64_t period_ns);
void ukglue_timer_stop(void);

/* Replaces len (1..8) bytes of text, after comparing them with the old ones. -EILSEQ: others were there. */
int ukglue_text_write(uintptr_t addr, const void *old, const void *fresh, size_t len);

/* The arena for generated code and its protection; len is a multiple of the page size. */
struct ukglue_range ukglue_exec_arena(void);
int ukglue_exec_protect(uintptr_t addr, size_t len, int executable);
int ukglue_exec_enforced(void);
/* Puts code, which nobody executes yet, into the arena where it is executable. */
int ukglue_exec_write(uintptr_t addr, const void *from, size_t len);

/* The text of the image: what its instructions lie in. */
struct ukglue_range ukglue_text(void);
#define UKGLUE_PAGE_WRITABLE 1
#define UKGLUE_PAGE_EXECUTABLE 2
/*
 * Goes through the page tables in use as the CPU does, and calls each(cookie, address, bytes, rights) for every page
 * that is mapped. -ENOTSUP: the image has no page protection.
 */
int ukglue_pages(void (*each)(void *cookie, uint64_t address, uint64_t size, uint32_t rights), void *cookie);

/* Programs compiled ahead of time (ubpf aot) that are linked into the image. */
struct ukglue_range ukglue_programs(void);

/* The table of files that the image carries (platforms/unikraft/src/carried.rs has its layout), or NULL. */
const void *ukglue_carried(void);

/* Records of the compiler (addresses of entry stubs), and the embedded symbol table. */
struct ukglue_range ukglue_records_patchable(void);
struct ukglue_range ukglue_records_mcount(void);
struct ukglue_range ukglue_symbols(void);

long ukglue_file_size(const char *path);
long ukglue_file_read(const char *path, void *into, size_t len);
int ukglue_file_write(const char *path, const void *from, size_t len);
int ukglue_file_remove(const char *path);
/* Calls each(cookie, name, length of the name, size, is directory) for every entry. */
int ukglue_dir_list(const char *path,
		    void (*each)(void *cookie, const char *name, size_t name_len, uint64_t size, int dir),
		    void *cookie);

/* Number of the thread that runs, from 1 on; 0 of the one that runs where no other can. In an interrupt: of the one that it interrupts. */
uint32_t ukglue_running(void);
/* Copies its name, at most so many bytes and no NUL; how many that are. */
size_t ukglue_running_name(char *into, size_t length);
/* Where a word is that differs from thread to thread, and is 0 before there are threads; 0 where there is none. */
uint64_t ukglue_running_at(void);
/* Whether there is no thread any more that has this word. A later thread may have it again. Not for interrupts. */
int ukglue_thread_ended(uint64_t thread);

/* Says whether the thread that runs does the engine's own work from now on; what was said before. */
int ukglue_set_own(int own);
/* Whether a thread runs that does, and the stack that holds this address is not that of an interrupt or trap. */
int ukglue_is_own(uint64_t stack);
/* Where the word is that equals that of ukglue_running_at while such a thread runs. */
uint64_t ukglue_own_at(void);

/* Lets other threads run and returns; does nothing before there are threads. Not for interrupts. */
void ukglue_yield(void);

/* The thread that serves the shell, and its sleep. */
int ukglue_thread_start(void (*body)(void));
/* Whether this is that thread. */
int ukglue_in_shell(void);
/* Sleeps until something came from the port or the time is over (0: no limit). */
void ukglue_wait(uint64_t ns);

/* The virtio-console device: 1 when there is one (else 0). */
int ukglue_port_present(void);
/*
 * One of the device's queues: its areas (VIRTIO 1.2, section 2.7), zero at first, and how many descriptors it has. They belong to the
 * caller: Unikraft only looks whether the device has returned anything.
 */
struct ukglue_queue {
	void *descriptors;
	void *driver;
	void *device;
	uint32_t size;
};
/* -ENODEV: the device has no such queue. */
int ukglue_queue(uint16_t number, struct ukglue_queue *queue);
/* Tells the device that it was given buffers. */
void ukglue_queue_notify(uint16_t number);
/* Where the device finds memory that lies within one page. */
uint64_t ukglue_physical(const void *memory);
/* A console of Unikraft, or a port of its own virtio-serial driver. Counts of bytes, or negative; 0 bytes written: there is no room now. */
long ukglue_console_read(void *into, size_t len);
long ukglue_console_write(const void *from, size_t len);
/* Whether bytes that come on it end ukglue_wait. */
int ukglue_console_wakes(void);

/* Called by ukglue.c, defined in Rust. */
void ubpf_uk_start(void);

#endif
