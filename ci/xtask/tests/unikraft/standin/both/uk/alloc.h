/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
struct uk_alloc;
struct uk_alloc *uk_alloc_get_default(void);
void *uk_palloc(struct uk_alloc *a, unsigned long num_pages);
void uk_pfree(struct uk_alloc *a, void *ptr, unsigned long num_pages);
