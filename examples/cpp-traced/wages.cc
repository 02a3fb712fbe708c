// SPDX-License-Identifier: BSD-3-Clause
#include "ledger.hh"

void pay_wages(Ledger<long> &ledger)
{
	for (const char *owner : {"ann", "bob", "eve"})
		ledger.deposit(owner, 100);
	if (ledger.total() < 0)
		ledger.deposit("nobody", 0);
}
