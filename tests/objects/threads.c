/* Who calls: numbers and name of the thread. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct caller {
	__u64 numbers;
	__u64 user;
	char name[16];
};

struct caller caller;

SEC("kprobe/gcc_patchable_myfun")
int who(struct pt_regs *ctx)
{
	caller.numbers = bpf_get_current_pid_tgid();
	caller.user = bpf_get_current_uid_gid();
	return bpf_get_current_comm(caller.name, sizeof(caller.name));
}
