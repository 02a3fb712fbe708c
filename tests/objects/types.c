/* Keys, values, records and variables of many types, for who shows them by name. */
#include <bpf/bpf_helpers.h>

enum state { IDLE, RUNNING = 3, BROKEN = -1 };

struct place {
	__s16 x, y;
};

struct key {
	__u32 pid;
	char name[12];
};

struct value {
	__u64 count;
	enum state state;
	_Bool active;
	__s8 level;
	__u16 low : 3, high : 9;
	__s32 signed_part : 5;
	struct place places[2];
	union {
		__u32 number;
		__u8 bytes[4];
	};
	void *where;
	const volatile struct value *next;
};

struct event {
	__u32 pid;
	char text[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct value);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __s64);
} levels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} events SEC(".maps");

const volatile __u32 step = 2;
__u64 runs;
struct place last = { 1, -1 };

SEC("kprobe/gcc_patchable_myfun")
int records(void *ctx)
{
	struct key key = { .pid = 7, .name = "first" };
	struct value value = {
		.count = 5, .state = BROKEN, .active = 1, .level = -4, .low = 5, .high = 300, .signed_part = -3,
		.places = { { 1, 2 }, { -3, 4 } }, .number = 0x04030201, .where = (void *)0x1234,
	};
	struct event event = { .pid = 9, .text = "a record" };
	__u32 index = 1;
	__s64 level = -5;

	bpf_map_update_elem(&seen, &key, &value, BPF_ANY);
	bpf_map_update_elem(&levels, &index, &level, BPF_ANY);
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	runs += step;
	last.x++;
	return (int)runs;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
