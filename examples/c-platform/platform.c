/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "platform.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Memory, and a fault of the library. */

void *ubpf_platform_alloc(size_t align, size_t length)
{
	return aligned_alloc(align, (length + align - 1) / align * align);
}

void ubpf_platform_free(void *block)
{
	free(block);
}

void ubpf_platform_panic(const char *text, size_t length)
{
	fprintf(stderr, "%.*s\n", (int)length, text);
	abort();
}

/* Time, console, and memory that may not be there. */

static uint64_t now_ns(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t probe_read(void *context, uint64_t address, void *into, size_t length)
{
	struct iovec here = {into, length}, there = {(void *)(uintptr_t)address, length};
	ssize_t count = process_vm_readv(getpid(), &here, 1, &there, 1, 0);

	(void)context;
	return count < 0 ? 0 : (size_t)count;
}

static void console_write(void *context, const char *bytes, size_t length)
{
	(void)context;
	fwrite(bytes, 1, length, stdout);
}

/* Files in memory: a few names with contents. */

#define FILES 8

static struct file {
	char *name; /* NULL: this one is free */
	void *bytes;
	size_t length;
} files[FILES];

static struct file *find(const char *name)
{
	for (int i = 0; i < FILES; i++)
		if (files[i].name && strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static int64_t file_size(void *context, const char *path)
{
	struct file *file = find(path);

	(void)context;
	return file ? (int64_t)file->length : -ENOENT;
}

static int64_t file_read(void *context, const char *path, void *into, size_t length)
{
	struct file *file = find(path);

	(void)context;
	if (!file)
		return -ENOENT;
	if (length > file->length)
		length = file->length;
	memcpy(into, file->bytes, length);
	return (int64_t)length;
}

/* Everything that can fail comes first, so that the old file stays where it does. */
static int file_write(void *context, const char *path, const void *from, size_t length)
{
	struct file *file = find(path);
	char *name = NULL;
	void *bytes = malloc(length ? length : 1);

	(void)context;
	for (int i = 0; !file && i < FILES; i++)
		if (!files[i].name)
			file = &files[i];
	if (file && !file->name)
		name = strdup(path);
	if (!bytes || !file || (!file->name && !name)) {
		free(bytes);
		return file ? ENOMEM : ENOSPC;
	}
	memcpy(bytes, from, length);
	free(file->bytes);
	if (name)
		file->name = name;
	file->bytes = bytes;
	file->length = length;
	return 0;
}

static int file_remove(void *context, const char *path)
{
	struct file *file = find(path);

	(void)context;
	if (!file)
		return ENOENT;
	free(file->name);
	free(file->bytes);
	memset(file, 0, sizeof(*file));
	return 0;
}

static int directory_list(void *context, const char *path, ubpf_each_entry each, void *cookie)
{
	(void)context;
	if (*path)
		return ENOENT; /* there is the one directory */
	for (int i = 0; i < FILES; i++)
		if (files[i].name)
			each(cookie, files[i].name, strlen(files[i].name), files[i].length, 0);
	return 0;
}

/* Memory for machine code: pages that are writable first and executable then, never both. */

static int exec_alloc(void *context, size_t length, ubpf_exec_block *block)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (length + page - 1) / page * page;
	/* Near the text of this program: code and text call each other. */
	char *near = (char *)((uintptr_t)exec_alloc / page * page);
	void *found = MAP_FAILED;

	(void)context;
	for (size_t away = 16 << 20; found == MAP_FAILED && away < (size_t)1 << 30; away += 1 << 20)
		found = mmap(near - away, whole, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (found == MAP_FAILED)
		return errno;
	block->write = block->exec = (uintptr_t)found;
	block->length = whole;
	return 0;
}

static int exec_seal(void *context, const ubpf_exec_block *block)
{
	(void)context;
	return mprotect((void *)block->write, block->length, PROT_READ | PROT_EXEC) ? errno : 0;
}

static void exec_free(void *context, const ubpf_exec_block *block)
{
	(void)context;
	munmap((void *)block->write, block->length);
}

static int exec_enforced(void *context)
{
	(void)context;
	return 1;
}

ubpf_platform platform(int machine_code)
{
	ubpf_platform platform = {
		.size = sizeof(platform),
		.name = "example",
		.now_ns = now_ns,
		.probe_read = probe_read,
		.console_write = console_write,
		.file_size = file_size,
		.file_read = file_read,
		.file_write = file_write,
		.file_remove = file_remove,
		.directory_list = directory_list,
	};

	if (machine_code) {
		platform.exec_alloc = exec_alloc;
		platform.exec_seal = exec_seal;
		platform.exec_free = exec_free;
		platform.exec_enforced = exec_enforced;
	}
	return platform;
}
