/* Names that are found when the program is loaded. */
#include <bpf/bpf_helpers.h>

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_NONE __kconfig __weak;
extern const void myfun __ksym;
extern const void nothing_of_this_name __ksym __weak;

SEC("kprobe/myfun")
int program(void *ctx)
{
	if (&nothing_of_this_name)
		return 1;
	if (!(unsigned long)&myfun)
		return 2;
	return CONFIG_NONE + (LINUX_KERNEL_VERSION >= 0x60100);
}
