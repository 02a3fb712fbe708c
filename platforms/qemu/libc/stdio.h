/* The part of C's library that applications in this image have: all output goes to the console. */
#pragma once
typedef struct demo_file FILE;
extern FILE *const stdout;

/* Conversions: d i u x p c s %, sizes l and z; no widths. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int puts(const char *line);
int fflush(FILE *file);
