/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything of this project that depends on a Unikraft version. See ukglue.h.
 * Built and run: 0.17.0 and 0.18 (docs/unikraft.md). The branches for newer trees (CONFIG_LIBUKPAGING,
 * <uk/lcpu.h>, CONFIG_LIBVIRTIO_CONSOLE) are written from their sources and untested.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdint.h>
#include <uk/config.h>
#include <uk/alloc.h>
#include <uk/arch/types.h>
#include <uk/arch/lcpu.h>
#include <uk/assert.h>
#include <uk/essentials.h>
#include <uk/init.h>
#include <uk/print.h>
#include <uk/nofault.h>
#if CONFIG_LIBUKSCHED
#include <uk/sched.h>
#endif
#include <uk/plat/time.h>
#include <uk/plat/bootstrap.h>
#if __has_include(<uk/lcpu.h>)
#include <uk/lcpu.h>
#define irq_save() uk_lcpu_save_irqf()
#define irq_restore(flags) uk_lcpu_restore_irqf(flags)
#define irq_disabled() uk_lcpu_irqs_disabled()
#else
#include <uk/plat/lcpu.h>
#define irq_save() ukplat_lcpu_save_irqf()
#define irq_restore(flags) ukplat_lcpu_restore_irqf(flags)
#define irq_disabled() ukplat_lcpu_irqs_disabled()
#endif
#if CONFIG_LIBUKPAGING
#include <uk/paging.h>
#define HAVE_PROTECTION 1
#define page_set_attr uk_paging_page_set_attr
#define page_kmap uk_paging_page_kmap
#define page_kunmap uk_paging_page_kunmap
#define pt_get_active uk_paging_pt_get_active
#define pt_walk uk_paging_pt_walk
#define PROT_RW_ UK_PAGING_PAGE_ATTR_PROT_RW
#define PROT_RX_ (UK_PAGING_PAGE_ATTR_PROT_READ | UK_PAGING_PAGE_ATTR_PROT_EXEC)
#define KMAP_FLAGS 0
#elif CONFIG_PAGING
#include <uk/plat/paging.h>
#define HAVE_PROTECTION 1
#define page_set_attr ukplat_page_set_attr
#define page_kmap ukplat_page_kmap
#define page_kunmap ukplat_page_kunmap
#define pt_get_active ukplat_pt_get_active
#define pt_walk ukplat_pt_walk
#define PROT_RW_ PAGE_ATTR_PROT_RW
#define PROT_RX_ (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_EXEC)
#define KMAP_FLAGS 0
#endif
#if __has_include(<uk/plat/io.h>)
#include <uk/plat/io.h>
#define virt_to_phys(p) ukplat_virt_to_phys(p)
#endif
#if CONFIG_LIBUKCONSOLE
#include <uk/console.h>
#else
#include <uk/plat/console.h>
#endif
#if CONFIG_LIBUKSIGNAL
#include <signal.h>
#endif
#if CONFIG_LIBUBPF_RS_FILES
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#include "ukglue.h"

/* The image is one CPU's unless several are switched on; patching with several is refused. */
#if CONFIG_UKPLAT_LCPU_MAXCOUNT > 1
#define SEVERAL_CPUS 1
#endif

/* Precompiled Rust core refers to these although panics abort. They never run and are not exported. */
void rust_eh_personality(void);
void _Unwind_Resume(void);
void rust_eh_personality(void) { ukglue_crash(); }
void _Unwind_Resume(void) { ukglue_crash(); }

/* ---- configuration ---- */

#ifndef CONFIG_LIBUSHELL_RS_HISTORY
#define CONFIG_LIBUSHELL_RS_HISTORY 16
#endif
#ifndef CONFIG_LIBUSHELL_RS_PORT
#define CONFIG_LIBUSHELL_RS_PORT ""
#endif
#ifndef CONFIG_LIBUBPF_RS_AUTOLOAD
#define CONFIG_LIBUBPF_RS_AUTOLOAD ""
#endif
#ifndef CONFIG_LIBUBPF_RS_DIRECTORY
#define CONFIG_LIBUBPF_RS_DIRECTORY "/"
#endif

#define ATTACH_MAX 16
static char *attach[ATTACH_MAX];
#if CONFIG_LIBUKLIBPARAM
#include <uk/libparam.h>
UK_LIBPARAM_PARAM_ARR_ALIAS(attach, &attach, charp, ATTACH_MAX, "Programs to attach at boot: function:file");
#endif

const struct ukglue_config *ukglue_config(void)
{
	static const struct ukglue_config config = {
		.exec_budget = CONFIG_LIBUBPF_RS_EXEC_BUDGET,
		.hook_budget = CONFIG_LIBUBPF_RS_HOOK_BUDGET,
		.irq_budget = CONFIG_LIBUBPF_RS_IRQ_BUDGET,
		.map_entries = CONFIG_LIBUBPF_RS_MAP_ENTRIES,
		.ring_bytes = CONFIG_LIBUBPF_RS_RING_BYTES,
		.hook_areas = CONFIG_LIBUBPF_RS_HOOK_AREAS,
		.file_limit = CONFIG_LIBUBPF_RS_FILE_LIMIT,
		.history = CONFIG_LIBUSHELL_RS_HISTORY,
#if CONFIG_LIBUBPF_RS_STRICT
		.strict = 1,
#endif
#if CONFIG_LIBUBPF_RS_ABI_UIO
		.uio_abi = 1,
#endif
#if CONFIG_LIBUBPF_RS_READ_ONLY
		.read_only = 1,
#endif
		.directory = CONFIG_LIBUBPF_RS_DIRECTORY,
		.autoload = CONFIG_LIBUBPF_RS_AUTOLOAD,
		.attach = (const char *const *)attach,
		.attach_count = ATTACH_MAX,
		.port = CONFIG_LIBUSHELL_RS_PORT,
	};
	return &config;
}

const char *ukglue_version(void)
{
	return "unikraft " UBPF_UK_RELEASE;
}

/* ---- memory, console, time ---- */

void *ukglue_alloc(size_t align, size_t len)
{
	struct uk_alloc *a = uk_alloc_get_default();
	void *block = NULL;

	if (!a || uk_posix_memalign(a, &block, align < sizeof(void *) ? sizeof(void *) : align, len) != 0)
		return NULL;
	return block;
}

void ukglue_free(void *block)
{
	uk_free(uk_alloc_get_default(), block);
}

void ukglue_print(const char *text, size_t len)
{
#if CONFIG_LIBUKCONSOLE
	uk_console_out(text, len);
#else
	if (len)
		ukplat_coutk(text, (unsigned int)len);
#endif
}

void ukglue_crash(void)
{
	UK_CRASH("ubpf: the Rust side gave up, see above\n");
	for (;;)
		;
}

uint64_t ukglue_now(void)
{
	return ukplat_monotonic_clock();
}

uint64_t ukglue_counter(void)
{
#if defined(__x86_64__) && (CONFIG_PLAT_KVM || CONFIG_KVM_VMM_QEMU || CONFIG_KVM_VMM_FIRECRACKER)
	uint32_t low, high;

	__asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
#else
	return 0;
#endif
}

uint32_t ukglue_cpu(void)
{
#if SEVERAL_CPUS
	return (uint32_t)ukplat_lcpu_idx();
#else
	return 0;
#endif
}

int ukglue_several_cpus(void)
{
#if SEVERAL_CPUS
	return 1;
#else
	return 0;
#endif
}

/* Interrupt handlers run with interrupts off; there is no exact question to ask. */
int ukglue_irqs_off(void)
{
	return irq_disabled() != 0;
}

int ukglue_raise(int number)
{
#if CONFIG_LIBUKSIGNAL
	return raise(number) == 0 ? 0 : errno;
#else
	(void)number;
	return ENOSYS;
#endif
}

/* Reading a device's registers may act on it: the legacy VGA window and the hole below 4 GiB are refused. */
static int is_device(uint64_t pa, size_t len)
{
	uint64_t end = pa + len;

	return (pa < 0xc0000 && end > 0xa0000) || (pa < 0x100000000ULL && end > 0xe0000000ULL);
}

size_t ukglue_read(uint64_t addr, void *into, size_t len)
{
	if (addr + len < addr || is_device(addr, len))
		return 0;
	return uk_nofault_memcpy(into, (const char *)(uintptr_t)addr, len, UK_NOFAULTF_NOPAGING);
}

/*
 * Faults are handled on cpu_trap_stack; breakpoints, NMIs and the worst of faults on cpu_crit_stack, perhaps while the other is in use.
 * The CPU begins either at its top each time, so a fault there would overwrite the handler that is at work.
 */
#if defined(__x86_64__) && (CONFIG_PLAT_KVM || CONFIG_KVM_VMM_QEMU || CONFIG_KVM_VMM_FIRECRACKER)
#include <uk/asm/limits.h>
#define TRAP_STACKS ((uint64_t)__CPU_EXCEPT_STACK_SIZE * CONFIG_UKPLAT_LCPU_MAXCOUNT)

extern char cpu_trap_stack[] __weak;
extern char cpu_crit_stack[] __weak;

int ukglue_may_fault(uint64_t stack)
{
	return stack - (uint64_t)cpu_trap_stack >= TRAP_STACKS && stack - (uint64_t)cpu_crit_stack >= TRAP_STACKS;
}
#else
int ukglue_may_fault(uint64_t stack __unused)
{
	return 1;
}
#endif

/* ---- text and generated code ---- */

extern char _text[], _etext[];

static void store(char *to, const char *from, size_t len)
{
	uintptr_t start = (uintptr_t)to & ~(uintptr_t)7;

	if ((uintptr_t)to + len <= start + 8) {
		/* Within one aligned word: one store, so nobody sees a mixture. */
		union { uint64_t word; char bytes[8]; } u;

		u.word = *(volatile uint64_t *)start;
		memcpy(u.bytes + ((uintptr_t)to - start), from, len);
		*(volatile uint64_t *)start = u.word;
		return;
	}
	while (len--)
		*(volatile char *)to++ = *from++;
}

static void serialize(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ __volatile__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

/* Through a second, writable view of the page where there is one: text itself stays read-only. */
static int write_text(uintptr_t addr, const void *bytes, size_t len)
{
#if HAVE_PROTECTION
	uintptr_t page = addr & ~(uintptr_t)(__PAGE_SIZE - 1);
	size_t first = __PAGE_SIZE - (addr - page);
	__paddr_t pa;
	__vaddr_t view;

	if (first < len) {
		int rc = write_text(addr, bytes, first);

		return rc ? rc : write_text(addr + first, (const char *)bytes + first, len - first);
	}
	pa = virt_to_phys((const void *)page);
	if (pa == __PADDR_INV)
		return -EFAULT;
	view = page_kmap(pt_get_active(), pa, 1, KMAP_FLAGS);
	if (view == __VADDR_INV)
		return -EFAULT;
	store((char *)view + (addr - page), bytes, len);
	page_kunmap(pt_get_active(), view, 1, KMAP_FLAGS);
#else
	store((char *)addr, bytes, len);
#endif
	return 0;
}

int ukglue_text_write(uintptr_t addr, const void *old, const void *fresh, size_t len)
{
	unsigned long flags;
	int rc;

	if (len < 1 || len > 8)
		return -EINVAL;
	if (addr < (uintptr_t)_text || addr > (uintptr_t)_etext - len)
		return -EFAULT;
#if SEVERAL_CPUS
	if (ukplat_lcpu_count() > 1)
		return -EBUSY;
#endif
	flags = irq_save();
	if (memcmp((const void *)addr, old, len) != 0) {
		rc = -EILSEQ;
	} else {
		rc = write_text(addr, fresh, len);
		serialize();
	}
	irq_restore(flags);
	return rc;
}

#if CONFIG_LIBUBPF_RS_JIT
static char exec_arena[CONFIG_LIBUBPF_RS_JIT_KIB * 1024] __align(4096);

struct ukglue_range ukglue_exec_arena(void)
{
	return (struct ukglue_range){ exec_arena, exec_arena + sizeof(exec_arena) };
}
#else
struct ukglue_range ukglue_exec_arena(void)
{
	return (struct ukglue_range){ NULL, NULL };
}
#endif

int ukglue_exec_protect(uintptr_t addr, size_t len, int executable)
{
#if HAVE_PROTECTION
	int rc = page_set_attr(pt_get_active(), addr, len / __PAGE_SIZE, executable ? PROT_RX_ : PROT_RW_, 0);

	serialize();
	return rc;
#else
	(void)addr;
	(void)len;
	(void)executable;
	serialize();
	return 0;
#endif
}

int ukglue_exec_write(uintptr_t addr, const void *from, size_t len)
{
	struct ukglue_range arena = ukglue_exec_arena();
	uintptr_t start = (uintptr_t)arena.start, end = (uintptr_t)arena.end;
	const char *bytes = from;

	if (addr < start || addr > end || len > end - addr)
		return -EFAULT;
	while (len) {
		size_t part = __PAGE_SIZE - (addr & (__PAGE_SIZE - 1));
		unsigned long flags;
		int rc;

		if (part > len)
			part = len;
		flags = irq_save();
		rc = write_text(addr, bytes, part);
		irq_restore(flags);
		if (rc)
			return rc;
		addr += part;
		bytes += part;
		len -= part;
	}
	serialize();
	return 0;
}

int ukglue_exec_enforced(void)
{
#if HAVE_PROTECTION
	return 1;
#else
	return 0;
#endif
}

struct ukglue_range ukglue_text(void)
{
	return (struct ukglue_range){ _text, _etext };
}

#if HAVE_PROTECTION
/* Of a page-table entry (Intel SDM volume 3, table 5-20). */
#define ENTRY_PRESENT (1UL << 0)
#define ENTRY_WRITABLE (1UL << 1)
#define ENTRY_PAGE (1UL << 7)
#define ENTRY_NO_EXECUTE (1UL << 63)
#define TABLE_ENTRIES 512

struct walk {
	struct uk_pagetable *tables;
	void (*each)(void *cookie, uint64_t address, uint64_t size, uint32_t rights);
	void *cookie;
};

/* One table: its first address, the bytes of an entry, and the rights that the tables above leave. */
static void walk_table(const struct walk *walk, unsigned int level, uint64_t base, uint32_t above)
{
	uint64_t size = 1UL << (12 + 9 * level);
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t address = base + i * size;
		unsigned int reached = level;
		uint32_t rights = above;
		__pte_t entry;

		/* The upper half of the addresses has all its upper bits set. */
		if (level == PT_LEVELS - 1 && i >= TABLE_ENTRIES / 2)
			address |= ~0UL << (12 + 9 * PT_LEVELS);
		if (pt_walk(walk->tables, address, &reached, NULL, &entry) != 0 || reached != level)
			continue;
		if (!(entry & ENTRY_PRESENT))
			continue;
		if (!(entry & ENTRY_WRITABLE))
			rights &= ~UKGLUE_PAGE_WRITABLE;
		if (entry & ENTRY_NO_EXECUTE)
			rights &= ~UKGLUE_PAGE_EXECUTABLE;
		if (level == 0 || (entry & ENTRY_PAGE))
			walk->each(walk->cookie, address, size, rights);
		else
			walk_table(walk, level - 1, address, rights);
	}
}

int ukglue_pages(void (*each)(void *cookie, uint64_t address, uint64_t size, uint32_t rights), void *cookie)
{
	struct walk walk = { pt_get_active(), each, cookie };

	walk_table(&walk, PT_LEVELS - 1, 0, UKGLUE_PAGE_WRITABLE | UKGLUE_PAGE_EXECUTABLE);
	return 0;
}
#else
int ukglue_pages(void (*each)(void *cookie, uint64_t address, uint64_t size, uint32_t rights), void *cookie)
{
	(void)each;
	(void)cookie;
	return -ENOTSUP;
}
#endif

/* ---- records and symbols ---- */

extern const char __start___patchable_function_entries[] __weak;
extern const char __stop___patchable_function_entries[] __weak;
extern const char __start___mcount_loc[] __weak;
extern const char __stop___mcount_loc[] __weak;

extern const char __start_ubpf_programs[] __weak;
extern const char __stop_ubpf_programs[] __weak;

struct ukglue_range ukglue_programs(void)
{
	return (struct ukglue_range){ __start_ubpf_programs, __stop_ubpf_programs };
}

#if UBPF_CARRIES_FILES
extern const char ubpf_carried[];
#endif

const void *ukglue_carried(void)
{
#if UBPF_CARRIES_FILES
	return ubpf_carried;
#else
	return NULL;
#endif
}

struct ukglue_range ukglue_records_patchable(void)
{
	return (struct ukglue_range){ __start___patchable_function_entries, __stop___patchable_function_entries };
}

struct ukglue_range ukglue_records_mcount(void)
{
	return (struct ukglue_range){ __start___mcount_loc, __stop___mcount_loc };
}

#if CONFIG_LIBUBPF_RS_STUB_INSTRUMENT
void ubpf_instrument_entry(void *function, void *call_site);
void __cyg_profile_func_enter(void *function, void *call_site);
void __cyg_profile_func_exit(void *function, void *call_site);

void __cyg_profile_func_enter(void *function, void *call_site)
{
	ubpf_instrument_entry(function, call_site);
}

void __cyg_profile_func_exit(void *function __unused, void *call_site __unused)
{
}
#endif

#if CONFIG_LIBUBPF_RS_SYMBOLS
/*
 * Filled in the finished image by platforms/unikraft/tool. The array is volatile so that the compiler does not
 * use the contents it sees here. The magic must occur once in the image.
 */
struct symbol_table {
	char magic[16];
	uint32_t capacity;
	uint32_t used;
	char data[CONFIG_LIBUBPF_RS_SYMBOLS_KIB * 1024];
};
static const volatile struct symbol_table symbol_table __used = {
	.magic = "ubpf-rs\x1bsymtab\x02",
	.capacity = CONFIG_LIBUBPF_RS_SYMBOLS_KIB * 1024,
	.data = { 1 }, /* not all zero: must have its place in the file */
};

struct ukglue_range ukglue_symbols(void)
{
	const char *data = (const char *)symbol_table.data;
	uint32_t used = symbol_table.used;

	if (used > sizeof(symbol_table.data))
		used = 0;
	return (struct ukglue_range){ data, data + used };
}
#else
struct ukglue_range ukglue_symbols(void)
{
	return (struct ukglue_range){ NULL, NULL };
}
#endif

/* ---- files ---- */

#if CONFIG_LIBUBPF_RS_FILES
/* Read or written at once, before other threads may run. */
#define FILE_PIECE (64 * 1024)

static int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

long ukglue_file_size(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return negative_errno();
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return (long)st.st_size;
}

long ukglue_file_read(const char *path, void *into, size_t len)
{
	size_t have = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return negative_errno();
	while (have < len) {
		size_t piece = len - have < FILE_PIECE ? len - have : FILE_PIECE;
		ssize_t n = read(fd, (char *)into + have, piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = negative_errno();

			close(fd);
			return rc;
		}
		if (n == 0)
			break;
		have += (size_t)n;
		ukglue_yield();
	}
	close(fd);
	return (long)have;
}

int ukglue_file_write(const char *path, const void *from, size_t len)
{
	char fresh[256];
	size_t done = 0;
	int fd, rc = 0;

	if (strlen(path) + 5 > sizeof(fresh))
		return -ENAMETOOLONG;
	strcpy(fresh, path);
	strcat(fresh, ".new");
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return negative_errno();
	while (done < len && !rc) {
		size_t piece = len - done < FILE_PIECE ? len - done : FILE_PIECE;
		ssize_t n = write(fd, (const char *)from + done, piece);

		if (n > 0) {
			done += (size_t)n;
			ukglue_yield();
		} else if (n == 0)
			rc = -ENOSPC;
		else if (errno != EINTR)
			rc = negative_errno();
	}
	close(fd);
	if (!rc && rename(fresh, path) != 0)
		rc = negative_errno();
	if (rc)
		unlink(fresh);
	return rc;
}

int ukglue_file_remove(const char *path)
{
	return unlink(path) == 0 ? 0 : negative_errno();
}

int ukglue_dir_list(const char *path,
		    void (*each)(void *cookie, const char *name, size_t name_len, uint64_t size, int dir),
		    void *cookie)
{
	DIR *dir = opendir(path);
	unsigned int count = 0;
	struct dirent *entry;
	char full[512];

	if (!dir)
		return negative_errno();
	while ((entry = readdir(dir)) != NULL) {
		size_t name_len = strlen(entry->d_name), path_len = strlen(path);
		struct stat st;
		int known = 0;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (path_len + name_len + 2 <= sizeof(full)) {
			memcpy(full, path, path_len);
			full[path_len] = '/';
			memcpy(full + path_len + 1, entry->d_name, name_len + 1);
			known = stat(full, &st) == 0;
		}
		each(cookie, entry->d_name, name_len, known && !S_ISDIR(st.st_mode) ? (uint64_t)st.st_size : 0,
		     known && S_ISDIR(st.st_mode));
		if (++count % 16 == 0)
			ukglue_yield();
	}
	closedir(dir);
	return 0;
}
#else
long ukglue_file_size(const char *path __unused) { return -ENOSYS; }
long ukglue_file_read(const char *path __unused, void *into __unused, size_t len __unused) { return -ENOSYS; }
int ukglue_file_write(const char *path __unused, const void *from __unused, size_t len __unused) { return -ENOSYS; }
int ukglue_file_remove(const char *path __unused) { return -ENOSYS; }
int ukglue_dir_list(const char *path __unused,
		    void (*each)(void *, const char *, size_t, uint64_t, int) __unused, void *cookie __unused)
{
	return -ENOSYS;
}
#endif

/* ---- the shell's thread and its port ---- */

#if CONFIG_LIBUKSCHED
void ukglue_yield(void)
{
	struct uk_thread *self = uk_thread_current();

	if (self && self->sched && !irq_disabled())
		uk_sched_yield();
}
#else
void ukglue_yield(void) {}
#endif

#if CONFIG_LIBUSHELL_RS
#include <uk/sched.h>
#include <uk/semaphore.h>

static struct uk_semaphore wake;
static struct uk_thread *shell_thread;

static void thread_body(void *arg)
{
	((void (*)(void))arg)();
}

int ukglue_thread_start(void (*body)(void))
{
	struct uk_thread *t;

	t = uk_sched_thread_create(uk_sched_current(), (uk_thread_fn1_t)thread_body, (void *)body, "ushell");
	shell_thread = t;
	return t ? 0 : -ENOMEM;
}

int ukglue_in_shell(void)
{
	return shell_thread && uk_thread_current() == shell_thread;
}

void ukglue_wait(uint64_t ns)
{
	if (ns)
		uk_semaphore_down_to(&wake, ns);
	else
		uk_semaphore_down(&wake);
	/* One wake-up stands for all that came. */
	while (uk_semaphore_down_try(&wake))
		;
}

#if CONFIG_LIBUSHELL_RS_VIRTIO
#include <virtio/virtio_bus.h>

#define VIRTIO_ID_CONSOLE_ 3
#define FEATURE_MULTIPORT_BIT 1
#define PORTS CONFIG_LIBUSHELL_RS_PORTS
#define QUEUES (2 * PORTS + 2)

static struct {
	struct virtio_dev *vdev;
	struct uk_alloc *a;
	struct virtqueue *queues[QUEUES];
} console;

static int queue_event(struct virtqueue *vq __unused, void *priv __unused)
{
	uk_semaphore_up(&wake);
	return 1;
}

static struct virtqueue *queue_get(uint16_t number)
{
	return number < QUEUES ? console.queues[number] : NULL;
}

/*
 * Unikraft's own functions for buffers never get back a descriptor that the device keeps, so they are not used. It finds the device's
 * index ahead of its own from the first buffer on, and calls queue_event at every interrupt of the device.
 */
int ukglue_queue(uint16_t number, struct ukglue_queue *queue)
{
	struct virtqueue *vq = queue_get(number);
	__paddr_t start;
	char *view;

	if (!vq)
		return -ENODEV;
	start = virtqueue_physaddr(vq);
	queue->size = virtqueue_vring_get_num(vq);
#if HAVE_PROTECTION
	{
		size_t len = virtqueue_get_used_addr(vq) - start + 8UL * queue->size + 8;
		__vaddr_t mapped = page_kmap(pt_get_active(), start, (len + __PAGE_SIZE - 1) / __PAGE_SIZE, KMAP_FLAGS);

		if (mapped == __VADDR_INV)
			return -ENODEV;
		view = (char *)mapped;
	}
#else
	view = (char *)start;
#endif
	queue->descriptors = view;
	queue->driver = view + (virtqueue_get_avail_addr(vq) - start);
	queue->device = view + (virtqueue_get_used_addr(vq) - start);
	return 0;
}

void ukglue_queue_notify(uint16_t number)
{
	struct virtqueue *vq = queue_get(number);

	if (vq && vq->vq_notify_host)
		vq->vq_notify_host(vq->vdev, vq->queue_id);
}

uint64_t ukglue_physical(const void *memory)
{
	return virt_to_phys(memory);
}

int ukglue_port_present(void)
{
	return console.vdev != NULL;
}

static int console_init(struct uk_alloc *a)
{
	console.a = a;
	uk_semaphore_init(&wake, 0);
	return 0;
}

static int console_add(struct virtio_dev *vdev)
{
	__u64 wanted = 1ULL << FEATURE_MULTIPORT_BIT;
	__u16 sizes[QUEUES] = { 0 };
	__u32 ports = 1;
	int i, count;

	if (console.vdev) {
		uk_pr_err("ushell: a second virtio-serial device is left alone\n");
		return 0;
	}
	vdev->features = virtio_feature_get(vdev) & wanted;
	if (!vdev->features) {
		uk_pr_err("ushell: the virtio-serial device has no named ports\n");
		return 0;
	}
	virtio_feature_set(vdev);
	if (virtio_config_get(vdev, 4, &ports, sizeof(ports), sizeof(ports)) < 0 || ports < 1 || ports > PORTS)
		ports = PORTS;
	count = 2 * (int)ports + 2;
	if (virtio_find_vqs(vdev, (__u16)count, sizes) < 0) {
		uk_pr_err("ushell: the virtio-serial device has no queues or no interrupt\n");
		return -ENODEV;
	}
	for (i = 0; i < count; i++) {
		struct virtqueue *vq;

		if (!sizes[i])
			continue;
		vq = virtio_vqueue_setup(vdev, (__u16)i, sizes[i], queue_event, console.a);
		if (PTRISERR(vq)) {
			uk_pr_err("ushell: no memory for queue %d of the virtio-serial device\n", i);
			return PTR2ERR(vq);
		}
		vq->priv = NULL;
		console.queues[i] = vq;
	}
	console.vdev = vdev;
	virtio_dev_drv_up(vdev);
	return 0;
}

static const struct virtio_dev_id console_ids[] = { { VIRTIO_ID_CONSOLE_ }, { 0 } };

static struct virtio_driver console_driver = {
	.dev_ids = console_ids,
	.init = console_init,
	.add_dev = console_add,
};
VIRTIO_BUS_REGISTER_DRIVER(&console_driver);

long ukglue_console_read(void *into __unused, size_t len __unused)
{
	return -1;
}
#else /* no virtio driver of ours: a console of Unikraft, polled */
int ukglue_port_present(void) { return 0; }
int ukglue_queue(uint16_t number __unused, struct ukglue_queue *queue __unused) { return -ENODEV; }
void ukglue_queue_notify(uint16_t number __unused) { }
uint64_t ukglue_physical(const void *memory __unused) { return 0; }

long ukglue_console_read(void *into, size_t len)
{
#if CONFIG_LIBUKCONSOLE
	return (long)uk_console_in(into, len);
#else
	return ukplat_cink(into, (unsigned int)len);
#endif
}
#endif
#endif /* CONFIG_LIBUSHELL_RS */

/* Files are mounted by now, devices are found, the application has not begun. A failure must not stop it. */
static int start(struct uk_init_ctx *ictx __unused)
{
	ubpf_uk_start();
	return 0;
}
uk_late_initcall(start, 0x0);
