/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "platform.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

size_t heap_limit = (size_t)-1;
size_t heap_fails_after = (size_t)-1;
int heap_fails_for_good;
char console[4096];
size_t code_in_use;
static size_t used;
static pthread_mutex_t heap = PTHREAD_MUTEX_INITIALIZER;

extern const uint64_t __start___patchable_function_entries[] __attribute__((visibility("hidden")));
extern const uint64_t __stop___patchable_function_entries[] __attribute__((visibility("hidden")));

/* In front of each block, at a multiple of 64. */
struct block {
	void *start;
	size_t length;
};

size_t heap_used(void)
{
	return used;
}

/* Whether the allocation that was chosen to fail is this one, or one after it. */
static int fails(void)
{
	if (heap_fails_after == (size_t)-1 || (heap_fails_after == HEAP_FAILED && !heap_fails_for_good))
		return 0;
	if (heap_fails_after != HEAP_FAILED && heap_fails_after-- > 0)
		return 0;
	heap_fails_after = HEAP_FAILED;
	return 1;
}

void *ubpf_platform_alloc(size_t align, size_t length)
{
	size_t place = align > 64 ? align : 64;
	char *start = NULL, *at;
	struct block *block;

	pthread_mutex_lock(&heap);
	if (used + length <= heap_limit && !fails())
		start = (char *)malloc(length + 2 * place);
	if (start)
		used += length;
	pthread_mutex_unlock(&heap);
	if (!start)
		return NULL;
	at = (char *)(((uintptr_t)start + 2 * place - 1) / place * place);
	block = (struct block *)(void *)at - 1;
	block->start = start;
	block->length = length;
	return at;
}

void ubpf_platform_free(void *memory)
{
	struct block *block = (struct block *)memory - 1;

	pthread_mutex_lock(&heap);
	used -= block->length;
	pthread_mutex_unlock(&heap);
	free(block->start);
}

void ubpf_platform_panic(const char *text, size_t length)
{
	fprintf(stderr, "%.*s\n", (int)length, text);
	abort();
}

static uint64_t now_ns(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t probe_read(void *context, uint64_t address, void *into, size_t length)
{
	struct iovec here, there;
	ssize_t count;

	(void)context;
	here.iov_base = into;
	here.iov_len = length;
	there.iov_base = (void *)(uintptr_t)address;
	there.iov_len = length;
	count = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	return count < 0 ? 0 : (size_t)count;
}

static void console_write(void *context, const char *bytes, size_t length)
{
	size_t end = strlen(console);
	size_t room = sizeof(console) - 1 - end;

	(void)context;
	memcpy(console + end, bytes, length < room ? length : room);
}

/* Through /proc/self/mem, which writes where the mapping is read-only. */
static int text_replace(void *context, uintptr_t address, const void *old_bytes, const void *new_bytes, size_t length)
{
	int memory = open("/proc/self/mem", O_RDWR), code = 0;

	(void)context;
	if (memory < 0)
		return errno;
	if (memcmp((const void *)address, old_bytes, length) != 0)
		code = EILSEQ;
	else if (pwrite(memory, new_bytes, length, (off_t)address) != (ssize_t)length)
		code = EIO;
	close(memory);
	return code;
}

/* Files in memory; one of them is there from the beginning. */
static struct file {
	char name[32];
	unsigned char bytes[512];
	size_t length;
} files[4];

static struct file *find(const char *name)
{
	size_t i;

	if (!files[0].name[0]) {
		strcpy(files[0].name, "answer.bin");
		memcpy(files[0].bytes, answer, sizeof(answer));
		files[0].length = sizeof(answer);
	}
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static int64_t file_size(void *context, const char *path)
{
	struct file *file = find(path);

	(void)context;
	return file && *path ? (int64_t)file->length : -ENOENT;
}

static int64_t file_read(void *context, const char *path, void *into, size_t length)
{
	struct file *file = find(path);

	(void)context;
	if (!file || !*path)
		return -ENOENT;
	if (length > file->length)
		length = file->length;
	memcpy(into, file->bytes, length);
	return (int64_t)length;
}

static int file_write(void *context, const char *path, const void *from, size_t length)
{
	struct file *file = find(path);

	(void)context;
	if (!file)
		file = find("");
	if (!file || strlen(path) >= sizeof(file->name) || length > sizeof(file->bytes))
		return ENOSPC;
	strcpy(file->name, path);
	memcpy(file->bytes, from, length);
	file->length = length;
	return 0;
}

static int file_remove(void *context, const char *path)
{
	struct file *file = find(path);

	(void)context;
	if (!file || !*path)
		return ENOENT;
	file->name[0] = 0;
	return 0;
}

static int directory_list(void *context, const char *path, ubpf_each_entry each, void *cookie)
{
	size_t i;

	(void)context;
	if (*path)
		return ENOENT;
	find(path);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i].name[0])
			each(cookie, files[i].name, strlen(files[i].name), files[i].length, 0);
	return 0;
}

/* Memory for code: mapped twice, so that it is never writable where it runs; near the text of a program that is not moved. */
static int exec_alloc(void *context, size_t length, ubpf_exec_block *block)
{
	int memory = memfd_create("code", 0);
	void *write = MAP_FAILED, *code = MAP_FAILED;

	(void)context;
	length = (length + 4095) / 4096 * 4096;
	if (memory >= 0 && ftruncate(memory, (off_t)length) == 0) {
		write = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
		code = mmap(NULL, length, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_32BIT, memory, 0);
	}
	if (memory >= 0)
		close(memory);
	if (write == MAP_FAILED || code == MAP_FAILED)
		return ENOMEM;
	block->write = (uintptr_t)write;
	block->exec = (uintptr_t)code;
	block->length = length;
	code_in_use += length;
	return 0;
}

static int exec_seal(void *context, const ubpf_exec_block *block)
{
	(void)context;
	return munmap((void *)block->write, block->length) == 0 ? 0 : errno;
}

static void exec_free(void *context, const ubpf_exec_block *block)
{
	(void)context;
	munmap((void *)block->exec, block->length);
	code_in_use -= block->length;
}

static int exec_enforced(void *context)
{
	(void)context;
	return 1;
}

const ubpf_platform *test_platform_with_code(void)
{
	static ubpf_platform platform;

	platform = *test_platform();
	platform.exec_alloc = exec_alloc;
	platform.exec_seal = exec_seal;
	platform.exec_free = exec_free;
	platform.exec_enforced = exec_enforced;
	return &platform;
}

const ubpf_platform *test_platform(void)
{
	static ubpf_platform platform;

	platform.size = sizeof(platform);
	platform.name = "test";
	platform.now_ns = now_ns;
	platform.probe_read = probe_read;
	platform.console_write = console_write;
	platform.text_replace = text_replace;
	platform.file_size = file_size;
	platform.file_read = file_read;
	platform.file_write = file_write;
	platform.file_remove = file_remove;
	platform.directory_list = directory_list;
	return &platform;
}

static const char *wanted_reason;

static int count_refused(void *context, const ubpf_refused_stub *stub)
{
	*(int *)context += strstr(stub->reason, wanted_reason) != NULL;
	return 1;
}

/* How many stubs cannot be used for this reason. */
static int refused(const char *reason)
{
	int count = 0;

	wanted_reason = reason;
	CHECK(ubpf_refused_stubs(count_refused, &count, NULL) == UBPF_OK);
	return count;
}

static int count_name(void *context, const char *name)
{
	*(size_t *)context += name[0] != 0;
	return 1;
}

void describe_image(void)
{
	/* No symbols, and those of another image. */
	static const char *const no_lists[] = { "", "hello\n", "# comment\n\n", "1000 T other\n2000 T another\n" };
	ubpf_error error;
	char symbols[128];
	size_t records, known = 0;
	int length = snprintf(symbols, sizeof(symbols), "%llx T traced\n", (unsigned long long)(uintptr_t)traced);

	records = (size_t)(__stop___patchable_function_entries - __start___patchable_function_entries);
	/* Without symbols nobody knows where the functions begin. */
	CHECK(ubpf_add_sites(UBPF_SITES_PATCHABLE, __start___patchable_function_entries, records, &known, NULL) == UBPF_OK);
	CHECK(known == 0 && refused("no symbol says") == (int)records);
	for (size_t i = 0; i < sizeof(no_lists) / sizeof(no_lists[0]); i++) {
		known = 1;
		CHECK(ubpf_add_symbols(no_lists[i], strlen(no_lists[i]), &known, &error) == UBPF_REFUSED && known == 0);
		CHECK(error.code == UBPF_REFUSED && error.text[0] != 0);
	}
	CHECK(ubpf_add_symbols(symbols, (size_t)length, &known, NULL) == UBPF_OK && known == 1);
	CHECK(refused("") == (int)records - 1);
	/* Known already. */
	CHECK(ubpf_add_sites(UBPF_SITES_PATCHABLE, __start___patchable_function_entries, records, &known, NULL) == UBPF_OK);
	CHECK(known == 0);
	known = 0;
	CHECK(ubpf_functions(count_name, &known, NULL) == UBPF_OK && known == 1);
}

uint64_t traced_offset(void)
{
	const uint64_t *record = __start___patchable_function_entries;

	while (record < __stop___patchable_function_entries && *record - (uint64_t)(uintptr_t)traced > 16)
		record++;
	CHECK(record < __stop___patchable_function_entries);
	return *record - (uint64_t)(uintptr_t)traced;
}
