/* image_state.c - what the host knows of a suspended execution, as bytes of its image.
 *
 * Scopes, fibers and children are numbered in the order in which they are written; 0 is none. Each pair of functions,
 * put and get, names the same fields in the same order. Numbers are of variable length, least significant first.
 * Left out is what the records tell (the queue of deliveries, what is open), and what belongs to the process (jobs,
 * timers, counts of what is under way).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "image_state.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "../base/id.h"
#include "../base/limits.h"

/* Scopes, fibers and children as they were read: pointers between them are numbers. */
typedef struct saved_scope {
  da_scope scope;
  da_slice *names; /* counted, with `counts` */
  uint64_t *counts;
  size_t name_count;
} saved_scope;

typedef struct saved_fiber {
  da_fiber fiber;
  uint32_t scope, child;
} saved_fiber;

typedef struct saved_waiter {
  uint32_t fiber, token, tag;
} saved_waiter;

typedef struct saved_child {
  da_child child;
  uint32_t scope, maker, fiber;
  saved_waiter *waiters;
} saved_child;

struct da_image_state {
  da_execution execution; /* of which only what get_execution() reads is set */
  uint32_t deadline;
  saved_scope *scopes;
  saved_fiber *fibers;
  saved_child *children;
  size_t scope_count, fiber_count, child_count;
  da_slice *patches; /* ids; `answers` beside them */
  bool *answers;
  size_t patch_count;
  da_slice *keys, *values; /* published */
  size_t live_count;
  da_slice *pending; /* ids of records */
  const saved_child **pending_children;
  size_t pending_count;
};

/* ---- bytes --------------------------------------------------------------------------------------------- */

static void put(da_buf *out, uint64_t value)
{
  for (; value >= 0x80; value >>= 7) da_buf_add_byte(out, (uint8_t)(value | 0x80));
  da_buf_add_byte(out, (uint8_t)value);
}

/* ptr NULL is kept apart from an empty text. */
static void put_text(da_buf *out, da_slice text)
{
  put(out, text.ptr == NULL ? 0 : (uint64_t)text.len + 1);
  da_buf_add_slice(out, text);
}

static void put_double(da_buf *out, double value)
{
  da_buf_add(out, &value, sizeof value); /* read by this build alone */
}

static void put_digest(da_buf *out, const da_digest *digest)
{
  da_buf_add(out, digest->bytes, sizeof digest->bytes);
}

typedef struct reader {
  const char *at, *end;
  bool bad;
  da_arena *arena;
} reader;

static uint64_t get(reader *r)
{
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (r->at == r->end) break;
    uint8_t byte = (uint8_t)*r->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  r->bad = true;
  return 0;
}

static const char *get_bytes(reader *r, size_t len)
{
  static const char nothing[16];
  if ((size_t)(r->end - r->at) < len) {
    r->bad = true;
    return len <= sizeof nothing ? nothing : NULL;
  }
  r->at += len;
  return r->at - len;
}

static da_slice get_text(reader *r)
{
  uint64_t len = get(r);
  if (len == 0) return DA_NONE;
  if (len - 1 > (uint64_t)(r->end - r->at)) {
    r->bad = true;
    return DA_NONE;
  }
  return da_slice_make(get_bytes(r, (size_t)len - 1), (size_t)len - 1);
}

static double get_double(reader *r)
{
  double value;
  memcpy(&value, get_bytes(r, sizeof value), sizeof value);
  return value;
}

static void get_digest(reader *r, da_digest *digest)
{
  memcpy(digest->bytes, get_bytes(r, sizeof digest->bytes), sizeof digest->bytes);
}

/* A list of things of `size` bytes, each of which takes one byte at least. */
static void *get_list(reader *r, size_t size, size_t *count)
{
  uint64_t n = get(r);
  if (n > (uint64_t)(r->end - r->at)) {
    r->bad = true;
    n = 0;
  }
  *count = (size_t)n;
  return da_arena_zalloc(r->arena, (size_t)n * size + 1);
}

#define PUT_FLAGS(out, ...) put_flags(out, (const bool[]){__VA_ARGS__}, sizeof((const bool[]){__VA_ARGS__}))

static void put_flags(da_buf *out, const bool *flags, size_t count)
{
  uint64_t bits = 0;
  for (size_t i = 0; i < count; i++) bits |= (uint64_t)flags[i] << i;
  put(out, bits);
}

/* ---- the execution itself ------------------------------------------------------------------------------ */

static void put_execution(da_buf *out, const da_execution *e)
{
  PUT_FLAGS(out, e->deadline_passed, e->cancel_requested);
  put_text(out, e->cancel_why);
  put(out, e->next_ordinal);
  put(out, e->next_token);
  put(out, e->made);
  put(out, e->fiber_count);
  put(out, e->delivered_count);
  put(out, e->position);
  put(out, (uint64_t)e->clock_ms);
  put(out, e->again_made);
  put_text(out, e->again.args);
  put_text(out, e->again.file);
  put(out, e->again.line);
  put(out, e->deadline != NULL ? e->deadline->index : 0);
  put(out, e->child_count);
}

static void get_execution(reader *r, da_image_state *state)
{
  da_execution *e = &state->execution;
  uint64_t flags = get(r);
  e->deadline_passed = (flags & 1) != 0;
  e->cancel_requested = (flags & 2) != 0;
  e->cancel_why = get_text(r);
  e->next_ordinal = (uint32_t)get(r);
  e->next_token = (uint32_t)get(r);
  e->made = get(r);
  e->fiber_count = (uint32_t)get(r);
  e->delivered_count = (uint32_t)get(r);
  e->position = get(r);
  e->clock_ms = (int64_t)get(r);
  e->again_made = (uint32_t)get(r);
  e->again.args = get_text(r);
  e->again.file = get_text(r);
  e->again.line = (uint32_t)get(r);
  state->deadline = (uint32_t)get(r);
  e->child_count = (size_t)get(r);
}

static void take_execution(da_execution *e, const da_execution *from)
{
  e->deadline_passed = from->deadline_passed;
  e->cancel_requested = from->cancel_requested;
  e->cancel_told = from->cancel_requested; /* what was told and not delivered is told again */
  e->cancel_why = from->cancel_why;
  e->next_ordinal = from->next_ordinal;
  e->next_token = from->next_token;
  e->made = from->made;
  e->fiber_count = from->fiber_count;
  e->delivered_count = from->delivered_count;
  e->position = from->position;
  e->clock_ms = from->clock_ms;
  e->again_made = from->again_made;
  e->again = from->again;
}

/* ---- scopes -------------------------------------------------------------------------------------------- */

/* Are the ids of its calls short enough to be their own keys, so that they are found by name and number? */
static bool is_short(const da_scope *scope, da_slice name)
{
  enum { DIGITS = 22 };
  return da_id_rest(scope->id).len + 1 + name.len + DIGITS < DA_ID_REST_KEY_HEAD;
}

static bool put_scope(da_buf *out, const da_scope *scope)
{
  void *value;
  bool found = is_short(scope, DA_NONE);
  put_text(out, scope->id);
  PUT_FLAGS(out, scope->canceled, scope->abandoned, scope->cancel_raised, scope->cut_short);
  put_text(out, scope->cancel_why);
  put(out, scope->counts.count);
  for (size_t i = 0; da_table_next(&scope->counts, &i, &value);) {
    const da_counter *counter = value;
    da_buf name = {0};
    put_text(out, counter->name);
    put(out, counter->count);
    da_id_escape(&name, counter->name);
    found = found && is_short(scope, da_buf_slice(&name));
    da_buf_free(&name);
  }
  return found;
}

static void get_scope(reader *r, saved_scope *saved)
{
  da_scope *scope = &saved->scope;
  scope->id = get_text(r);
  uint64_t flags = get(r);
  scope->canceled = (flags & 1) != 0;
  scope->abandoned = (flags & 2) != 0;
  scope->cancel_raised = (flags & 4) != 0;
  scope->cut_short = (flags & 8) != 0;
  scope->cancel_why = get_text(r);
  saved->names = get_list(r, sizeof *saved->names, &saved->name_count);
  saved->counts = da_arena_zalloc(r->arena, (saved->name_count + 1) * sizeof *saved->counts);
  for (size_t i = 0; i < saved->name_count; i++) {
    saved->names[i] = get_text(r);
    saved->counts[i] = get(r);
  }
}

static void take_scope(da_scope *scope, const saved_scope *saved)
{
  *scope = saved->scope;
  for (size_t i = 0; i < saved->name_count; i++) {
    da_counter *counter = da_counter_new(saved->names[i]);
    counter->count = saved->counts[i];
    (void)da_table_put(&scope->counts, counter->name, counter);
  }
}

/* ---- fibers -------------------------------------------------------------------------------------------- */

static void put_fiber(da_buf *out, const da_fiber *f)
{
  put(out, f->number);
  put(out, (uint64_t)((int64_t)f->ref + 2)); /* LUA_NOREF is -2 */
  put(out, f->scope->place);
  put(out, f->child != NULL ? f->child->index : 0);
  PUT_FLAGS(out, f->done, f->shielded, f->wait_inbox, f->canceled);
  put(out, f->shelter);
  put(out, f->token);
  put(out, f->wait_left);
  put_text(out, f->cancel_why);
  put(out, f->inbox_count - f->inbox_head);
  for (size_t i = f->inbox_head; i < f->inbox_count; i++) {
    put(out, f->inbox[i].at);
    put(out, f->inbox[i].tag);
  }
}

static void get_fiber(reader *r, saved_fiber *saved)
{
  da_fiber *f = &saved->fiber;
  f->number = (uint32_t)get(r);
  f->ref = (int)((int64_t)get(r) - 2);
  saved->scope = (uint32_t)get(r);
  saved->child = (uint32_t)get(r);
  uint64_t flags = get(r);
  f->done = (flags & 1) != 0;
  f->shielded = (flags & 2) != 0;
  f->wait_inbox = (flags & 4) != 0;
  f->canceled = (flags & 8) != 0;
  f->shelter = (da_shelter)get(r);
  f->token = (uint32_t)get(r);
  f->wait_left = (size_t)get(r);
  f->cancel_why = get_text(r);
  f->inbox = get_list(r, sizeof *f->inbox, &f->inbox_count);
  for (size_t i = 0; i < f->inbox_count; i++) {
    f->inbox[i].at = (uint32_t)get(r);
    f->inbox[i].tag = (uint32_t)get(r);
  }
}

static da_fiber *take_fiber(da_execution *execution, const saved_fiber *saved)
{
  da_fiber *f = da_xcalloc(1, sizeof *f);
  *f = saved->fiber;
  f->execution = execution;
  f->inbox = NULL;
  f->inbox_cap = f->inbox_count;
  if (f->inbox_count == 0) return f;
  f->inbox = da_xmalloc(f->inbox_count * sizeof *f->inbox);
  memcpy(f->inbox, saved->fiber.inbox, f->inbox_count * sizeof *f->inbox);
  return f;
}

/* ---- children ------------------------------------------------------------------------------------------ */

static void put_call(da_buf *out, const da_call *call)
{
  put(out, call->ordinal);
  put(out, call->line);
  put_text(out, call->file);
  put_text(out, call->func);
  put_digest(out, &call->args);
  PUT_FLAGS(out, call->has_bundle, call->awaited_elsewhere);
  if (call->has_bundle) put_digest(out, &call->bundle);
  put(out, call->kind);
}

static void get_call(reader *r, da_call *call)
{
  call->ordinal = (uint32_t)get(r);
  call->line = (uint32_t)get(r);
  call->file = get_text(r);
  call->func = get_text(r);
  get_digest(r, &call->args);
  uint64_t flags = get(r);
  call->has_bundle = (flags & 1) != 0;
  call->awaited_elsewhere = (flags & 2) != 0;
  if (call->has_bundle) get_digest(r, &call->bundle);
  call->kind = (da_call_kind)get(r);
}

static void put_attempts(da_buf *out, const da_child *c)
{
  put(out, (uint64_t)c->retry.max);
  put_double(out, c->retry.first);
  put_double(out, c->retry.factor);
  put_double(out, c->retry.cap);
  put_double(out, c->retry.jitter);
  put(out, (uint64_t)c->attempt_timeout_ms);
  put(out, (uint64_t)c->timeout_ms);
  put_text(out, c->args);
  put(out, (uint64_t)((int64_t)c->closure_ref + 2));
}

static void get_attempts(reader *r, da_child *c)
{
  c->retry.max = (int64_t)get(r);
  c->retry.first = get_double(r);
  c->retry.factor = get_double(r);
  c->retry.cap = get_double(r);
  c->retry.jitter = get_double(r);
  c->attempt_timeout_ms = (int64_t)get(r);
  c->timeout_ms = (int64_t)get(r);
  c->args = get_text(r);
  c->closure_ref = (int)((int64_t)get(r) - 2);
}

static void put_child(da_buf *out, const da_child *c)
{
  put(out, c->index);
  put(out, c->made);
  put(out, c->kind);
  put_call(out, &c->call);
  put_text(out, c->id);
  put_text(out, c->record_id);
  put(out, c->scope->place);
  put(out, c->maker != NULL ? c->maker->place : 0);
  put(out, c->fiber != NULL ? c->fiber->place : 0);
  PUT_FLAGS(out, c->foreign, c->global, c->observed, c->ignored, c->seen, c->given_back, c->handed_on, c->announced,
            c->told_forgotten, c->joined, c->detached, c->counted, c->settled, c->delivered, c->canceled, c->native,
            c->under_way, c->elsewhere);
  put(out, c->shelter);
  put(out, c->seq);
  put(out, c->delivered_at);
  put(out, c->state);
  put(out, (uint64_t)c->settled_at);
  put_text(out, c->data);
  put_text(out, c->rest);
  put(out, (uint64_t)((int64_t)c->results_ref + 2));
  put(out, (uint64_t)c->version);
  put(out, (uint64_t)c->created_at);
  put(out, (uint64_t)c->timeout_at);
  put(out, (uint64_t)c->delay_at);
  put(out, (uint64_t)c->deadline_at);
  if (c->under_way) put_attempts(out, c);
  put(out, c->waiter_count);
}

static void get_child_flags(reader *r, da_child *c)
{
  bool *const flags[] = {&c->foreign,   &c->global,    &c->observed,       &c->ignored, &c->seen,      &c->given_back,
                         &c->handed_on, &c->announced, &c->told_forgotten, &c->joined,  &c->detached,  &c->counted,
                         &c->settled,   &c->delivered, &c->canceled,       &c->native,  &c->under_way, &c->elsewhere};
  uint64_t bits = get(r);
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) *flags[i] = (bits >> i & 1) != 0;
}

static void get_child(reader *r, saved_child *saved)
{
  da_child *c = &saved->child;
  c->index = (uint32_t)get(r);
  c->made = get(r);
  c->kind = (da_call_kind)get(r);
  get_call(r, &c->call);
  c->id = get_text(r);
  c->record_id = get_text(r);
  saved->scope = (uint32_t)get(r);
  saved->maker = (uint32_t)get(r);
  saved->fiber = (uint32_t)get(r);
  get_child_flags(r, c);
  c->shelter = (da_shelter)get(r);
  c->seq = get(r);
  c->delivered_at = (uint32_t)get(r);
  c->state = (da_promise_state)get(r);
  c->settled_at = (int64_t)get(r);
  c->data = get_text(r);
  c->rest = get_text(r);
  c->results_ref = (int)((int64_t)get(r) - 2);
  c->version = (int64_t)get(r);
  c->created_at = (int64_t)get(r);
  c->timeout_at = (int64_t)get(r);
  c->delay_at = (int64_t)get(r);
  c->deadline_at = (int64_t)get(r);
  c->closure_ref = LUA_NOREF;
  if (c->under_way) get_attempts(r, c);
  saved->waiters = get_list(r, sizeof *saved->waiters, &c->waiter_count);
  for (size_t i = 0; i < c->waiter_count; i++) {
    saved->waiters[i].fiber = (uint32_t)get(r);
    saved->waiters[i].token = (uint32_t)get(r);
    saved->waiters[i].tag = (uint32_t)get(r);
  }
}

static da_child *take_child(da_execution *execution, const saved_child *saved)
{
  da_child *c = da_xcalloc(1, sizeof *c);
  *c = saved->child;
  c->execution = execution;
  c->waiters = NULL;
  c->waiter_count = 0;
  if (c->under_way && c->args.ptr != NULL) c->args.ptr = da_xstrndup(c->args); /* as da_step_start() has it */
  c->under_way = false;                                                        /* until it is begun again */
  if (c->delivered || c->kind == DA_CALL_NONE) return c;
  c->settled = false; /* its record tells */
  c->data = c->rest = DA_NONE;
  return c;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

/* Numbers fibers and scopes, from 1, in the order of the list of fibers; of the scopes the main one is first. */
static void number_all(da_execution *execution)
{
  uint32_t fibers = 0, scopes = 1;
  execution->main.place = 1;
  for (da_fiber *at = execution->fibers; at != NULL; at = at->next) {
    at->place = ++fibers;
    if (at->scope->fiber == at) at->scope->place = ++scopes;
  }
}

static bool put_scopes(const da_execution *execution, da_buf *out)
{
  size_t count = 1;
  for (const da_fiber *at = execution->fibers; at != NULL; at = at->next) count += at->scope->fiber == at;
  put(out, count);
  bool found = put_scope(out, &execution->main);
  for (const da_fiber *at = execution->fibers; at != NULL; at = at->next)
    if (at->scope->fiber == at) found = put_scope(out, at->scope) && found;
  return found;
}

static void put_fibers(const da_execution *execution, da_buf *out)
{
  size_t count = 0;
  for (const da_fiber *at = execution->fibers; at != NULL; at = at->next) count++;
  put(out, count);
  for (const da_fiber *at = execution->fibers; at != NULL; at = at->next) put_fiber(out, at);
}

static int by_made(const void *a, const void *b)
{
  const da_child *x = *(da_child *const *)a, *y = *(da_child *const *)b;
  return x->made < y->made ? -1 : x->made > y->made;
}

static void put_children(const da_execution *execution, da_buf *out)
{
  size_t count = 0;
  da_child **list = da_xmalloc((execution->child_count + 1) * sizeof *list);
  for (size_t i = 0; i < execution->child_count; i++)
    if (execution->children[i] != NULL) list[count++] = execution->children[i];
  qsort(list, count, sizeof(da_child *), by_made);
  put(out, count);
  for (size_t i = 0; i < count; i++) {
    const da_child *c = list[i];
    put_child(out, c);
    for (size_t n = 0; n < c->waiter_count; n++) {
      put(out, c->waiters[n].fiber->place);
      put(out, c->waiters[n].token);
      put(out, c->waiters[n].tag);
    }
  }
  free(list);
}

bool da_image_state_put(da_execution *execution, da_buf *out)
{
  void *value;
  number_all(execution);
  put_execution(out, execution);
  bool found = put_scopes(execution, out);
  put_fibers(execution, out);
  put_children(execution, out);
  put(out, execution->patches.count);
  for (size_t i = 0; da_table_next(&execution->patches, &i, &value);) {
    const da_patch *patch = value;
    put_text(out, patch->id);
    put(out, patch->answer);
  }
  da_slice keys[DA_LIVE_KEYS_MAX], values[DA_LIVE_KEYS_MAX];
  size_t count = da_publish_list(execution, keys, values);
  put(out, count);
  for (size_t i = 0; i < count; i++) {
    put_text(out, keys[i]);
    put_text(out, values[i]);
  }
  return found;
}

static void get_rest(reader *r, da_image_state *state)
{
  state->patches = get_list(r, sizeof *state->patches, &state->patch_count);
  state->answers = da_arena_zalloc(r->arena, (state->patch_count + 1) * sizeof *state->answers);
  for (size_t i = 0; i < state->patch_count; i++) {
    state->patches[i] = get_text(r);
    state->answers[i] = get(r) != 0;
  }
  state->keys = get_list(r, sizeof *state->keys, &state->live_count);
  state->values = da_arena_zalloc(r->arena, (state->live_count + 1) * sizeof *state->values);
  for (size_t i = 0; i < state->live_count; i++) {
    state->keys[i] = get_text(r);
    state->values[i] = get_text(r);
  }
}

/* Do all numbers name something? */
static bool is_whole(const da_image_state *state)
{
  const da_execution *e = &state->execution;
  if (state->scope_count == 0 || e->child_count < state->child_count || e->child_count > e->made ||
      state->deadline > e->child_count)
    return false;
  for (size_t i = 0; i < state->fiber_count; i++) {
    const saved_fiber *f = &state->fibers[i];
    if (f->scope == 0 || f->scope > state->scope_count || f->child > e->child_count) return false;
  }
  for (size_t i = 0; i < state->child_count; i++) {
    const saved_child *c = &state->children[i];
    if (c->child.index == 0 || c->child.index > e->child_count || c->scope == 0 || c->scope > state->scope_count ||
        c->maker > state->fiber_count || c->fiber > state->fiber_count)
      return false;
    for (size_t n = 0; n < c->child.waiter_count; n++)
      if (c->waiters[n].fiber == 0 || c->waiters[n].fiber > state->fiber_count) return false;
  }
  return true;
}

static void list_pending(da_image_state *state, da_arena *arena)
{
  state->pending = da_arena_alloc(arena, (state->child_count + 1) * sizeof *state->pending);
  state->pending_children = da_arena_alloc(arena, (state->child_count + 1) * sizeof *state->pending_children);
  for (size_t i = 0; i < state->child_count; i++) {
    const da_child *c = &state->children[i].child;
    if (c->delivered || c->kind == DA_CALL_NONE) continue;
    state->pending[state->pending_count] = c->id;
    state->pending_children[state->pending_count++] = &state->children[i];
  }
}

da_image_state *da_image_state_read(da_slice bytes, da_arena *arena)
{
  reader r = {bytes.ptr, bytes.ptr + bytes.len, false, arena};
  da_image_state *state = da_arena_zalloc(arena, sizeof *state);
  get_execution(&r, state);
  state->scopes = get_list(&r, sizeof *state->scopes, &state->scope_count);
  for (size_t i = 0; i < state->scope_count && !r.bad; i++) get_scope(&r, &state->scopes[i]);
  state->fibers = get_list(&r, sizeof *state->fibers, &state->fiber_count);
  for (size_t i = 0; i < state->fiber_count && !r.bad; i++) get_fiber(&r, &state->fibers[i]);
  state->children = get_list(&r, sizeof *state->children, &state->child_count);
  for (size_t i = 0; i < state->child_count && !r.bad; i++) get_child(&r, &state->children[i]);
  if (!r.bad) get_rest(&r, state);
  if (r.bad || r.at != r.end || !is_whole(state)) return NULL;
  list_pending(state, arena);
  return state;
}

size_t da_image_state_pending(const da_image_state *state, const da_slice **ids)
{
  *ids = state->pending;
  return state->pending_count;
}

static da_slice escaped(da_arena *arena, da_slice name)
{
  da_buf buf = {0};
  da_id_escape(&buf, name);
  da_slice copy = da_arena_dup(arena, da_buf_slice(&buf));
  da_buf_free(&buf);
  return copy;
}

da_tail da_image_state_tail(const da_image_state *state, uint64_t reach, da_table *known, da_arena *arena)
{
  da_tail_scope *scopes = da_arena_zalloc(arena, state->scope_count * sizeof *scopes);
  for (size_t i = 0; i < state->scope_count; i++) {
    const saved_scope *from = &state->scopes[i];
    da_tail_name *names = da_arena_zalloc(arena, (from->name_count + 1) * sizeof *names);
    for (size_t n = 0; n < from->name_count; n++)
      names[n] = (da_tail_name){escaped(arena, from->names[n]), from->counts[n]};
    scopes[i] = (da_tail_scope){from->scope.id, names, from->name_count};
  }
  for (size_t i = 0; i < state->child_count; i++) {
    saved_child *child = &state->children[i];
    if (!child->child.counted && child->child.id.len > 0) (void)da_table_put(known, child->child.id, child);
  }
  uint64_t made = state->execution.made;
  return (da_tail){scopes, state->scope_count, known, reach > made ? reach - made : 0};
}

/* ---- taking -------------------------------------------------------------------------------------------- */

static void link_fiber(da_execution *execution, da_fiber **fibers, da_scope **scopes, const da_image_state *state,
                       size_t i)
{
  da_fiber *fiber = fibers[i + 1];
  const saved_fiber *saved = &state->fibers[i];
  fiber->scope = scopes[saved->scope];
  fiber->child = da_execution_child(execution, saved->child);
  if (fiber->child != NULL && fiber->child->kind == DA_CALL_BRANCH && fiber->scope != &execution->main)
    fiber->scope->fiber = fiber;
}

static void link_child(da_execution *execution, da_fiber **fibers, da_scope **scopes, const saved_child *saved)
{
  da_child *child = execution->children[saved->child.index - 1];
  child->scope = scopes[saved->scope];
  child->maker = fibers[saved->maker];
  child->fiber = fibers[saved->fiber];
  da_scope_add(child->scope, child);
  for (size_t i = 0; i < saved->child.waiter_count; i++)
    da_fiber_add_waiter(child, fibers[saved->waiters[i].fiber], saved->waiters[i].token, saved->waiters[i].tag);
  if (child->id.len != 0) (void)da_table_put(&execution->by_id, child->id, child);
}

static void take_children(da_execution *execution, const da_image_state *state)
{
  size_t count = state->execution.child_count;
  execution->children = da_xcalloc(count + 1, sizeof(da_child *));
  execution->child_count = count;
  execution->child_cap = count + 1;
  for (size_t i = 0; i < state->child_count; i++) {
    const saved_child *saved = &state->children[i];
    execution->children[saved->child.index - 1] = take_child(execution, saved);
  }
  execution->unsorted = count;
}

static void take_marks(da_execution *execution, const da_image_state *state)
{
  for (size_t i = 0; i < state->patch_count; i++) {
    da_patch *patch = da_arena_alloc(&execution->arena, sizeof *patch);
    *patch = (da_patch){state->patches[i], state->answers[i]};
    (void)da_table_put(&execution->patches, patch->id, patch);
  }
  da_err err = {{0}};
  for (size_t i = 0; i < state->live_count; i++)
    (void)!da_execution_publish(execution, state->keys[i], state->values[i], &err);
}

void da_image_state_take(da_execution *execution, const da_image_state *state)
{
  da_scope **scopes = da_xcalloc(state->scope_count + 1, sizeof *scopes);
  da_fiber **fibers = da_xcalloc(state->fiber_count + 1, sizeof *fibers);
  take_execution(execution, &state->execution);
  for (size_t i = 0; i < state->scope_count; i++) {
    scopes[i + 1] = i == 0 ? &execution->main : da_scope_new(DA_NONE);
    take_scope(scopes[i + 1], &state->scopes[i]);
  }
  take_children(execution, state);
  for (size_t i = state->fiber_count; i > 0; i--) { /* the list begins with the newest */
    fibers[i] = take_fiber(execution, &state->fibers[i - 1]);
    fibers[i]->next = execution->fibers;
    execution->fibers = fibers[i];
  }
  for (size_t i = 0; i < state->fiber_count; i++) link_fiber(execution, fibers, scopes, state, i);
  for (size_t i = 0; i < state->child_count; i++) link_child(execution, fibers, scopes, &state->children[i]);
  execution->deadline = da_execution_child(execution, state->deadline);
  take_marks(execution, state);
  free(scopes);
  free(fibers);
}

bool da_image_state_anchor(da_execution *execution)
{
  for (da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next) {
    if (fiber->done) continue;
    (void)lua_rawgeti(execution->L, LUA_REGISTRYINDEX, fiber->ref);
    fiber->co = lua_tothread(execution->L, -1);
    lua_pop(execution->L, 1);
    if (fiber->co == NULL || lua_status(fiber->co) != LUA_YIELD) return false;
  }
  return true;
}

da_child *da_image_state_child(const da_execution *execution, const da_image_state *state, size_t i)
{
  return execution->children[state->pending_children[i]->child.index - 1];
}

bool da_image_state_restarts(const da_image_state *state, size_t i)
{
  return state->pending_children[i]->child.under_way;
}

da_slice da_image_state_own_record(const da_image_state *state, size_t i)
{
  return state->pending_children[i]->child.record_id;
}

bool da_image_state_may_lack(const da_image_state *state, size_t i)
{
  const saved_child *saved = state->pending_children[i];
  bool runs = saved->child.kind == DA_CALL_BRANCH && saved->fiber > 0 && !state->fibers[saved->fiber - 1].fiber.done;
  return runs || da_image_state_restarts(state, i);
}
