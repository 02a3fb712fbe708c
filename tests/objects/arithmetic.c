/* Numbers with signs: what compilers make of them differs with the CPU, down to a call of their own functions in the oldest. */
#include <bpf/bpf_helpers.h>

#ifdef __BPF_FEATURE_SDIV_SMOD
#define DIVIDED(a, b) ((a) / (b))
#define REST(a, b) ((a) % (b))
#else
#define MAGNITUDE(a) ((a) < 0 ? -(__u64)(a) : (__u64)(a))
#define SIGNED(negative, a) ((negative) ? -(__s64)(a) : (__s64)(a))
#define DIVIDED(a, b) SIGNED(((a) < 0) != ((b) < 0), MAGNITUDE(a) / MAGNITUDE(b))
#define REST(a, b) SIGNED((a) < 0, MAGNITUDE(a) % MAGNITUDE(b))
#endif

struct numbers {
	__s64 wide, by;
	__s32 word;
	__s16 half;
	__s8 byte;
	__u32 turned;
};

SEC("kprobe/myfun")
int with_signs(volatile struct numbers *given)
{
	/* -7 and 2, -70000, -300, -3, 0x11223344. */
	__s64 wide = given->wide, by = given->by, word = given->word;
	__s64 sum = DIVIDED(wide, by) * 1000 + REST(wide, by) * 100;

	sum += DIVIDED(word, 7) + REST(word, 9) + given->half + given->byte;
	sum += __builtin_bswap32(given->turned) & 0xff;
	sum += (__s16)word;
	return (int)sum;
}

SEC("kprobe/myfun")
int unsigned_ones(volatile struct numbers *given)
{
	__u32 turned = given->turned;

	return (int)(turned / 3 + turned % 1000 + (turned >> 5) + (turned << 3));
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
