/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers in the byte order of networks, by the names that libbpf has for it. */
#ifndef UBPF_BPF_ENDIAN_H
#define UBPF_BPF_ENDIAN_H

#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_ntohs(x) __builtin_bswap16(x)
#define bpf_htonl(x) __builtin_bswap32(x)
#define bpf_ntohl(x) __builtin_bswap32(x)
#define bpf_cpu_to_be64(x) __builtin_bswap64(x)
#define bpf_be64_to_cpu(x) __builtin_bswap64(x)

#endif /* UBPF_BPF_ENDIAN_H */
