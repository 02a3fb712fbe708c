/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
struct uk_pagetable;
int uk_paging_page_set_attr(struct uk_pagetable *pt, __vaddr_t at, unsigned long pages, unsigned long attr, unsigned long flags);
__vaddr_t uk_paging_page_kmap(struct uk_pagetable *pt, __paddr_t at, unsigned long pages, unsigned long flags);
void uk_paging_page_kunmap(struct uk_pagetable *pt, __vaddr_t at, unsigned long pages, unsigned long flags);
struct uk_pagetable *uk_paging_pt_get_active(void);
int uk_paging_pt_walk(struct uk_pagetable *pt, __vaddr_t at, unsigned int *level, __vaddr_t *table, __pte_t *entry);
__paddr_t uk_paging_virt_to_phys(__vaddr_t at);
#define UK_PAGING_PAGE_ATTR_PROT_READ 1
#define UK_PAGING_PAGE_ATTR_PROT_RW 3
#define UK_PAGING_PAGE_ATTR_PROT_EXEC 4
#define UK_PAGING_PADDR_INV 0xfffUL
#define UK_PAGING_VADDR_INV 0xfffUL
#define UK_PAGING_PAGE_SIZE 4096
#define UK_PAGING_PT_LEVELS 4
