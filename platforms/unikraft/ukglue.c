/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything of this project that depends on a Unikraft version. See ukglue.h; ukversion.h has what versions call differently.
 * Built and run: 0.17.0 and 0.18. Compiled against the headers of 0.21, and not run there (docs/unikraft.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdint.h>
#include "ukversion.h"
#if CONFIG_LIBUKSIGNAL
#include <signal.h>
#endif
#if CONFIG_LIBUBPF_RS_FILES
#include <sys/stat.h>
#include <unistd.h>
#if LISTS_DIRECTORIES
#include <dirent.h>
#endif
/* POSIX; Unikraft's nolibc declares them with vfscore only. */
int rename(const char *from, const char *to);
int unlink(const char *path);
int ftruncate(int fd, off_t length);
#endif
#include "ukglue.h"

/* Precompiled Rust core refers to these although panics abort. They never run and are not exported. */
void rust_eh_personality(void);
void _Unwind_Resume(void);
void rust_eh_personality(void) { ukglue_crash(); }
void _Unwind_Resume(void) { ukglue_crash(); }

/* ---- configuration ---- */

#ifndef CONFIG_LIBUSHELL_RS_HISTORY
#define CONFIG_LIBUSHELL_RS_HISTORY 16
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
		.hook_stack = CONFIG_LIBUBPF_RS_HOOK_STACK,
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
#if CONFIG_LIBUSHELL_RS_VIRTIO
		.port = CONFIG_LIBUSHELL_RS_PORT,
#else
		.port = "",
#endif
	};
	return &config;
}

const char *ukglue_version(void)
{
	return "unikraft " UBPF_UK_RELEASE;
}

/* ---- memory, console, time ---- */

void *ukglue_pages_take(size_t count)
{
	struct uk_alloc *a = uk_alloc_get_default();

	return a ? uk_palloc(a, count) : NULL;
}

void ukglue_pages_give_back(void *start, size_t count)
{
	uk_pfree(uk_alloc_get_default(), start, count);
}

void ukglue_print(const char *text, size_t len)
{
#if HAVE_UKCONSOLE
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
#if CONFIG_PLAT_KVM
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
	return (uint32_t)cpu_index();
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

#if HAVE_FAULT_EVENTS
/* int ukglue_load_pair(uint64_t addr, uint64_t into[2]): 1, or 0 where a load was a fault; then it goes on at ukglue_pair_end. */
__asm__(".pushsection .text.ukglue_load_pair, \"ax\"\n"
	".hidden ukglue_load_pair, ukglue_pair_begin, ukglue_pair_end\n"
	".globl ukglue_load_pair, ukglue_pair_begin, ukglue_pair_end\n"
	"ukglue_load_pair:\n"
	"	xorl	%eax, %eax\n"
	"ukglue_pair_begin:\n"
	"	movq	(%rdi), %rcx\n"
	"	movq	8(%rdi), %rdx\n"
	"	movq	%rcx, (%rsi)\n"
	"	movq	%rdx, 8(%rsi)\n"
	"	incl	%eax\n"
	"ukglue_pair_end:\n"
	"	ret\n"
	".popsection");

int ukglue_load_pair(uint64_t addr, uint64_t into[2]);
extern const char ukglue_pair_begin[], ukglue_pair_end[];

static int pair_fault(void *data)
{
	struct ukarch_trap_ctx *trap = data;
	uint64_t from = (uint64_t)ukglue_pair_begin, to = (uint64_t)ukglue_pair_end;

	if (trap->regs->rip - from >= to - from)
		return UK_EVENT_NOT_HANDLED;
	trap->regs->rip = to;
	return UK_EVENT_HANDLED;
}

/* Before anybody who would bring a page in. */
UK_EVENT_HANDLER_PRIO(UKARCH_TRAP_PAGE_FAULT, pair_fault, 0);
UK_EVENT_HANDLER_PRIO(UKARCH_TRAP_X86_GP, pair_fault, 0);
#endif

size_t ukglue_read(uint64_t addr, void *into, size_t len)
{
	if (addr + len < addr || is_device(addr, len))
		return 0;
	return uk_nofault_memcpy(into, (const char *)(uintptr_t)addr, len, UK_NOFAULTF_NOPAGING);
}

/* As fast as loads can be: a walk through a stack reads many pairs. */
int ukglue_read_pair(uint64_t addr, uint64_t into[2])
{
	if (addr + 16 < addr || is_device(addr, 16))
		return 0;
#if HAVE_FAULT_EVENTS
	return ukglue_load_pair(addr, into);
#else
	return uk_nofault_memcpy((char *)into, (const char *)(uintptr_t)addr, 16, UK_NOFAULTF_NOPAGING) == 16;
#endif
}

#if EXCEPT_STACKS
/*
 * Each CPU has a block of three stacks: for breakpoints, NMIs and the worst of faults, for other faults, and for interrupts. It begins
 * the first two at their top each time, so a fault there would overwrite the handler that is at work.
 */
int ukglue_may_fault(uint64_t stack)
{
	uint64_t at = stack - (uint64_t)uk_pal_except_get_except_stack_base(), size = CPU_EXCEPT_STACK_SIZE;

	return at >= CPUS_MOST * EXCEPT_STACKS * size || at % (EXCEPT_STACKS * size) >= 2 * size;
}

/* Whether the CPU has begun the stack, at an interrupt or trap. */
static int on_cpu_stack(uint64_t stack)
{
	return stack - (uint64_t)uk_pal_except_get_except_stack_base() < CPUS_MOST * EXCEPT_STACKS * CPU_EXCEPT_STACK_SIZE;
}
#elif CONFIG_PLAT_KVM
/*
 * Faults are handled on cpu_trap_stack; breakpoints, NMIs and the worst of faults on cpu_crit_stack, perhaps while the other is in use.
 * The CPU begins either at its top each time, so a fault there would overwrite the handler that is at work.
 */
#define TRAP_STACKS ((uint64_t)CPU_EXCEPT_STACK_SIZE * CPUS_MOST)

extern char cpu_trap_stack[];
extern char cpu_crit_stack[];

int ukglue_may_fault(uint64_t stack)
{
	return stack - (uint64_t)cpu_trap_stack >= TRAP_STACKS && stack - (uint64_t)cpu_crit_stack >= TRAP_STACKS;
}

extern char cpu_intr_stack[];

/* Whether the CPU has begun the stack, at an interrupt or trap. */
static int on_cpu_stack(uint64_t stack)
{
	return !ukglue_may_fault(stack) || stack - (uint64_t)cpu_intr_stack < TRAP_STACKS;
}
#else
#error "ubpf-rs: built for another platform than KVM (PLAT_KVM): it is not known on which stacks traps run there"
#endif

/* ---- interrupts for programs of timers ---- */

#if HAVE_IRQ_EVENTS
/*
 * The periodic interrupt of the clock chip (RTC). Unikraft reads that chip at boot only, so its own clock and the timer that ends its sleeps are left
 * alone. The rate is a power of two, 2 to 8,192 Hz (Motorola MC146818A, table 5).
 */
#define RTC_IRQ 8
#define RTC_A 0x0a
#define RTC_B 0x0b
#define RTC_C 0x0c
#define RTC_PERIODIC 0x40
#define RTC_SLOWEST 15
#define RTC_FASTEST 3
#define RTC_SLOWEST_NS 500000000ULL
/* Timers of CPUs, and those by the clock. */
#define ALL_TIMERS 3
/* Vector registers are not saved at an interrupt. */
#if defined(__clang__)
#define IN_INTERRUPT
#else
#define IN_INTERRUPT __attribute__((target("general-regs-only")))
#endif

void ubpf_sample(const void *registers, uint64_t passed_ns, uint64_t of);

static volatile int rtc_on;

IN_INTERRUPT static unsigned char rtc_read(unsigned char at)
{
	unsigned char value;

	__asm__ __volatile__("outb %1, $0x70; inb $0x71, %0" : "=a"(value) : "a"(at));
	return value;
}

static void rtc_write(unsigned char at, unsigned char value)
{
	__asm__ __volatile__("outb %0, $0x70" : : "a"(at));
	__asm__ __volatile__("outb %0, $0x71" : : "a"(value));
}

/* A tick that is told to nobody else wakes nobody. */
IN_INTERRUPT static int rtc_tick(void *data)
{
	struct uk_intctlr_event_irq_data *event = data;

	/* Reading says that it was seen: none would follow else. */
	if (!rtc_on || event->irq != RTC_IRQ || !(rtc_read(RTC_C) & RTC_PERIODIC))
		return UK_EVENT_NOT_HANDLED;
	/* From r15 on they stand in the order of Linux. */
	ubpf_sample(&event->regs->r15, 0, ALL_TIMERS);
	return UK_EVENT_HANDLED;
}
UK_EVENT_HANDLER_PRIO(UK_INTCTLR_EVENT_IRQ, rtc_tick, 0);

/* The last one, which came when they were switched off. To register it lets the interrupt through, for ever: the chip is what is quiet. */
IN_INTERRUPT static int rtc_late(void *arg __unused)
{
	rtc_read(RTC_C);
	return 1;
}

uint64_t ukglue_timer_start(uint64_t period_ns)
{
	static int registered;
	uint64_t tick_ns = RTC_SLOWEST_NS;
	unsigned char rate = RTC_SLOWEST;
	unsigned long flags;

	if (!registered && uk_intctlr_irq_register(RTC_IRQ, rtc_late, NULL) != 0)
		return 0;
	registered = 1;
	for (; rate > RTC_FASTEST && tick_ns > period_ns; rate--)
		tick_ns /= 2;
	flags = irq_save();
	rtc_write(RTC_A, (rtc_read(RTC_A) & 0xf0) | rate);
	rtc_write(RTC_B, rtc_read(RTC_B) | RTC_PERIODIC);
	rtc_read(RTC_C);
	rtc_on = 1;
	irq_restore(flags);
	return tick_ns;
}

void ukglue_timer_stop(void)
{
	unsigned long flags = irq_save();

	rtc_on = 0;
	rtc_write(RTC_B, rtc_read(RTC_B) & ~RTC_PERIODIC);
	rtc_read(RTC_C);
	irq_restore(flags);
}
#else
uint64_t ukglue_timer_start(uint64_t period_ns __unused) { return 0; }
void ukglue_timer_stop(void) {}
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
	uintptr_t page = addr & ~(uintptr_t)(PAGE_BYTES - 1);
	size_t first = PAGE_BYTES - (addr - page);
	__paddr_t pa;
	__vaddr_t view;

	if (first < len) {
		int rc = write_text(addr, bytes, first);

		return rc ? rc : write_text(addr + first, (const char *)bytes + first, len - first);
	}
	pa = virt_to_phys((const void *)page);
	if (pa == PADDR_INVALID)
		return -EFAULT;
	view = page_kmap(pt_get_active(), pa, 1, KMAP_FLAGS);
	if (view == VADDR_INVALID)
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
	if (cpus_found() > 1)
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
	int rc = page_set_attr(pt_get_active(), addr, len / PAGE_BYTES, executable ? PROT_RX_ : PROT_RW_, 0);

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
		size_t part = PAGE_BYTES - (addr & (PAGE_BYTES - 1));
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
		if (level == LEVELS - 1 && i >= TABLE_ENTRIES / 2)
			address |= ~0UL << (12 + 9 * LEVELS);
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
	/* Each entry is found from the root, so nothing is kept that another thread may change. */
	ukglue_yield();
}

int ukglue_pages(void (*each)(void *cookie, uint64_t address, uint64_t size, uint32_t rights), void *cookie)
{
	struct walk walk = { pt_get_active(), each, cookie };

	walk_table(&walk, LEVELS - 1, 0, UKGLUE_PAGE_WRITABLE | UKGLUE_PAGE_EXECUTABLE);
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
	.magic = "ubpf-rs\x1bsymtab\x04",
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
/* One operation on files. */
struct file_job {
	const char *path;
	void *into;
	const void *from;
	size_t len;
	void (*each)(void *cookie, const char *name, size_t name_len, uint64_t size, int dir);
	void *cookie;
};

#if CONFIG_LIBUSHELL_RS
/*
 * vfscore keeps paths of 4 KiB on the stack, ten of them under a rename. So that the shell's thread need not have room for them while it
 * sleeps, it gets a stack for as long as an operation takes.
 */
#define FILE_STACK_PAGES 16

static long call_on(char *top, long (*run)(const struct file_job *), const struct file_job *job)
{
	long result;

	__asm__ __volatile__("movq %%rsp, %%rbx\n\tmovq %[top], %%rsp\n\tcall *%[run]\n\tmovq %%rbx, %%rsp"
			     : "=a"(result), "+D"(job)
			     : [top] "r"(top), [run] "r"(run)
			     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
	return result;
}

static long file_run(long (*run)(const struct file_job *), const struct file_job *job)
{
	struct uk_alloc *a = uk_alloc_get_default();
	char *stack;
	long result;

	if (!ukglue_in_shell())
		return run(job);
	stack = uk_palloc(a, FILE_STACK_PAGES);
	if (!stack)
		return -ENOMEM;
	result = call_on(stack + FILE_STACK_PAGES * 4096UL, run, job);
	uk_pfree(a, stack, FILE_STACK_PAGES);
	return result;
}
#else
static long file_run(long (*run)(const struct file_job *), const struct file_job *job)
{
	return run(job);
}
#endif

int ukglue_errno(void)
{
	return errno;
}

/* Read or written at once, before other threads may run. */
#define FILE_PIECE (64 * 1024)

static int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

static long file_size(const struct file_job *job)
{
	struct stat st;

	if (stat(job->path, &st) != 0)
		return negative_errno();
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return (long)st.st_size;
}

long ukglue_file_size(const char *path)
{
	struct file_job job = { .path = path };

	return file_run(file_size, &job);
}

static long file_read(const struct file_job *job)
{
	size_t have = 0, len = job->len;
	int fd = open(job->path, O_RDONLY);

	if (fd < 0)
		return negative_errno();
	while (have < len) {
		size_t piece = len - have < FILE_PIECE ? len - have : FILE_PIECE;
		ssize_t n = read(fd, (char *)job->into + have, piece);

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

long ukglue_file_read(const char *path, void *into, size_t len)
{
	struct file_job job = { .path = path, .into = into, .len = len };

	return file_run(file_read, &job);
}

static long file_write(const struct file_job *job)
{
	const char *path = job->path;
	char fresh[256];
	size_t done = 0, len = job->len;
	int fd, rc = 0;

	if (strlen(path) + 5 > sizeof(fresh))
		return -ENAMETOOLONG;
	strcpy(fresh, path);
	strcat(fresh, ".new");
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return negative_errno();
	/* ramfs copies the whole file each time it grows. Where the length cannot be set, it grows by the writes. */
	if (ftruncate(fd, (off_t)len) != 0)
		errno = 0;
	while (done < len && !rc) {
		size_t piece = len - done < FILE_PIECE ? len - done : FILE_PIECE;
		ssize_t n = write(fd, (const char *)job->from + done, piece);

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

int ukglue_file_write(const char *path, const void *from, size_t len)
{
	struct file_job job = { .path = path, .from = from, .len = len };

	return (int)file_run(file_write, &job);
}

static long file_remove(const struct file_job *job)
{
	return unlink(job->path) == 0 ? 0 : negative_errno();
}

int ukglue_file_remove(const char *path)
{
	struct file_job job = { .path = path };

	return (int)file_run(file_remove, &job);
}

#if LISTS_DIRECTORIES
/* Entries gone over between two turns of other threads, and what one costs beside that, in the same measure. */
#define LISTED_AT_ONCE 4096
#define LISTED_COST 128

static long dir_list(const struct file_job *job)
{
	const char *path = job->path;
	DIR *dir = opendir(path);
	/* File systems look an entry up, and go on to the next one, by going over those before it. */
	unsigned int count = 0, gone_over = 0;
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
		job->each(job->cookie, entry->d_name, name_len, known && !S_ISDIR(st.st_mode) ? (uint64_t)st.st_size : 0,
			  known && S_ISDIR(st.st_mode));
		gone_over += ++count + LISTED_COST;
		if (gone_over >= LISTED_AT_ONCE) {
			gone_over = 0;
			ukglue_yield();
		}
	}
	closedir(dir);
	return 0;
}

int ukglue_dir_list(const char *path,
		    void (*each)(void *cookie, const char *name, size_t name_len, uint64_t size, int dir),
		    void *cookie)
{
	struct file_job job = { .path = path, .each = each, .cookie = cookie };

	return (int)file_run(dir_list, &job);
}
#endif
#else
long ukglue_file_size(const char *path __unused) { return -ENOSYS; }
long ukglue_file_read(const char *path __unused, void *into __unused, size_t len __unused) { return -ENOSYS; }
int ukglue_file_write(const char *path __unused, const void *from __unused, size_t len __unused) { return -ENOSYS; }
int ukglue_file_remove(const char *path __unused) { return -ENOSYS; }
#endif
#if !CONFIG_LIBUBPF_RS_FILES || !LISTS_DIRECTORIES
int ukglue_dir_list(const char *path __unused,
		    void (*each)(void *, const char *, size_t, uint64_t, int) __unused, void *cookie __unused)
{
	return -ENOSYS;
}
#endif

/* ---- the thread that runs ---- */

#if CONFIG_LIBUKSCHED
/*
 * Threads have no number of their own here (not all have a place to keep one): the first that are seen get one of these places. A place
 * that was given back gives other numbers.
 */
#define NUMBERED 64
static struct uk_thread *numbered[NUMBERED];
static uint32_t given_before[NUMBERED];

static uint32_t number_of(struct uk_thread *t)
{
	struct uk_thread *none;
	unsigned long flags;
	uint32_t at, number = 0;

	for (at = 0; at < NUMBERED; at++)
		if (__atomic_load_n(&numbered[at], __ATOMIC_RELAXED) == t)
			return 1 + at + NUMBERED * given_before[at];
	/* An interrupt that comes now would give it a second place. */
	flags = irq_save();
	for (at = 0; at < NUMBERED && !number; at++) {
		none = NULL;
		if (__atomic_compare_exchange_n(&numbered[at], &none, t, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			number = 1 + at + NUMBERED * given_before[at];
	}
	irq_restore(flags);
	/* More threads than places: told apart by where they are. */
	return number ? number : 0x80000000u | (uint32_t)((uintptr_t)t >> 4);
}

static void forget_thread(struct uk_thread *t)
{
	uint32_t at;

	for (at = 0; at < NUMBERED; at++)
		if (numbered[at] == t) {
			given_before[at]++;
			__atomic_store_n(&numbered[at], NULL, __ATOMIC_RELEASE);
		}
}
UK_THREAD_INIT_PRIO_FLAGS(0, forget_thread, UK_PRIO_LATEST, 0);

static const char *name_of(const struct uk_thread *t)
{
	return t && t->name ? t->name : "";
}

uint32_t ukglue_running(void)
{
	struct uk_thread *t = uk_thread_current();

	/* Before there are threads, the start of the image is the first. */
	if (!t)
		return 1;
	return strcmp(name_of(t), "idle") ? number_of(t) : 0;
}

uint64_t ukglue_running_at(void)
{
#if !SEVERAL_CPUS && defined(ukplat_per_lcpu_current)
	return (uint64_t)(uintptr_t)&ukplat_per_lcpu_current(__uk_sched_thread_current);
#else
	/* Each CPU has its own, and releases with <uk/pcpuvar.h> have no name for where it stands. */
	return 0;
#endif
}

int ukglue_thread_ended(uint64_t thread)
{
	struct uk_sched *sched = uk_sched_current();
	struct uk_thread *t;

	if (!thread || !sched)
		return 0;
	uk_sched_foreach_thread(sched, t)
		if ((uint64_t)(uintptr_t)t == thread)
			return 0;
	return 1;
}

size_t ukglue_running_name(char *into, size_t length)
{
	const char *name = name_of(uk_thread_current());
	size_t at;

	for (at = 0; at < length && name[at]; at++)
		into[at] = name[at];
	return at;
}
/* The thread that does the engine's own work, while it does. */
static struct uk_thread *own_thread;

int ukglue_set_own(int own)
{
	struct uk_thread *self = uk_thread_current();
	int before = self && own_thread == self;

	if (own || before)
		own_thread = own ? self : NULL;
	return before;
}

int ukglue_is_own(uint64_t stack)
{
	return own_thread && own_thread == uk_thread_current() && !on_cpu_stack(stack);
}

uint64_t ukglue_own_at(void)
{
	return (uint64_t)(uintptr_t)&own_thread;
}
#else
int ukglue_set_own(int own __unused) { return 0; }
int ukglue_is_own(uint64_t stack __unused) { return 0; }
uint64_t ukglue_own_at(void) { return 0; }
uint32_t ukglue_running(void) { return 1; }
uint64_t ukglue_running_at(void) { return 0; }
int ukglue_thread_ended(uint64_t thread __unused) { return 0; }
size_t ukglue_running_name(char *into __unused, size_t length __unused) { return 0; }
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
/*
 * Unikraft's allocator takes a power of two of pages for a stack and what it keeps of it. 23,560 bytes were used at most in what was
 * run (cargo xtask tour). On the auxiliary stack run system calls by the instruction, which this thread never makes.
 */
#define ALLOCATION_HEAD 256
#define STACK_BYTES (32 * 1024 - ALLOCATION_HEAD)
#define AUXILIARY_BYTES (4 * 1024 - ALLOCATION_HEAD)

static struct uk_semaphore wake;
static struct uk_thread *shell_thread;

static void thread_body(void *arg)
{
	((void (*)(void))arg)();
}

int ukglue_thread_start(void (*body)(void))
{
	struct uk_thread *t;

#if !CONFIG_LIBUSHELL_RS_VIRTIO
	/* With a driver of ours it is there before the first interrupt. */
	uk_semaphore_init(&wake, 0);
#endif
	t = uk_sched_thread_create_fn1(uk_sched_current(), (uk_thread_fn1_t)thread_body, (void *)body, STACK_BYTES, AUXILIARY_BYTES,
				       false, false, "ushell", NULL, NULL);
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
#define VIRTIO_ID_CONSOLE_ 3
#define FEATURE_MULTIPORT_BIT 1
#define PORTS CONFIG_LIBUSHELL_RS_PORTS
#define QUEUES (2 * PORTS + 2)

static struct {
	struct virtio_dev *vdev;
	struct uk_alloc *a;
	struct virtqueue *queues[QUEUES];
	/* Descriptors of each, 0 of one that the device has not. */
	__u16 sizes[QUEUES];
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

/* Queues come with their first use: each takes some pages, and of the ports there is one that is used. */
static struct virtqueue *queue_make(uint16_t number)
{
	struct virtqueue *vq = queue_get(number);

	if (vq || number >= QUEUES || !console.sizes[number])
		return vq;
	vq = virtio_vqueue_setup(console.vdev, number, console.sizes[number], queue_event, console.a);
	/* Unikraft has said what is missing. */
	if (PTRISERR(vq))
		return NULL;
	vq->priv = NULL;
	console.queues[number] = vq;
	return vq;
}

/*
 * Unikraft's own functions for buffers never get back a descriptor that the device keeps, so they are not used. It finds the device's
 * index ahead of its own from the first buffer on, and calls queue_event at every interrupt of the device.
 */
int ukglue_queue(uint16_t number, struct ukglue_queue *queue)
{
	struct virtqueue *vq = queue_make(number);
	__paddr_t start;
	char *view;

	if (!vq)
		return -ENODEV;
	start = virtqueue_physaddr(vq);
	queue->size = virtqueue_vring_get_num(vq);
#if HAVE_PROTECTION
	{
		size_t len = virtqueue_get_used_addr(vq) - start + 8UL * queue->size + 8;
		__vaddr_t mapped = page_kmap(pt_get_active(), start, (len + PAGE_BYTES - 1) / PAGE_BYTES, KMAP_FLAGS);

		if (mapped == VADDR_INVALID)
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
	__u64 wanted = 1ULL << FEATURE_MULTIPORT_BIT | 1ULL << VIRTIO_F_VERSION_1;
	__u32 ports = 1;

	if (console.vdev) {
		uk_pr_err("ushell: a second virtio-serial device is left alone: the shell's port must be one of the first\n");
		return 0;
	}
	vdev->features = virtio_feature_get(vdev) & wanted;
	if (!(vdev->features & 1ULL << FEATURE_MULTIPORT_BIT)) {
		uk_pr_err("ushell: the virtio-serial device has no named ports\n");
		return 0;
	}
	virtio_feature_set(vdev);
	if (virtio_config_get(vdev, 4, &ports, sizeof(ports), sizeof(ports)) < 0 || ports < 1 || ports > PORTS)
		ports = PORTS;
	if (virtio_find_vqs(vdev, (__u16)(2 * ports + 2), console.sizes) < 0) {
		uk_pr_err("ushell: the virtio-serial device has no queues or no interrupt\n");
		return -ENODEV;
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

int ukglue_console_wakes(void) { return 0; }
long ukglue_console_read(void *into __unused, size_t len __unused) { return -1; }
long ukglue_console_write(const void *from __unused, size_t len __unused) { return -1; }
#else /* no driver of ours */
int ukglue_port_present(void) { return 0; }
int ukglue_queue(uint16_t number __unused, struct ukglue_queue *queue __unused) { return -ENODEV; }
void ukglue_queue_notify(uint16_t number __unused) { }
uint64_t ukglue_physical(const void *memory __unused) { return 0; }

#if CONFIG_LIBUSHELL_RS_UKCONSOLE
/* Consoles that are looked at. */
#define CONSOLES 64
/* The driver's name for a port whose own name has not come yet when it is registered; it stays. */
#define UNNAMED "virtio-console-port"
/* How long a port may take before it is said to be missing. */
#define NAMING_NS 2000000000ULL

static struct uk_console *port;
static __u16 port_id;
static int port_wakes;

static void port_event(struct uk_console *dev __unused, void *cookie __unused)
{
	uk_semaphore_up(&wake);
}

/* By its number, or its name, or because it is the only one. */
static struct uk_console *port_find(void)
{
	struct uk_console *unnamed = NULL;
	unsigned int count = 0;
	__u16 id;

	for (id = 0; id < CONSOLES; id++) {
		struct uk_console *dev = uk_console_get(id);

		if (!dev || !(dev->flags & UK_CONSOLE_FLAG_ASYNC_RX) || dev->dclass == UK_CONSOLE_CLASS_HVC || !dev->name)
			continue;
#if CONFIG_LIBUSHELL_RS_PORT_NUMBER >= 0
		if (id == CONFIG_LIBUSHELL_RS_PORT_NUMBER)
			return dev;
#else
		if (!strcmp(dev->name, CONFIG_LIBUSHELL_RS_PORT))
			return dev;
		if (!strcmp(dev->name, UNNAMED)) {
			unnamed = dev;
			count++;
		}
#endif
	}
	return count == 1 ? unnamed : NULL;
}

static void port_missing(void)
{
	static const char text[] = "ushell: of Unikraft's consoles none, or more than one, can be the shell's port: give the device one port"
		" (QEMU: -device virtio-serial-pci -device virtserialport,chardev=ID,name=ushell), or choose it by LIBUSHELL_RS_PORT_NUMBER\n";
	static uint64_t until;

	if (!until)
		until = ukglue_now() + NAMING_NS;
	if (until == UINT64_MAX || ukglue_now() < until)
		return;
	until = UINT64_MAX;
	ukglue_print(text, sizeof(text) - 1);
}

/* The port, as long as it is registered: the host may have taken it away. */
static struct uk_console *port_now(void)
{
	if (port && uk_console_get(port_id) == port)
		return port;
	port_wakes = 0;
	port = port_find();
	if (!port) {
		port_missing();
		return NULL;
	}
	port_id = port->id;
	port_wakes = uk_console_async_register_callback(port, port_event, NULL, UK_CONSOLE_ASYNC_EVENT_IN) == 0;
	return port;
}

int ukglue_console_wakes(void)
{
	return port_now() && port_wakes;
}

long ukglue_console_read(void *into, size_t len)
{
	struct uk_console *dev = port_now();

	return dev && len ? (long)uk_console_in_direct(dev, into, len) : 0;
}

long ukglue_console_write(const void *from, size_t len)
{
	struct uk_console *dev = port_now();

	return dev && len ? (long)uk_console_out_direct(dev, from, len) : (long)len;
}
#else /* a console of Unikraft, polled */
int ukglue_console_wakes(void) { return 0; }

long ukglue_console_read(void *into, size_t len)
{
#if HAVE_UKCONSOLE
	return (long)uk_console_in(into, len);
#else
	return ukplat_cink(into, (unsigned int)len);
#endif
}

long ukglue_console_write(const void *from, size_t len)
{
	ukglue_print(from, len);
	return (long)len;
}
#endif
#endif
#endif /* CONFIG_LIBUSHELL_RS */

/* Files are mounted by now, devices are found, the application has not begun. A failure must not stop it. */
static int start(struct uk_init_ctx *ictx __unused)
{
	ubpf_uk_start();
	return 0;
}
uk_late_initcall(start, 0x0);
