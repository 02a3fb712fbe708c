/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
struct uk_alloc;
struct uk_alloc *uk_alloc_get_default(void);
int uk_posix_memalign(struct uk_alloc *a, void **block, size_t align, size_t len);
void uk_free(struct uk_alloc *a, void *block);
