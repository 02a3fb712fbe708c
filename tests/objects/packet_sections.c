/* Sections that are given packets: nothing here hands them any, and what does not look at one runs. */
#include <bpf/bpf_helpers.h>

static __noinline int verdict(int number)
{
	return number ? 2 : 1;
}

SEC("xdp")
int by_xdp(void *ctx)
{
	return verdict(1);
}

SEC("tc")
int by_tc(void *ctx)
{
	return verdict(0);
}

SEC("socket")
int by_socket(void *ctx)
{
	return verdict(2) + 1;
}
