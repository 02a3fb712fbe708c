/* Structs of the application, looked into through its own pointers: each load is one that may fail. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct node {
	int number;
	signed char small;
	struct node *next;
	unsigned short numbers[4];
} __attribute__((preserve_access_index));

__u64 numbers, small, others, nodes;

SEC("fentry/gcc_patchable_myfun")
int BPF_PROG(walk, struct node *node)
{
	for (int i = 0; i < 8; i++) {
		if (!node)
			break;
		numbers += node->number;
		small += node->small;
		others += node->numbers[2];
		nodes++;
		node = node->next;
	}
	return 0;
}

/* What is the program's own is looked at as ever: the node is in its frame, and in its data. */
struct node own = { .number = 7 };

SEC("kprobe/gcc_patchable_myfun")
int BPF_KPROBE(looks_at_its_own, struct node *node)
{
	struct node copy = {};

	bpf_probe_read_kernel(&copy, sizeof(copy), node);
	return copy.number * 100 + own.number;
}

/* Variables of the application, by their names. */
extern const int ubpf_test_number __ksym;
extern const unsigned short ubpf_test_numbers[4] __ksym;

SEC("kprobe/gcc_patchable_myfun")
int globals(struct pt_regs *ctx)
{
	return ubpf_test_number * 100 + ubpf_test_numbers[3];
}
