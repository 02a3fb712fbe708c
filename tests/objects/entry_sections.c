/* Every section of a function's entry, each with the argument that it is given. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define AT(section, name) \
	SEC(section) \
	int name(struct pt_regs *ctx) \
	{ \
		return (int)PT_REGS_PARM1(ctx) + 1; \
	}

AT("kprobe/myfun", by_kprobe)
AT("uprobe//proc/self/exe:myfun", by_uprobe)
AT("kprobe.multi/my*", by_pattern)

SEC("fentry/myfun")
int by_fentry(__u64 *ctx)
{
	return (int)ctx[0] + 1;
}
