/* Sections that nothing in a unikernel fires: they are packed and verified all the same. */
#include <bpf/bpf_helpers.h>

#define UNFIRED(section, name, value) \
	SEC(section) \
	int name(void *ctx) \
	{ \
		return value; \
	}

UNFIRED("tp/sched/sched_switch", by_tp, 1)
UNFIRED("raw_tp/sched_switch", by_raw_tp, 2)
UNFIRED("perf_event", by_perf_event, 3)
UNFIRED("lsm/file_open", by_lsm, 4)
UNFIRED("iter/task", by_iter, 5)
UNFIRED("tp_btf/sched_switch", by_tp_btf, 6)
