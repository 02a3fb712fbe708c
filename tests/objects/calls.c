/* Functions: static and global, in the program's section and in others, called from several programs. */
#include <bpf/bpf_helpers.h>

__noinline int global(int x)
{
	return x * 3 + 1;
}

static __noinline int in_text(int x)
{
	return global(x) ^ 5;
}

SEC("kprobe/a")
static __noinline int beside(int x)
{
	return in_text(x) + 100;
}

SEC("kprobe/a")
int first(int *argument)
{
	return beside(7) + in_text(1);
}

SEC("kprobe/b")
int second(int *argument)
{
	return global(2);
}
