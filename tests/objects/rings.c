/* Records of rings: written, reserved and submitted, reserved and discarded. */
#include <bpf/bpf_helpers.h>

struct event {
	__u64 number;
	__u32 length;
	char name[20];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static __noinline int fill(struct event *event, __u64 number)
{
	if (!event)
		return 0;
	event->number = number;
	event->length = bpf_snprintf(event->name, sizeof(event->name), "event %llu", &number, sizeof(number));
	return 1;
}

SEC("prog")
int odd_ones(void)
{
	int submitted = 0;

	for (int i = 0; i < 10; i++) {
		struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

		if (!event)
			break;
		fill(event, i);
		if ((i & 1) == 0) {
			bpf_ringbuf_discard(event, 0);
			continue;
		}
		bpf_ringbuf_submit(event, 0);
		submitted++;
	}
	/* Five of ten records of 40 bytes each wait, and those that were discarded between them. */
	return submitted * 1000 + bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
}

SEC("kept")
int forgotten(void)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	return event != 0;
}

SEC("twice")
int submitted_twice(void)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	bpf_ringbuf_submit(event, 0);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

SEC("late")
int written_late(void)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	bpf_ringbuf_submit(event, 0);
	event->number = 1;
	return 1;
}
