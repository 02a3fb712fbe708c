/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
struct uk_pagetable;
int ukplat_page_set_attr(struct uk_pagetable *pt, __vaddr_t at, unsigned long pages, unsigned long attr, unsigned long flags);
__vaddr_t ukplat_page_kmap(struct uk_pagetable *pt, __paddr_t at, unsigned long pages, unsigned long flags);
void ukplat_page_kunmap(struct uk_pagetable *pt, __vaddr_t at, unsigned long pages, unsigned long flags);
struct uk_pagetable *ukplat_pt_get_active(void);
int ukplat_pt_walk(struct uk_pagetable *pt, __vaddr_t at, unsigned int *level, __vaddr_t *table, __pte_t *entry);
#define PAGE_ATTR_PROT_READ 1
#define PAGE_ATTR_PROT_RW 3
#define PAGE_ATTR_PROT_EXEC 4
#define __PADDR_INV 0xfffUL
#define __VADDR_INV 0xfffUL
#define PT_LEVELS 4
