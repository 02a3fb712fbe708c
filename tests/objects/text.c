/* Text: literals, compared and searched, on the stack and in constants. */
#include <bpf/bpf_helpers.h>

static const char *const unused = "never read";

static __noinline int length(const char *text, int most)
{
	int at;

	for (at = 0; at < most && at < 16; at++)
		if (!text[at])
			break;
	return at;
}

SEC("kprobe/myfun")
int words(void *ctx)
{
	char text[16] = "a few words";
	const volatile char literal[] = "words";
	int spaces = 0;

	for (int i = 0; i < (int)sizeof(text); i++)
		spaces += text[i] == ' ';
	return spaces * 100 + length(text, sizeof(text)) + (literal[0] == 'w');
}
