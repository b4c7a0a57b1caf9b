/* forgotten.c - promises that nobody awaited: told once for each place that makes them.
 *
 * They are looked for when their scope joins: before it waits, so that the words come before a long wait for what was
 * forgotten, and after, for what was made meanwhile. Not told: promises handed on (as a value, or cancelled by the
 * program), ignored ones, branches without a result (a branch may be there for what it does), promises for somebody
 * outside. The words go where print goes, so a replay is silent.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "execution.h"

static bool has_result(const da_child *child)
{
  return child->rest.len > 0 || (child->data.len > 0 && !da_slice_eq(child->data, DA_LIT("null")));
}

bool da_child_forgotten(const da_child *child)
{
  if (child->observed || child->ignored || child->detached || child->canceled || child->handed_on ||
      child->call.line == 0)
    return false;
  switch (child->kind) {
  case DA_CALL_STEP:
  case DA_CALL_INLINE:
  case DA_CALL_NATIVE:
  case DA_CALL_WORKFLOW:
  case DA_CALL_SLEEP:
  case DA_CALL_RECV:
  case DA_CALL_ACQUIRE:
  case DA_CALL_TAKE:
  case DA_CALL_NONE:
    return true;
  case DA_CALL_BRANCH:
    return child->delivered && child->state == DA_RESOLVED && has_result(child);
  case DA_CALL_ROOT:
  case DA_CALL_PROMISE:
  case DA_CALL_MARK:
  case DA_CALL_SEND: /* that it failed is told at the join */
    return false;
  }
  return false;
}

/* Is it the first time in this process that this place of this code is told? A label is no part of a place: a script
 * may make ever new ones. */
static bool first_time(const da_execution *execution, const da_child *child)
{
  da_worker *worker = execution->worker;
  da_buf key = {0};
  da_buf_add(&key, execution->bundle->hash.bytes, sizeof execution->bundle->hash.bytes);
  da_buf_addf(&key, "%.*s:%u", DA_FMT(child->call.file), child->call.line);
  if (child->kind != DA_CALL_INLINE && child->kind != DA_CALL_BRANCH)
    da_buf_addf(&key, " %.*s", DA_FMT(child->call.func));
  bool first = da_table_get(&worker->told, da_buf_slice(&key)) == NULL;
  if (first) (void)da_table_put(&worker->told, da_arena_dup(&worker->arena, da_buf_slice(&key)), worker);
  da_buf_free(&key);
  return first;
}

static void tell(da_execution *execution, const da_child *child)
{
  da_buf text = {0};
  da_buf_addf(&text, "warning: %.*s:%u: ", DA_FMT(child->call.file), child->call.line);
  if (child->kind == DA_CALL_SLEEP)
    da_buf_addf(&text, "da.sleep was never awaited, so nothing waited for it");
  else if (child->kind == DA_CALL_NONE)
    da_buf_addf(&text, "the result of %.*s was never awaited", DA_FMT(child->call.func));
  else
    da_buf_addf(&text, "the result of %s '%.*s' was never awaited", da_call_kind_name(child->kind),
                DA_FMT(child->call.func));
  da_buf_addf(&text, "; write await(...) around the call, or :ignore() behind it if its outcome does not matter");
  da_execution_output(execution, da_buf_slice(&text));
  da_buf_free(&text);
}

bool da_execution_forgets(const da_scope *scope)
{
  if (scope->abandoned) return false; /* a replay too hands on: it tells nothing now, but it may after the wait */
  for (size_t i = 0; i < scope->count; i++)
    if (!scope->children[i]->told_forgotten && da_child_forgotten(scope->children[i])) return true;
  return false;
}

void da_execution_tell_forgotten(da_execution *execution, const da_scope *scope)
{
  if (da_execution_replaying(execution) || scope->abandoned) return;
  for (size_t i = 0; i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (child->told_forgotten || !da_child_forgotten(child)) continue;
    child->told_forgotten = true;
    if (first_time(execution, child)) tell(execution, child);
  }
}
