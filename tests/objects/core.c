/* CO-RE: registers are found, fields of a kernel's types are missing where they are needed, and absent where they are asked for. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

enum state { STATE_ONE = 1, STATE_TWO = 2 };

SEC("kprobe/myfun")
int registers(struct pt_regs *ctx)
{
	return PT_REGS_PARM2_CORE(ctx);
}

SEC("kprobe/myfun")
int asks(struct pt_regs *ctx)
{
	struct task_struct *task = (void *)PT_REGS_PARM1(ctx);

	if (bpf_core_field_exists(task->pid))
		return BPF_CORE_READ(task, real_parent, pid);
	return bpf_core_type_exists(struct task_struct) + bpf_core_enum_value_exists(enum state, STATE_TWO) + 3;
}

SEC("kprobe/myfun")
int needs(struct pt_regs *ctx)
{
	struct task_struct *task = (void *)PT_REGS_PARM1(ctx);

	return BPF_CORE_READ(task, real_parent, pid);
}
