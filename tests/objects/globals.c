/* Data of each kind: constants that can be set, variables with and without a first value, a table, literals. */
#include <bpf/bpf_helpers.h>

const volatile __u32 limit = 3;
const volatile __s16 step = -1;
const volatile _Bool verbose;
static const __u32 table[8] = { 3, 1, 4, 1, 5, 9, 2, 6 };
__u64 runs;
__u64 started = 40;
static __u64 sum;

SEC("kprobe/myfun")
int count(void *ctx)
{
	runs++;
	started++;
	for (__u32 i = 0; i < limit && i < 8; i++)
		sum += table[i];
	if (verbose)
		return step;
	return (int)(sum + started + runs);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
