/* SPDX-License-Identifier: BSD-3-Clause */
int ukplat_coutk(const char *from, unsigned int len);
int ukplat_cink(char *into, unsigned int len);
