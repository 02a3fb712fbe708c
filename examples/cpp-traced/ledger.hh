// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include <map>
#include <string>

// Used by several files: each has a copy of its inline functions and templates, of which the linker keeps one.
template <typename Money>
class Ledger {
public:
	__attribute__((noinline)) void deposit(const std::string &owner, Money money) { balances[owner] += money; }
	__attribute__((noinline)) Money total() const
	{
		Money sum = 0;

		for (const auto &balance : balances)
			sum += balance.second;
		return sum;
	}

private:
	std::map<std::string, Money> balances;
};

void pay_wages(Ledger<long> &ledger);
