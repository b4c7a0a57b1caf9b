/* bind_probe_check.c - every apply of the probe is held against what a step may do, before it is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/engine/check.h"
#include "bind_probe.h"

static void note_first(void *user, const char *property, da_slice id, const char *words)
{
  da_err *err = user;
  if (err->text[0] == '\0') (void)da_fail(err, DA_EINVAL, "%s of %.*s: %s", property, DA_FMT(id), words);
}

da_status da_probe_check_apply(da_world *w, const da_request *request, const da_outcome *out, da_err *err)
{
  err->text[0] = '\0';
  int broken = da_check_apply(da_store_view(w->store), request, out, &w->arena, note_first, err);
  if (broken < 0) return da_fail(err, (da_status)broken, "%s", da_store_fault_words(w->store));
  return broken == 0 ? DA_OK : DA_EINVAL;
}
