/* Programs that are given packets, with the contexts of Linux. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

/* As much of it as is used here, where Linux has it. */
struct __sk_buff {
	__u32 len, others[18], data, data_end;
};

struct ethernet {
	__u8 to[6], from[6];
	__u16 type;
};

struct ip {
	__u8 version_and_length, service;
	__u16 length, number, fragment;
	__u8 life, protocol;
	__u16 sum;
	__u32 from, to;
};

static __noinline int protocol(struct xdp_md *context)
{
	/* Else clang -O3 passes what it loads of the context, as numbers of 32 bits. */
	__asm__ volatile("" : "+r"(context));

	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethernet *ethernet = data;
	struct ip *ip = data + sizeof(*ethernet);

	if ((void *)(ip + 1) > end || ethernet->type != bpf_htons(0x0800))
		return -1;
	return ip->protocol;
}

SEC("xdp")
int only_udp(struct xdp_md *context)
{
	return protocol(context) == 17 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int bytes_of_type(struct xdp_md *context)
{
	__u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 sum = context->ingress_ifindex;

	for (int i = 0; i < 14; i++) {
		if (data + i + 1 > end)
			break;
		sum += data[i];
	}
	return sum;
}

SEC("xdp")
int unchecked(struct xdp_md *context)
{
	struct ethernet *ethernet = (void *)(long)context->data;

	return ethernet->type;
}

SEC("xdp")
int beyond(struct xdp_md *context)
{
	__u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	return data + 14 > end ? 0 : data[14];
}

SEC("tc")
int rewritten(struct __sk_buff *buffer)
{
	__u8 *data = (void *)(long)buffer->data, *end = (void *)(long)buffer->data_end;

	if (data + 4 > end)
		return -1;
	data[0] = data[3];
	return buffer->len * 256 + data[0];
}
