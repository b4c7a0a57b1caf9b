/* engine.h - the door of the protocol's state machine: (view, request, now) in; reply, writes and messages out.
 *
 * Here:     da_engine_apply(), the only way in.
 * May:      read through the view, allocate from the given arena.
 * May not:  know a clock, a file, a thread, a Lua state; keep anything between two calls; call malloc.
 * Threads:  any, one call per view at a time.
 * To add a request: a line in DA_REQ_MAP (record.h), its shape in request.c, its handler beside its noun, a row in the
 *           switch of engine.c, the oracle's own version in spec/support/oracle.lua.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_ENGINE_H
#define DA_ENGINE_ENGINE_H

#include "effect.h"
#include "view.h"

typedef struct da_engine_env {
  int64_t now_ms;
  uint64_t next_seq;             /* in and out: the next settle_seq to give */
  const da_profile *profile;     /* borrowed for the call */
  const da_slice *local_targets; /* addresses of the worker in this process ("poll://any@default"); a message to one of
                                  * them (or to it + "/" + anything) is local */
  size_t local_target_count;
  bool first_pinned_only; /* but an execute to the first of them is local only if its promise names a bundle: this
                           * process goes on with what it has begun there, and serves nothing */
  da_slice at;            /* out, when a read of sweep or recover failed: the row it was at; empty: it was at several */
} da_engine_env;

/* Answers one request. Returns DA_OK with out filled (out->reply.status says what was decided), or the negative
 * status that a read of the view returned; then out must not be used and the transaction must be dropped.
 * Everything in out is borrowed from arena, request or view results. */
da_status DA_MUST_USE da_engine_apply(da_engine_env *env, da_view *view, const da_request *request, da_arena *arena,
                                      da_outcome *out);

#endif
