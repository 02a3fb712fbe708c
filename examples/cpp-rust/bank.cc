// SPDX-License-Identifier: BSD-3-Clause
#include "bank.hh"
#include <stdlib.h>

// The Rust part (tariff.rs).
extern "C" unsigned long price_of(unsigned long amount);

// A class with a method that only others define names it; a C++ library would have it.
extern "C" void __cxa_pure_virtual() { abort(); }

namespace bank {

void Account::deposit(long amount) { cents += amount; }

void Account::deposit(long amount, long times)
{
	while (times-- > 0)
		deposit(amount);
}

long Current::interest() const { return cents < 0 ? cents / 10 : 0; }

namespace {

Savings<150> savings;
Current current;
Table<unsigned long, long, 64> by_customer;

SEEN Account &account_of(unsigned long customer)
{
	return customer % 3 ? static_cast<Account &>(current) : savings;
}

} // namespace

long work_a_day(unsigned int day, unsigned int postings)
{
	for (unsigned long customer = 0; customer < postings; customer++) {
		long price = (long)price_of(customer + day);

		account_of(customer).deposit(price);
		by_customer.at(customer % 50) += price;
	}
	// Two calls through the table of virtual methods.
	const Account *all[] = {&savings, &current};
	long sum = 0;

	for (const Account *account : all)
		sum += account->balance() + account->interest();
	savings.deposit(1, 10);
	return sum;
}

} // namespace bank
