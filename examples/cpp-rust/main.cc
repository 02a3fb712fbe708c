// SPDX-License-Identifier: BSD-3-Clause
// A bank at work for ever, a line for each day. It knows nothing of the tracer.
#include "bank.hh"
#include <stdio.h>
#include <time.h>

static const unsigned int postings = 1000;
// The scheduler is cooperative: after each day the application gives way.
static const timespec pause = {0, 20'000'000};

int main()
{
	for (unsigned int day = 1;; day++) {
		long sum = bank::work_a_day(day, postings);

		printf("day %u: %u postings, sum %ld\n", day, postings, sum);
		nanosleep(&pause, nullptr);
	}
}
