/* CO-RE with the types of an image, as those in `image/` are: the same fields elsewhere, and some that are not there. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct place {
	int x, y;
};

struct item___mine {
	long count;
	int both;
	struct place places[4];
	unsigned low : 4, high : 7;
	int gone;
	int wide;
};

struct differs {
	int value;
};

#pragma clang attribute pop

enum state { IDLE = 1, RUNNING = 2, NEVER = 3 };

#define OFFSET(field) __builtin_preserve_field_info(((struct item___mine *)0)->field, 0)
#define INFO(field, kind) __builtin_preserve_field_info(((struct item___mine *)0)->field, kind)

SEC("classic_count")
int fields(void *ctx)
{
	/* 16, 24 (in a union without a name), 28 + 2 * 12 + 8. */
	return OFFSET(count) * 10000 + OFFSET(both) * 100 + OFFSET(places[2].y);
}

SEC("classic_bits")
int bits(void *ctx)
{
	/* Bits 3 to 11 of the word at 76. */
	return OFFSET(high) * 10000 + INFO(high, 4) * 100 + INFO(high, 5);
}

SEC("classic_exists")
int exists(void *ctx)
{
	return bpf_core_field_exists(((struct item___mine *)0)->count) + 2 * bpf_core_field_exists(((struct item___mine *)0)->gone) +
	       4 * bpf_core_type_exists(struct item___mine) + 8 * bpf_core_enum_value_exists(enum state, NEVER) +
	       16 * bpf_core_enum_value_exists(enum state, RUNNING) + 100 * bpf_core_enum_value(enum state, RUNNING) +
	       1000 * bpf_core_type_size(struct item___mine);
}

SEC("classic_gone")
int gone(void *ctx)
{
	return OFFSET(gone);
}

SEC("classic_wide")
int wide(void *ctx)
{
	return OFFSET(wide);
}

SEC("classic_twice")
int twice(void *ctx)
{
	return __builtin_preserve_field_info(((struct differs *)0)->value, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
