/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers by the names and numbers of Linux (uapi/linux/bpf.h). An image that does not have one refuses the program, with its number. */
#ifndef UBPF_BPF_HELPER_DEFS_H
#define UBPF_BPF_HELPER_DEFS_H

#include "types.h"

#ifdef __clang__
#define UBPF_HELPER(result, name, number, ...) static result (*const name)(__VA_ARGS__) = (void *)number
#else
#define UBPF_HELPER(result, name, number, ...) result name(__VA_ARGS__) __attribute__((kernel_helper(number)))
#endif

/* Maps */
UBPF_HELPER(void *, bpf_map_lookup_elem, 1, void *map, const void *key);
UBPF_HELPER(long, bpf_map_update_elem, 2, void *map, const void *key, const void *value, __u64 flags);
UBPF_HELPER(long, bpf_map_delete_elem, 3, void *map, const void *key);
UBPF_HELPER(long, bpf_map_push_elem, 87, void *map, const void *value, __u64 flags);
UBPF_HELPER(long, bpf_map_pop_elem, 88, void *map, void *value);
UBPF_HELPER(long, bpf_map_peek_elem, 89, void *map, void *value);
UBPF_HELPER(long, bpf_for_each_map_elem, 164, void *map, void *callback, void *context, __u64 flags);
UBPF_HELPER(void *, bpf_map_lookup_percpu_elem, 195, void *map, const void *key, __u32 cpu);
/* Not of Linux: copies the key in a place of a map; 1, 0 where there is none, -2 behind the last place. */
UBPF_HELPER(long, ubpf_map_key, 255, void *map, __u64 place, void *key, __u32 size);

/* Memory of the image, read fault-safely */
UBPF_HELPER(long, bpf_probe_read, 4, void *to, __u32 size, const void *from);
UBPF_HELPER(long, bpf_probe_read_str, 45, void *to, __u32 size, const void *from);
UBPF_HELPER(long, bpf_probe_read_user, 112, void *to, __u32 size, const void *from);
UBPF_HELPER(long, bpf_probe_read_kernel, 113, void *to, __u32 size, const void *from);
UBPF_HELPER(long, bpf_probe_read_user_str, 114, void *to, __u32 size, const void *from);
UBPF_HELPER(long, bpf_probe_read_kernel_str, 115, void *to, __u32 size, const void *from);

/* Time, place, chance */
UBPF_HELPER(__u64, bpf_ktime_get_ns, 5, void);
UBPF_HELPER(__u32, bpf_get_prandom_u32, 7, void);
UBPF_HELPER(__u32, bpf_get_smp_processor_id, 8, void);
UBPF_HELPER(__u64, bpf_get_current_pid_tgid, 14, void);
UBPF_HELPER(__u64, bpf_get_current_uid_gid, 15, void);
UBPF_HELPER(long, bpf_get_current_comm, 16, void *to, __u32 size);
UBPF_HELPER(__u64, bpf_get_current_task, 35, void);
UBPF_HELPER(long, bpf_current_task_under_cgroup, 37, void *map, __u32 index);
UBPF_HELPER(__u64, bpf_get_current_cgroup_id, 80, void);
UBPF_HELPER(__u64, bpf_ktime_get_boot_ns, 125, void);
UBPF_HELPER(__u64, bpf_ktime_get_coarse_ns, 160, void);
UBPF_HELPER(__u64, bpf_ktime_get_tai_ns, 208, void);
UBPF_HELPER(__u64, bpf_jiffies64, 118, void);
UBPF_HELPER(__u64, bpf_get_func_ip, 173, void *ctx);
UBPF_HELPER(__u64, bpf_get_attach_cookie, 174, void *ctx);

/* Output */
UBPF_HELPER(long, bpf_trace_printk, 6, const char *format, __u32 size, ...);
UBPF_HELPER(long, bpf_perf_event_output, 25, void *ctx, void *map, __u64 flags, void *data, __u64 size);
UBPF_HELPER(long, bpf_ringbuf_output, 130, void *map, void *data, __u64 size, __u64 flags);
UBPF_HELPER(void *, bpf_ringbuf_reserve, 131, void *map, __u64 size, __u64 flags);
UBPF_HELPER(void, bpf_ringbuf_submit, 132, void *data, __u64 flags);
UBPF_HELPER(void, bpf_ringbuf_discard, 133, void *data, __u64 flags);
UBPF_HELPER(__u64, bpf_ringbuf_query, 134, void *map, __u64 flags);
UBPF_HELPER(long, bpf_snprintf, 165, char *to, __u32 size, const char *format, __u64 *values, __u32 bytes);
UBPF_HELPER(long, bpf_trace_vprintk, 177, const char *format, __u32 size, const void *values, __u32 bytes);

/* Stacks, calls, loops */
UBPF_HELPER(long, bpf_tail_call, 12, void *ctx, void *map, __u32 index);
UBPF_HELPER(long, bpf_get_stackid, 27, void *ctx, void *map, __u64 flags);
UBPF_HELPER(long, bpf_get_stack, 67, void *ctx, void *to, __u32 size, __u64 flags);
UBPF_HELPER(long, bpf_loop, 181, __u32 times, void *callback, void *context, __u64 flags);

/* Text and numbers */
UBPF_HELPER(long, bpf_strtol, 105, const char *text, unsigned long size, __u64 flags, long *result);
UBPF_HELPER(long, bpf_strtoul, 106, const char *text, unsigned long size, __u64 flags, unsigned long *result);
UBPF_HELPER(long, bpf_strncmp, 182, const char *text, __u32 size, const char *other);

/* Arguments of functions */
UBPF_HELPER(long, bpf_get_func_arg, 183, void *ctx, __u32 index, __u64 *value);
UBPF_HELPER(long, bpf_get_func_ret, 184, void *ctx, __u64 *value);
UBPF_HELPER(long, bpf_get_func_arg_cnt, 185, void *ctx);

#undef UBPF_HELPER

/** Writes a line to the console: at most three numbers after the format. */
#define bpf_printk(format, args...)                                              \
	({                                                                        \
		static const char ____format[] = format;                          \
		bpf_trace_printk(____format, sizeof(____format), ##args);         \
	})

#endif /* UBPF_BPF_HELPER_DEFS_H */
