#pragma once
int atoi(const char *text);
/* NULL also when less would be left than the shell needs. */
void *malloc(unsigned long size);
void free(void *memory);
