/* Global functions, which Linux verifies by the types of their arguments alone, and which are verified here with what each call gives them. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct point {
	int x, y;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct point);
} points SEC(".maps");

__noinline int first_argument(struct pt_regs *ctx)
{
	return PT_REGS_PARM1(ctx);
}

__noinline int sum(struct point *point)
{
	return point ? point->x + point->y : 100;
}

__noinline int unchecked(struct point *point)
{
	return point->x;
}

__noinline int element(int index)
{
	struct point several[4] = { { 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 0 } };

	barrier_var(index);
	return index >= 0 && index < 4 ? several[index].x : 1000;
}

SEC("kprobe/myfun")
int right(struct pt_regs *ctx)
{
	struct point own = { 3, 4 };
	__u32 key = 1;

	return sum(&own) + sum(bpf_map_lookup_elem(&points, &key)) + sum(0) + first_argument(ctx) + element(2) + element(-1);
}

/* Linux wants a comparison with null in the function; here each call is looked at, and none of these gives null. */
SEC("kprobe/myfun")
int never_null(struct pt_regs *ctx)
{
	struct point own = { 3, 4 };

	return unchecked(&own);
}

SEC("kprobe/myfun")
int perhaps_null(struct pt_regs *ctx)
{
	__u32 key = 1;

	return unchecked(bpf_map_lookup_elem(&points, &key));
}

SEC("kprobe/myfun")
int number(struct pt_regs *ctx)
{
	return sum((struct point *)0x1000);
}

SEC("kprobe/myfun")
int too_short(struct pt_regs *ctx)
{
	int own = 3;

	return sum((struct point *)&own);
}

SEC("kprobe/myfun")
int no_context(struct pt_regs *ctx)
{
	struct point own = { 3, 4 };

	return first_argument((struct pt_regs *)&own);
}
