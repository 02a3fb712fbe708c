/* SPDX-License-Identifier: BSD-3-Clause */
/* Adds the numbers that it is given: how many, and then each. */
struct numbers {
	unsigned long long count;
	unsigned long long number[15];
};

unsigned long long sum(struct numbers *numbers)
{
	unsigned long long total = 0;

	for (unsigned i = 0; i < 15; i++)
		if (i < numbers->count)
			total += numbers->number[i];
	return total;
}
