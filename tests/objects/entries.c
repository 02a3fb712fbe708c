/* The programs of hooks.c that can be at a function. */
#define ENTRIES_ONLY
#include "hooks.c"
