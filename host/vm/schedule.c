/* schedule.c - the schedules that a script declares: learnt when it is loaded, written when it is served.
 *
 * Declaring is idempotent by id: what is as it was keeps its past and what is due, what differs begins anew
 * (engine/schedule.c). A firing names its function and no code, so whoever takes it up pins it to the newest that
 * defines it (group.c).
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "../base/limits.h"
#include "../base/log.h"
#include "../base/zone_file.h"
#include "execution.h"

/* ---- learning ------------------------------------------------------------------------------------------ */

/* Of the table on top. */
static da_slice text_field(lua_State *L, const char *key, da_arena *arena)
{
  size_t len = 0;
  lua_getfield(L, -1, key);
  const char *text = lua_tolstring(L, -1, &len);
  da_slice kept = text != NULL ? da_arena_dup(arena, da_slice_make(text, len)) : DA_NONE;
  lua_pop(L, 1);
  return kept;
}

static int64_t integer_field(lua_State *L, const char *key)
{
  lua_getfield(L, -1, key);
  int64_t n = (int64_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static da_catch_up catch_up_of(da_slice name)
{
  if (da_slice_eq(name, DA_LIT("last"))) return DA_CATCH_UP_LAST;
  return da_slice_eq(name, DA_LIT("none")) ? DA_CATCH_UP_NONE : DA_CATCH_UP_ALL;
}

static da_status load_zone(da_declared *declared, da_arena *arena, da_err *err)
{
  da_err why;
  da_buf bytes = {0};
  if (declared->zone.len == 0) return DA_OK;
  da_status status = da_zone_load(declared->zone, &bytes, &why);
  declared->zone_bytes = da_arena_dup(arena, da_buf_slice(&bytes));
  da_buf_free(&bytes);
  if (status == DA_OK) return DA_OK;
  return da_fail(err, DA_EINVAL, "%.*s:%d: da.schedule '%.*s': %s", DA_FMT(declared->file), declared->line,
                 DA_FMT(declared->id), why.text);
}

/* (id, declaration) on top. */
static da_status learn(lua_State *L, da_served *served, size_t *cap, da_err *err)
{
  da_arena *arena = &served->declared_arena;
  if (served->declared_count == *cap) {
    *cap = *cap != 0 ? *cap * 2 : 8;
    served->declared = da_xrealloc(served->declared, *cap * sizeof *served->declared);
  }
  size_t len;
  const char *id = lua_tolstring(L, -2, &len);
  da_declared *declared = &served->declared[served->declared_count++];
  *declared = (da_declared){.id = da_arena_dup(arena, da_slice_make(id, len)),
                            .cron = text_field(L, "cron", arena),
                            .zone = text_field(L, "tz", arena),
                            .catch_up = catch_up_of(text_field(L, "catch_up", arena)),
                            .func = text_field(L, "func", arena),
                            .version = integer_field(L, "version"),
                            .target = text_field(L, "target", arena),
                            .args = text_field(L, "args", arena),
                            .file = text_field(L, "file", arena),
                            .line = (int)integer_field(L, "line")};
  return load_zone(declared, arena, err);
}

static int by_place(const void *a, const void *b)
{
  const da_declared *x = a, *y = b;
  int files = da_slice_cmp(x->file, y->file);
  return files != 0 ? files : x->line - y->line;
}

da_status da_schedules_learn(lua_State *L, da_served *served, da_err *err)
{
  size_t cap = 0;
  da_status status = DA_OK;
  free(served->declared);
  da_arena_reset(&served->declared_arena);
  served->declared = NULL;
  served->declared_count = 0;
  if (lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_SCHEDULES) == LUA_TTABLE)
    for (lua_pushnil(L); status == DA_OK && lua_next(L, -2) != 0; lua_pop(L, 1)) status = learn(L, served, &cap, err);
  if (served->declared_count > 1) qsort(served->declared, served->declared_count, sizeof *served->declared, by_place);
  return status;
}

const da_declared *da_worker_declared(da_worker *worker, const da_bundle *bundle, size_t *count)
{
  const da_served *served = da_worker_bundle(worker, &bundle->hash);
  *count = served != NULL ? served->declared_count : 0;
  return served != NULL ? served->declared : NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct declaration {
  da_worker *worker; /* a reference */
  da_worker_scheduled *done;
  void *user;
} declaration;

static void add_request(da_op *op, da_slice target, const da_declared *declared)
{
  const da_root root = {.target = declared->target.len > 0 ? declared->target : target,
                        .id = declared->id,
                        .func = declared->func,
                        .args = declared->args,
                        .version = declared->version};
  da_request *request = da_worker_root_request(op, DA_REQ_SCHEDULE_DECLARE, &root);
  /* Firing adds the tags of a lineage: each is a root of its own. */
  request->tags = (da_map){request->tags.items + 3, request->tags.count - 3};
  request->promise_id = DA_LIT("{{.id}}.{{.timestamp}}");
  request->cron = da_arena_dup(&op->arena, declared->cron);
  request->cron_unix = true;
  request->zone = da_arena_dup(&op->arena, declared->zone);
  request->zone_bytes = da_arena_dup(&op->arena, declared->zone_bytes);
  request->catch_up = declared->catch_up;
}

static void declared_all(da_op *op)
{
  const declaration *d = op->user;
  da_worker *worker = d->worker;
  for (size_t i = 0; i < op->request_count; i++) {
    const da_reply *reply = op->status == DA_OK ? &op->outcomes[i].reply : NULL;
    da_err err = op->err;
    if (reply != NULL && reply->status != 200) (void)da_fail(&err, DA_EINVAL, "%.*s", DA_FMT(reply->message));
    bool made = reply != NULL && reply->status == 200;
    d->done(d->user, op->requests[i].id, made ? reply->schedule : NULL, made && reply->count > 0, &err);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

void da_worker_declare(da_worker *worker, size_t group, const da_bundle *bundle, da_worker_scheduled *done, void *user)
{
  size_t count;
  const da_declared *declared = da_worker_declared(worker, bundle, &count);
  for (size_t i = 0; i < count;) {
    da_op *op = da_op_new();
    declaration *d = da_arena_alloc(&op->arena, sizeof *d);
    *d = (declaration){worker, done, user};
    for (; i < count && op->request_count < DA_SWEEP_MAX; i++)
      add_request(op, worker->options.targets[group], &declared[i]);
    op->user = d;
    op->done = declared_all;
    da_worker_ref(worker);
    da_sched_submit(worker->sched, op, false);
  }
}
