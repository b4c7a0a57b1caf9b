/* signals.c - whose the dispositions of this process's signals are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <stdatomic.h>

static atomic_bool left;

void da_signals_leave(void)
{
  atomic_store(&left, true);
}

bool da_signals_ours(void)
{
  return !atomic_load(&left);
}
