/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls within a function, with their times. */
#include "graph.h"
