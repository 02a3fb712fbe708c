/* Records for whoever reads: to an array of events. */
#include <bpf/bpf_helpers.h>

struct event {
	__u32 number;
	char text[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

SEC("kprobe/myfun")
int tell(void *ctx)
{
	struct event event = { .number = 7, .text = "seven" };
	int good = 0;

	for (int i = 0; i < 3; i++)
		good += bpf_perf_event_output(ctx, &events, 0xffffffffULL /* this CPU */, &event, sizeof(event)) == 0;
	return good;
}
