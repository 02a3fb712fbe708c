/* An array: found in it and beyond it, changed in place, an index that the verifier has to bound. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} squares SEC(".maps");

SEC("kprobe/myfun")
int fill(void *ctx)
{
	__u32 sum = 0;

	for (__u32 i = 0; i < 10; i++) {
		__u32 *square = bpf_map_lookup_elem(&squares, &i);

		if (square) {
			*square = i * i;
			sum += *square;
		} else {
			sum += 1000;
		}
	}
	return sum;
}
