/* Programs that can be at a function, and one that wants to be behind its entry. */
#define ENTRIES_ONLY
#define BEHIND_THE_ENTRY
#include "hooks.c"
