/* SPDX-License-Identifier: BSD-3-Clause */
#define uk_pr_err(...) ((void)0)
#define uk_pr_crit(...) ((void)0)
