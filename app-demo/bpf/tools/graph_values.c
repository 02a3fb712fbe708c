/* SPDX-License-Identifier: BSD-3-Clause */
/* The same with arguments and results. */
#define VALUES
#include "graph.h"
