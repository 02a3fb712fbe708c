/*
 * What applications call of the image, and what takes the CPU from a thread. It has entry stubs, so that there is something here for those who
 * ask for allocations, waiting and system calls. These two are named as in Unikraft, where system calls are functions of the image, too.
 */
#include <stdlib.h>
#include <sys/calls.h>
#include <unistd.h>

#define NS_PER_S 1000000000L

/* src/app.rs and src/thread.rs */
void console_write(const char *text, unsigned long length);
void *take_block(unsigned long size);
void give_block(void *memory);
void thread_wait(unsigned long ns);
void thread_next(void);

/* Every thread that waits, or gives way, is in here until its next turn. */
void thread_schedule(void)
{
	thread_next();
}

void *malloc(unsigned long size)
{
	return take_block(size);
}

void free(void *memory)
{
	give_block(memory);
}

/* All files are the console. */
long uk_syscall_r_write(long file, long text, long length)
{
	(void)file;
	console_write((const char *)text, (unsigned long)length);
	return length;
}

__attribute__((noinline)) long uk_syscall_r_nanosleep(long wanted, long left)
{
	const struct timespec *time = (const struct timespec *)wanted;

	(void)left;
	thread_wait((unsigned long)(time->tv_sec * NS_PER_S + time->tv_nsec));
	return 0;
}

unsigned int sleep(unsigned int seconds)
{
	struct timespec time = { .tv_sec = seconds };

	return (unsigned int)uk_syscall_r_nanosleep((long)&time, 0);
}

int usleep(unsigned int microseconds)
{
	struct timespec time = { microseconds / 1000000, microseconds % 1000000 * 1000L };

	return (int)uk_syscall_r_nanosleep((long)&time, 0);
}
