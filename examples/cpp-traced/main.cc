// SPDX-License-Identifier: BSD-3-Clause
// Pays wages ten times a second, until it is ended.
#include "ledger.hh"
#include <chrono>
#include <thread>
#include <ubpf_linux.h>

int main(int argc, char **argv)
{
	Ledger<long> ledger;

	// Where it fails, it says by itself why.
	if (argc < 2 || ubpf_linux_start(argv[1]) != 0)
		return 1;
	for (;;) {
		pay_wages(ledger);
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
	}
}
