/* SPDX-License-Identifier: BSD-3-Clause */
void standin_crash(const char *text);
#define UK_CRASH(text) standin_crash(text)
