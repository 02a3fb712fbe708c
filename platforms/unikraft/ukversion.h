/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the versions of Unikraft call the same thing, from 0.17 to 0.21. ukglue.c uses the names of this file where they differ.
 * A tree that has neither the old nor the new name of something is refused here with a sentence, so that no option that
 * was renamed switches a protection off in silence.
 */
#ifndef UBPF_UKVERSION_H
#define UBPF_UKVERSION_H

#if !defined(__x86_64__)
#error "ubpf-rs: built for another CPU than x86-64, the only one that ubpf-rs generates and patches code for"
#endif

#include <uk/config.h>
#include <uk/essentials.h>
#include <uk/print.h>
#include <uk/assert.h>
#include <uk/alloc.h>
#include <uk/init.h>
#include <uk/arch/types.h>

/*
 * Stops the build where a function is absent, or has another type. The compiler prints this text for both: the line of a name that is
 * not declared stands in this macro.
 */
#define UNIKRAFT_HAS(name, type) _Static_assert(__builtin_types_compatible_p(__typeof__(name), type), "ubpf-rs: " #name " is not what Unikraft 0.17 to 0.21 declare, the versions that ubpf-rs knows (docs/unikraft.md): take one of them")

/* The same for a type, a constant or a variable; for a member of a structure; and for what says on which CPU a program runs. */
#define UNIKRAFT_HAS_NAME(name) _Static_assert(sizeof(name) > 0, "ubpf-rs: " #name " is not what Unikraft 0.17 to 0.21 declare, the versions that ubpf-rs knows (docs/unikraft.md): take one of them")
#define UNIKRAFT_HAS_MEMBER(type, member) _Static_assert(sizeof(((type *)0)->member) > 0, "ubpf-rs: " #member " of " #type " is not what Unikraft 0.17 to 0.21 declare, the versions that ubpf-rs knows (docs/unikraft.md): take one of them")
#define UNIKRAFT_CPU_INDEX(value) static inline __u32 cpu_index(void) { _Static_assert(1, "ubpf-rs: " #value " is not what Unikraft 0.17 to 0.21 declare, the versions that ubpf-rs knows (docs/unikraft.md): take one of them"); return (__u32)(value); }

#if !defined(__unused) || !defined(__used) || !defined(__weak) || !defined(__align)
#error "ubpf-rs: <uk/essentials.h> of this Unikraft has no __unused, __used, __weak or __align: take Unikraft 0.17 to 0.21"
#endif
UNIKRAFT_HAS_NAME(struct uk_init_ctx);

/* ---- memory ---- */

UNIKRAFT_HAS(uk_alloc_get_default, struct uk_alloc *(void));
UNIKRAFT_HAS(uk_palloc, void *(struct uk_alloc *, unsigned long));
UNIKRAFT_HAS(uk_pfree, void(struct uk_alloc *, void *, unsigned long));

/* ---- interrupts ---- */

#if __has_include(<uk/lcpu.h>)
#include <uk/lcpu.h>
#define irq_save uk_lcpu_save_irqf
#define irq_restore uk_lcpu_restore_irqf
#define irq_disabled uk_lcpu_irqs_disabled
UNIKRAFT_HAS(uk_lcpu_save_irqf, unsigned long(void));
UNIKRAFT_HAS(uk_lcpu_restore_irqf, void(unsigned long));
UNIKRAFT_HAS(uk_lcpu_irqs_disabled, int(void));
#elif __has_include(<uk/plat/lcpu.h>)
#include <uk/plat/lcpu.h>
#define irq_save ukplat_lcpu_save_irqf
#define irq_restore ukplat_lcpu_restore_irqf
#define irq_disabled ukplat_lcpu_irqs_disabled
UNIKRAFT_HAS(ukplat_lcpu_save_irqf, unsigned long(void));
UNIKRAFT_HAS(ukplat_lcpu_restore_irqf, void(unsigned long));
UNIKRAFT_HAS(ukplat_lcpu_irqs_disabled, int(void));
#else
#error "ubpf-rs: this Unikraft has neither <uk/lcpu.h> (0.21) nor <uk/plat/lcpu.h> (before), so interrupts cannot be switched off while text is changed: take Unikraft 0.17 to 0.21"
#endif

/* ---- CPUs ---- */

#if defined(CONFIG_UKPLAT_CPU_MAXCOUNT) && defined(CONFIG_UKPLAT_LCPU_MAXCOUNT)
#error "ubpf-rs: both UKPLAT_CPU_MAXCOUNT (Unikraft 0.21) and UKPLAT_LCPU_MAXCOUNT (before) are set: the configuration is of another version than the tree; make it anew (defconfig or menuconfig in an empty build folder)"
#elif defined(CONFIG_UKPLAT_CPU_MAXCOUNT)
#define CPUS_MOST CONFIG_UKPLAT_CPU_MAXCOUNT
#elif defined(CONFIG_UKPLAT_LCPU_MAXCOUNT)
#define CPUS_MOST CONFIG_UKPLAT_LCPU_MAXCOUNT
#else
#error "ubpf-rs: neither UKPLAT_CPU_MAXCOUNT (Unikraft 0.21) nor UKPLAT_LCPU_MAXCOUNT (before) is set, so the number of CPUs is not known, and text must not be changed while several run: take Unikraft 0.17 to 0.21"
#endif

#if CPUS_MOST > 1
#define SEVERAL_CPUS 1
#if __has_include(<uk/pcpuvar.h>)
#include <uk/pcpuvar.h>
#ifndef uk_pcpuvar_current_get
#error "ubpf-rs: <uk/pcpuvar.h> of this Unikraft has no uk_pcpuvar_current_get, which says on which CPU a program runs: take Unikraft 0.17 to 0.21, or set the number of CPUs to 1"
#endif
UNIKRAFT_CPU_INDEX(uk_pcpuvar_current_get(uk_pcpuvar_cpu_idx))
/* How many were found is not told: as many as the configuration allows. */
#define cpus_found() CPUS_MOST
#elif __has_include(<uk/lcpu.h>)
UNIKRAFT_HAS(uk_lcpu_idx, __u32(void));
#define cpu_index() uk_lcpu_idx()
#define cpus_found() CPUS_MOST
#else
UNIKRAFT_HAS(ukplat_lcpu_idx, __lcpuidx(void));
UNIKRAFT_HAS(ukplat_lcpu_count, __u32(void));
#define cpu_index() ukplat_lcpu_idx()
#define cpus_found() ukplat_lcpu_count()
#endif
#endif

/* ---- pages ---- */

#if defined(CONFIG_PAGING) && defined(CONFIG_LIBUKPAGING)
#error "ubpf-rs: both PAGING (Unikraft before 0.21) and LIBUKPAGING (0.21) are set: the configuration is of another version than the tree; make it anew (defconfig or menuconfig in an empty build folder)"
#elif __has_include(<uk/paging.h>)
#if CONFIG_PAGING
#error "ubpf-rs: PAGING is set, but this Unikraft (0.21) calls it LIBUKPAGING, so pages would stay unprotected: set CONFIG_LIBUKPAGING"
#endif
#include <uk/paging.h>
#define virt_to_phys(p) uk_paging_virt_to_phys((__vaddr_t)(p))
UNIKRAFT_HAS(uk_paging_virt_to_phys, __paddr_t(__vaddr_t));
#if CONFIG_LIBUKPAGING
#define HAVE_PROTECTION 1
#define page_set_attr uk_paging_page_set_attr
#define page_kmap uk_paging_page_kmap
#define page_kunmap uk_paging_page_kunmap
#define pt_get_active uk_paging_pt_get_active
#define pt_walk uk_paging_pt_walk
#if !defined(UK_PAGING_PAGE_ATTR_PROT_RW) || !defined(UK_PAGING_PAGE_ATTR_PROT_READ) || !defined(UK_PAGING_PAGE_ATTR_PROT_EXEC)
#error "ubpf-rs: <uk/paging.h> of this Unikraft has no UK_PAGING_PAGE_ATTR_PROT_RW, _READ or _EXEC, which protect generated code: take Unikraft 0.17 to 0.21"
#endif
#if !defined(UK_PAGING_PAGE_SIZE) || !defined(UK_PAGING_PT_LEVELS) || !defined(UK_PAGING_PADDR_INV) || !defined(UK_PAGING_VADDR_INV)
#error "ubpf-rs: <uk/paging.h> of this Unikraft has no UK_PAGING_PAGE_SIZE, _PT_LEVELS, _PADDR_INV or _VADDR_INV: take Unikraft 0.17 to 0.21"
#endif
#define PROT_RW_ UK_PAGING_PAGE_ATTR_PROT_RW
#define PROT_RX_ (UK_PAGING_PAGE_ATTR_PROT_READ | UK_PAGING_PAGE_ATTR_PROT_EXEC)
#define PADDR_INVALID UK_PAGING_PADDR_INV
#define VADDR_INVALID UK_PAGING_VADDR_INV
#define LEVELS UK_PAGING_PT_LEVELS
#endif
#elif __has_include(<uk/plat/paging.h>) && __has_include(<uk/plat/io.h>)
#if CONFIG_LIBUKPAGING
#error "ubpf-rs: LIBUKPAGING is set, but this Unikraft (before 0.21) calls it PAGING, so pages would stay unprotected: set CONFIG_PAGING"
#endif
#include <uk/plat/io.h>
#define virt_to_phys(p) ukplat_virt_to_phys(p)
UNIKRAFT_HAS(ukplat_virt_to_phys, __paddr_t(const volatile void *));
#if CONFIG_PAGING
#include <uk/plat/paging.h>
#define HAVE_PROTECTION 1
#define page_set_attr ukplat_page_set_attr
#define page_kmap ukplat_page_kmap
#define page_kunmap ukplat_page_kunmap
#define pt_get_active ukplat_pt_get_active
#define pt_walk ukplat_pt_walk
#if !defined(PAGE_ATTR_PROT_RW) || !defined(PAGE_ATTR_PROT_READ) || !defined(PAGE_ATTR_PROT_EXEC)
#error "ubpf-rs: <uk/plat/paging.h> of this Unikraft has no PAGE_ATTR_PROT_RW, _READ or _EXEC, which protect generated code: take Unikraft 0.17 to 0.21"
#endif
#if !defined(__PADDR_INV) || !defined(__VADDR_INV) || !defined(PT_LEVELS)
#error "ubpf-rs: <uk/plat/paging.h> of this Unikraft has no __PADDR_INV, __VADDR_INV or PT_LEVELS: take Unikraft 0.17 to 0.21"
#endif
#define PROT_RW_ PAGE_ATTR_PROT_RW
#define PROT_RX_ (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_EXEC)
#define PADDR_INVALID __PADDR_INV
#define VADDR_INVALID __VADDR_INV
#define LEVELS PT_LEVELS
#endif
#else
#error "ubpf-rs: this Unikraft has neither <uk/paging.h> (0.21) nor <uk/plat/paging.h> and <uk/plat/io.h> (before), so it is not known whether pages are protected: take Unikraft 0.17 to 0.21"
#endif

#if HAVE_PROTECTION
#define KMAP_FLAGS 0
UNIKRAFT_HAS(page_set_attr, int(struct uk_pagetable *, __vaddr_t, unsigned long, unsigned long, unsigned long));
UNIKRAFT_HAS(page_kmap, __vaddr_t(struct uk_pagetable *, __paddr_t, unsigned long, unsigned long));
UNIKRAFT_HAS(page_kunmap, void(struct uk_pagetable *, __vaddr_t, unsigned long, unsigned long));
UNIKRAFT_HAS(pt_get_active, struct uk_pagetable *(void));
UNIKRAFT_HAS(pt_walk, int(struct uk_pagetable *, __vaddr_t, unsigned int *, __vaddr_t *, __pte_t *));
#endif

/* The page size of x86-64, and what Unikraft calls it does not matter. */
#define PAGE_BYTES 4096UL

/* ---- the stacks that the CPU begins anew at each trap ---- */

#include <uk/plat/config.h>
#ifndef CPU_EXCEPT_STACK_SIZE
#error "ubpf-rs: <uk/plat/config.h> of this Unikraft has no CPU_EXCEPT_STACK_SIZE, so a read could destroy the stack of a trap: take Unikraft 0.17 to 0.21"
#endif
#if __has_include(<uk/lcpu.h>)
/* One block for each CPU: for breakpoints and the worst of faults, for other faults, for interrupts (which is not begun anew by a fault). */
UNIKRAFT_HAS(uk_pal_except_get_except_stack_base, __uptr(void));
#define EXCEPT_STACKS 3
#endif

/* ---- crash, print, start, time, fault-safe reads ---- */

#if __has_include(<uk/crash.h>)
#include <uk/crash.h>
#endif
#ifndef UK_CRASH
#error "ubpf-rs: this Unikraft has UK_CRASH neither in <uk/crash.h> (0.21) nor in <uk/assert.h> (before): take Unikraft 0.17 to 0.21"
#endif
#if !defined(uk_pr_err) || !defined(uk_pr_crit)
#error "ubpf-rs: <uk/print.h> of this Unikraft has no uk_pr_err or uk_pr_crit: take Unikraft 0.17 to 0.21"
#endif
#ifndef uk_late_initcall
#error "ubpf-rs: <uk/init.h> of this Unikraft has no uk_late_initcall, so ubpf-rs would never start: take Unikraft 0.17 to 0.21"
#endif
#if !__has_include(<uk/plat/time.h>)
#error "ubpf-rs: this Unikraft has no <uk/plat/time.h>: take Unikraft 0.17 to 0.21"
#endif
#include <uk/plat/time.h>
UNIKRAFT_HAS(ukplat_monotonic_clock, __nsec(void));
#if !CONFIG_LIBUKNOFAULT || !__has_include(<uk/nofault.h>)
#error "ubpf-rs: LIBUKNOFAULT is off or gone, and without it a program's read of a wrong address would end the image: take Unikraft 0.17 to 0.21"
#endif
#include <uk/nofault.h>
UNIKRAFT_HAS(uk_nofault_memcpy, __sz(char *, const char *, __sz, unsigned long));
#ifndef UK_NOFAULTF_NOPAGING
#error "ubpf-rs: <uk/nofault.h> of this Unikraft has no UK_NOFAULTF_NOPAGING, so a read on a hook's path could wait for a page: take Unikraft 0.17 to 0.21"
#endif

/* Before 0.21 a fault says where it was, so that a few loads of ours can be one that is expected; since then uknofault reads for us. */
#if !__has_include(<uk/lcpu.h>)
#if !__has_include(<uk/event.h>) || !__has_include(<uk/arch/traps.h>)
#error "ubpf-rs: this Unikraft has no <uk/event.h> or no <uk/arch/traps.h>, so nobody says when a walk through a stack meets a wrong address: take Unikraft 0.17 to 0.21"
#endif
#include <uk/event.h>
#include <uk/arch/traps.h>
#include <uk/arch/lcpu.h>
UNIKRAFT_HAS_MEMBER(struct ukarch_trap_ctx, regs);
UNIKRAFT_HAS_MEMBER(struct __regs, rip);
#if !defined(UK_EVENT_HANDLER_PRIO) || !defined(UK_EVENT_HANDLED) || !defined(UK_EVENT_NOT_HANDLED)
#error "ubpf-rs: <uk/event.h> of this Unikraft has no UK_EVENT_HANDLER_PRIO, UK_EVENT_HANDLED or UK_EVENT_NOT_HANDLED, so a walk through a stack that meets a wrong address would end the image: take Unikraft 0.17 to 0.21"
#endif
#if !defined(UKARCH_TRAP_PAGE_FAULT) || !defined(UKARCH_TRAP_X86_GP)
#error "ubpf-rs: <uk/arch/traps.h> of this Unikraft has no UKARCH_TRAP_PAGE_FAULT or UKARCH_TRAP_X86_GP, so a walk through a stack that meets a wrong address would end the image: take Unikraft 0.17 to 0.21"
#endif
#define HAVE_FAULT_EVENTS 1
#endif

/* ---- interrupts with what they have interrupted, for programs of timers ---- */

/* Since 0.21 handlers of interrupts are not told. */
#if !__has_include(<uk/lcpu.h>)
#if !__has_include(<uk/intctlr.h>)
#error "ubpf-rs: this Unikraft has no <uk/intctlr.h>, so programs of timers would never run: take Unikraft 0.17 to 0.21"
#endif
#include <uk/intctlr.h>
#ifndef UK_INTCTLR_EVENT_IRQ
#error "ubpf-rs: <uk/intctlr.h> of this Unikraft has no UK_INTCTLR_EVENT_IRQ, so programs of timers would never run: take Unikraft 0.17 to 0.21"
#endif
UNIKRAFT_HAS_MEMBER(struct uk_intctlr_event_irq_data, regs);
UNIKRAFT_HAS_MEMBER(struct uk_intctlr_event_irq_data, irq);
UNIKRAFT_HAS_MEMBER(struct __regs, r15);
UNIKRAFT_HAS_NAME(uk_intctlr_irq_handler_func_t);
UNIKRAFT_HAS(uk_intctlr_irq_register, int(unsigned int, uk_intctlr_irq_handler_func_t, void *));
#define HAVE_IRQ_EVENTS 1
#endif

/* ---- the kernel's console ---- */

#if CONFIG_LIBUKCONSOLE && __has_include(<uk/console.h>)
#include <uk/console.h>
UNIKRAFT_HAS(uk_console_out, __ssz(const char *, __sz));
UNIKRAFT_HAS(uk_console_in, __ssz(char *, __sz));
#define HAVE_UKCONSOLE 1
#elif !CONFIG_LIBUKCONSOLE && __has_include(<uk/plat/console.h>) && !__has_include(<uk/lcpu.h>)
#include <uk/plat/console.h>
UNIKRAFT_HAS(ukplat_coutk, int(const char *, unsigned int));
UNIKRAFT_HAS(ukplat_cink, int(char *, unsigned int));
#else
#error "ubpf-rs: no console: LIBUKCONSOLE is off, and without it only Unikraft 0.17 has one (<uk/plat/console.h>): switch LIBUKCONSOLE on"
#endif

/* ---- files ---- */

#if CONFIG_LIBUBPF_RS_FILES && !CONFIG_LIBVFSCORE && !CONFIG_LIBPOSIX_VFS_SYSCALLS
#error "ubpf-rs: LIBUBPF_RS_FILES needs open and read: of vfscore (LIBVFSCORE) or of posix-vfs (LIBPOSIX_VFS with LIBPOSIX_VFS_SYSCALLS); switch one of them on, or LIBUBPF_RS_FILES off"
#endif
/* opendir and readdir are vfscore's, or a C library's over posix-vfs; nolibc has none. */
#if CONFIG_LIBVFSCORE || CONFIG_LIBMUSL || CONFIG_LIBNEWLIBC
#define LISTS_DIRECTORIES 1
#endif

/* ---- the kernel's command line ---- */

#if CONFIG_LIBUKLIBPARAM
#include <uk/libparam.h>
#ifndef UK_LIBPARAM_PARAM_ARR_ALIAS
#error "ubpf-rs: <uk/libparam.h> of this Unikraft has no UK_LIBPARAM_PARAM_ARR_ALIAS, so ubpf.attach would be ignored: take Unikraft 0.17 to 0.21"
#endif
#endif

/* ---- threads ---- */

#if CONFIG_LIBUKSCHED
#include <uk/sched.h>
UNIKRAFT_HAS(uk_thread_current, struct uk_thread *(void));
UNIKRAFT_HAS(uk_sched_yield, void(void));
UNIKRAFT_HAS_MEMBER(struct uk_thread, sched);
UNIKRAFT_HAS_MEMBER(struct uk_thread, name);
#if !defined(UK_THREAD_INIT_PRIO_FLAGS) || !defined(UK_PRIO_LATEST)
#error "ubpf-rs: <uk/thread.h> of this Unikraft has no UK_THREAD_INIT_PRIO_FLAGS or no UK_PRIO_LATEST, so nobody says when a thread ends: take Unikraft 0.17 to 0.21"
#endif
#ifndef uk_sched_foreach_thread
#error "ubpf-rs: <uk/sched.h> of this Unikraft has no uk_sched_foreach_thread, so nobody knows which threads there are: take Unikraft 0.17 to 0.21"
#endif
UNIKRAFT_HAS(uk_sched_current, struct uk_sched *(void));
#endif

#if CONFIG_LIBUSHELL_RS
#if !CONFIG_LIBUKSCHED || !CONFIG_LIBUKLOCK_SEMAPHORE
#error "ushell-rs: LIBUKSCHED or LIBUKLOCK_SEMAPHORE is off or gone, so the shell has no thread that can sleep: take Unikraft 0.17 to 0.21"
#endif
#include <uk/semaphore.h>
UNIKRAFT_HAS_NAME(uk_thread_fn1_t);
UNIKRAFT_HAS(uk_sched_thread_create_fn1, struct uk_thread *(struct uk_sched *, uk_thread_fn1_t, void *, size_t, size_t, bool, bool, const char *, void *, uk_thread_dtor_t));
UNIKRAFT_HAS(uk_sched_current, struct uk_sched *(void));
UNIKRAFT_HAS(uk_semaphore_init, void(struct uk_semaphore *, long));
UNIKRAFT_HAS(uk_semaphore_up, void(struct uk_semaphore *));
UNIKRAFT_HAS(uk_semaphore_down, void(struct uk_semaphore *));
UNIKRAFT_HAS(uk_semaphore_down_try, int(struct uk_semaphore *));
UNIKRAFT_HAS(uk_semaphore_down_to, __nsec(struct uk_semaphore *, __nsec));
#endif

/* ---- a driver of our own for virtio-serial ---- */

#if CONFIG_LIBUSHELL_RS_VIRTIO
#if CONFIG_LIBVIRTIO_CONSOLE
#error "ushell-rs: LIBVIRTIO_CONSOLE drives the device already: choose LIBUSHELL_RS_UKCONSOLE, or switch LIBVIRTIO_CONSOLE off"
#endif
#if !CONFIG_LIBVIRTIO_BUS || !__has_include(<virtio/virtio_bus.h>)
#error "ushell-rs: LIBVIRTIO_BUS is off or gone, so no virtio-serial device is found: take Unikraft 0.17 to 0.21, or choose LIBUSHELL_RS_CONSOLE"
#endif
#include <virtio/virtio_bus.h>
#if !defined(VIRTIO_BUS_REGISTER_DRIVER) || !defined(VIRTIO_F_VERSION_1)
#error "ushell-rs: <virtio/virtio_bus.h> of this Unikraft has no VIRTIO_BUS_REGISTER_DRIVER or no VIRTIO_F_VERSION_1: take Unikraft 0.17 to 0.21, or choose LIBUSHELL_RS_CONSOLE"
#endif
#ifndef PTRISERR
#error "ushell-rs: this Unikraft has no PTRISERR (<uk/errptr.h>): take Unikraft 0.17 to 0.21, or choose LIBUSHELL_RS_CONSOLE"
#endif
UNIKRAFT_HAS_MEMBER(struct virtio_driver, dev_ids);
UNIKRAFT_HAS_MEMBER(struct virtio_driver, init);
UNIKRAFT_HAS_MEMBER(struct virtio_driver, add_dev);
UNIKRAFT_HAS_NAME(struct virtio_dev_id);
UNIKRAFT_HAS_MEMBER(struct virtio_dev, features);
UNIKRAFT_HAS_MEMBER(struct virtqueue, vdev);
UNIKRAFT_HAS_MEMBER(struct virtqueue, queue_id);
UNIKRAFT_HAS_MEMBER(struct virtqueue, vq_notify_host);
UNIKRAFT_HAS_MEMBER(struct virtqueue, priv);
UNIKRAFT_HAS(virtio_feature_get, __u64(struct virtio_dev *));
UNIKRAFT_HAS(virtio_feature_set, void(struct virtio_dev *));
UNIKRAFT_HAS(virtio_config_get, int(struct virtio_dev *, __u16, void *, __u32, __u8));
UNIKRAFT_HAS(virtio_find_vqs, int(struct virtio_dev *, __u16, __u16 *));
UNIKRAFT_HAS(virtio_vqueue_setup, struct virtqueue *(struct virtio_dev *, __u16, __u16, virtqueue_callback_t, struct uk_alloc *));
UNIKRAFT_HAS(virtio_dev_drv_up, void(struct virtio_dev *));
UNIKRAFT_HAS(virtqueue_physaddr, __paddr_t(struct virtqueue *));
UNIKRAFT_HAS(virtqueue_get_avail_addr, __paddr_t(struct virtqueue *));
UNIKRAFT_HAS(virtqueue_get_used_addr, __paddr_t(struct virtqueue *));
UNIKRAFT_HAS(virtqueue_vring_get_num, unsigned int(struct virtqueue *));
#endif

/* ---- Unikraft's driver for virtio-serial ---- */

#if CONFIG_LIBUSHELL_RS_UKCONSOLE
#if !CONFIG_LIBVIRTIO_CONSOLE || !HAVE_UKCONSOLE || !__has_include(<uk/console/driver.h>)
#error "ushell-rs: LIBUSHELL_RS_UKCONSOLE needs the driver LIBVIRTIO_CONSOLE, which Unikraft has since 0.21: choose LIBUSHELL_RS_VIRTIO before"
#endif
#include <uk/console/driver.h>
#if !defined(UK_CONSOLE_ASYNC_EVENT_IN) || !defined(UK_CONSOLE_FLAG_ASYNC_RX)
#error "ushell-rs: consoles of this Unikraft wake nobody (UK_CONSOLE_ASYNC_EVENT_IN, since 0.21): choose LIBUSHELL_RS_VIRTIO or LIBUSHELL_RS_CONSOLE"
#endif
UNIKRAFT_HAS_MEMBER(struct uk_console, id);
UNIKRAFT_HAS_MEMBER(struct uk_console, name);
UNIKRAFT_HAS_MEMBER(struct uk_console, flags);
UNIKRAFT_HAS_NAME(UK_CONSOLE_CLASS_HVC);
UNIKRAFT_HAS(((struct uk_console *)0)->dclass, enum uk_console_devclass);
UNIKRAFT_HAS(uk_console_get, struct uk_console *(__u16));
UNIKRAFT_HAS(uk_console_in_direct, __ssz(struct uk_console *, char *, __sz));
UNIKRAFT_HAS(uk_console_out_direct, __ssz(struct uk_console *, const char *, __sz));
UNIKRAFT_HAS(uk_console_async_register_callback, int(struct uk_console *, uk_console_async_handler_func, void *, __u32));
#endif

#endif
