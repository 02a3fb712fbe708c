/* SPDX-License-Identifier: BSD-3-Clause */
#define UK_LIBPARAM_PARAM_ARR_ALIAS(name, array, kind, count, help) extern int ukparam_##name
