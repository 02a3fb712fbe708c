/* latency.c with programs that call helpers. */
#define HELPERS
#include "latency.c"
