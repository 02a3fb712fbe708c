/* Calls through pointers: in a register, and in a table. */
#include <bpf/bpf_helpers.h>

static __noinline __u64 triple(__u64 x)
{
	return x * 3 + 1;
}

static __noinline __u64 mixed(__u64 x)
{
	return x ^ 0x55;
}

static __u64 (*volatile table[2])(__u64) = { triple, mixed };

SEC("prog")
__u64 by_table(__u8 *memory, __u64 length)
{
	return table[length & 1](memory[0]);
}

SEC("prog")
__u64 by_value(__u8 *memory, __u64 length)
{
	__u64 (*volatile pointer)(__u64) = length & 1 ? triple : mixed;

	return pointer(memory[0]);
}
