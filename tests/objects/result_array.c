/* latency.c with a program that reads the array. */
#define ARRAY
#include "latency.c"
