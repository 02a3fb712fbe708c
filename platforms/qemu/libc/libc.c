/* Formatted output for applications; calls.c has what reaches the image. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/calls.h>

typedef __builtin_va_list va_list;
typedef __SIZE_TYPE__ size_t;

FILE *const stdout = (FILE *)1;

/* Text on its way to the console: a line goes out in one piece, so that two CPUs do not mix within it. */
struct out {
	char text[256];
	size_t filled;
	int total;
};

static void flush(struct out *out)
{
	uk_syscall_r_write(1, (long)out->text, (long)out->filled);
	out->filled = 0;
}

static void put(struct out *out, char c)
{
	if (out->filled == sizeof(out->text))
		flush(out);
	out->text[out->filled++] = c;
	out->total++;
}

static void text(struct out *out, const char *text)
{
	while (*text)
		put(out, *text++);
}

static void number(struct out *out, unsigned long value, unsigned base)
{
	char digits[21], *at = digits + sizeof(digits) - 1;

	*at = 0;
	do
		*--at = "0123456789abcdef"[value % base];
	while (value /= base);
	text(out, at);
}

static void convert(struct out *out, char kind, int is_long, va_list *args)
{
	unsigned long value = 0;

	if (kind == 'd' || kind == 'i')
		value = is_long ? __builtin_va_arg(*args, unsigned long) : (unsigned long)__builtin_va_arg(*args, int);
	else if (kind == 'u' || kind == 'x' || kind == 'p')
		value = is_long ? __builtin_va_arg(*args, unsigned long) : __builtin_va_arg(*args, unsigned);
	if ((kind == 'd' || kind == 'i') && (long)value < 0) {
		put(out, '-');
		value = -value;
	}
	if (kind == 's')
		text(out, __builtin_va_arg(*args, const char *));
	else if (kind == 'c')
		put(out, (char)__builtin_va_arg(*args, int));
	else if (kind == '%')
		put(out, '%');
	else
		number(out, value, kind == 'x' || kind == 'p' ? 16 : 10);
}

int printf(const char *format, ...)
{
	struct out out = { .filled = 0 };
	va_list args;

	__builtin_va_start(args, format);
	for (; *format; format++) {
		int is_long = 0;

		if (*format != '%') {
			put(&out, *format);
			continue;
		}
		for (format++; *format == 'l' || *format == 'z'; format++)
			is_long = 1;
		if (!*format)
			break;
		convert(&out, *format, is_long || *format == 'p', &args);
	}
	__builtin_va_end(args);
	flush(&out);
	return out.total;
}

int puts(const char *line)
{
	return printf("%s\n", line);
}

int fflush(FILE *file)
{
	(void)file;
	return 0;
}

int atoi(const char *text)
{
	int value = 0, sign = 1;

	if (*text == '-')
		sign = -1, text++;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + *text - '0';
	return sign * value;
}
