// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include <stddef.h>

// Not merged into its callers, so that its calls can be seen.
#define SEEN __attribute__((noinline))

namespace bank {

/* Values under keys, in an array: what a program has where there is no C++ library. */
template <typename Key, typename Value, int Slots> class Table {
public:
	SEEN Value &at(const Key &key)
	{
		size_t slot = hash(key);

		while (slots[slot].used && slots[slot].key != key)
			slot = (slot + 1) % Slots;
		slots[slot].used = true;
		slots[slot].key = key;
		return slots[slot].value;
	}

private:
	static size_t hash(const Key &key) { return (size_t)key * 0x9e3779b97f4a7c15UL >> 32 & (Slots - 1); }

	struct {
		Key key;
		Value value;
		bool used;
	} slots[Slots] = {};
};

class Account {
public:
	virtual long interest() const = 0;
	SEEN void deposit(long cents);
	SEEN void deposit(long cents, long times);
	long balance() const { return cents; }

protected:
	// Nobody deletes one: there is no C++ library that could.
	~Account() = default;

	long cents = 0;
};

/* Interest in so many hundredths of a percent. */
template <int Rate> class Savings : public Account {
public:
	SEEN long interest() const override { return cents * Rate / 10000; }
};

class Current : public Account {
public:
	SEEN long interest() const override;
};

/* A day's work of the bank: so many postings; what is there at the end. */
long work_a_day(unsigned int day, unsigned int postings);

} // namespace bank
