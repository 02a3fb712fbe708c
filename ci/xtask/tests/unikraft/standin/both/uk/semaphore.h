/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
struct uk_semaphore {
	long count;
};
void uk_semaphore_init(struct uk_semaphore *s, long count);
void uk_semaphore_up(struct uk_semaphore *s);
void uk_semaphore_down(struct uk_semaphore *s);
int uk_semaphore_down_try(struct uk_semaphore *s);
__nsec uk_semaphore_down_to(struct uk_semaphore *s, __nsec timeout);
