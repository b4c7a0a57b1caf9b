/* far_order.c - the order in which completions are delivered, where no store numbers settlements.
 *
 * A server of the protocol does not say which of two promises was settled first, and a replay must deliver as the first
 * run did. So there are two kinds of completions:
 *
 *   own      the execution settles it itself (steps, branches). It numbers them in the order in which it submits them,
 *            the number travels in the record (far_record.c), and answers come in that order: own k has the place k.
 *   others'  settled by somebody else (workflows, timers, promises, the request to cancel). Delivered when it is told;
 *            what that meant is a place between two own ones.
 *
 * Where a replay would find the same place by itself nothing is written: if nothing else was under way the other's
 * completion was the only one that could come. A replay therefore delivers own completions as far as the program has
 * made their calls, then those of others, earliest settled first. Where that would not be so the place is noted, and a
 * mark with the notes (`<id>:~order.n`, settled as it is made, so one request) is written ahead of the next record. A
 * delivery behind which nothing was recorded had no effect, and may come in any order.
 *
 * Places are 64-bit numbers: own k is k << 32; those of others that are noted, or come while the program runs, follow
 * the own one that was delivered last; those that a replay has no note of lie behind everything, by the instant of
 * their settlement.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "far.h"

#define UNNOTED ((uint64_t)1 << 63)

enum { OWN_SHIFT = 32, ORDINAL_BITS = 20 };

bool da_far_settles(da_call_kind kind)
{
  return kind == DA_CALL_STEP || kind == DA_CALL_INLINE || kind == DA_CALL_NATIVE || kind == DA_CALL_BRANCH;
}

bool da_far_is_own(const da_child *child, const da_promise *promise)
{
  return da_far_settles(child->call.kind) &&
         da_slice_eq(promise->id, child->record_id.len != 0 ? child->record_id : child->id);
}

static uint64_t own_number(const da_promise *promise)
{
  const da_slice *text = da_map_get(promise->value.headers, DA_LIT("da-own"));
  uint64_t number = 0;
  for (size_t i = 0; text != NULL && i < text->len && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++)
    number = number * 10 + (uint64_t)(text->ptr[i] - '0');
  return number & 0x3fffffff; /* a number that somebody made up must not overflow */
}

static bool replaying(const da_execution *execution)
{
  return execution->state == DA_EXECUTION_LOADING || execution->unreached > 0 || execution->recorded_left > 0 ||
         execution->far->asking;
}

void da_far_know(da_far_state *state, uint32_t ordinal, uint64_t own)
{
  if (ordinal >= state->known_cap) {
    size_t cap = state->known_cap != 0 ? state->known_cap : 16;
    while (cap <= ordinal) cap *= 2;
    state->known = da_xrealloc(state->known, cap * sizeof *state->known);
    memset(state->known + state->known_cap, 0, (cap - state->known_cap) * sizeof *state->known);
    state->known_cap = cap;
  }
  if (own != state->told_own) state->told = 0;
  state->told_own = own;
  if (state->known[ordinal] == 0) state->known[ordinal] = (own << OWN_SHIFT) + ++state->told;
}

uint64_t da_far_seq(da_execution *execution, uint32_t ordinal, bool own, const da_promise *promise)
{
  da_far_state *state = execution->far;
  uint64_t number = own ? own_number(promise) : 0;
  if (number > state->own_made) state->own_made = number;
  if (number > 0) return number << OWN_SHIFT;
  if (ordinal < state->known_cap && state->known[ordinal] != 0) return state->known[ordinal];
  if (replaying(execution))
    return UNNOTED + ((uint64_t)promise->settled_at << ORDINAL_BITS) + (ordinal & ((1u << ORDINAL_BITS) - 1));
  uint64_t told = state->told_own == state->own_delivered ? state->told : 0;
  return (state->own_delivered << OWN_SHIFT) + told + ++state->between;
}

/* Could something else have come before the promise that was just delivered? Not a timer that was not due by then. */
static bool others_under_way(const da_execution *execution, int64_t settled_at)
{
  if (execution->busy > 0 || execution->queue_head < execution->queue_count) return true;
  for (const da_child *child = execution->open_first; child != NULL; child = child->open_next)
    if (child->kind != DA_CALL_SLEEP || child->timeout_at <= settled_at) return true;
  return false;
}

/* What the program settles itself has its place by what it does. */
static bool is_settled_here(const da_child *child)
{
  return child != NULL && child->seq == 0;
}

static void pass(da_far_state *state, uint32_t ordinal)
{
  if (state->passed_count == state->passed_cap) {
    state->passed_cap = state->passed_cap != 0 ? state->passed_cap * 2 : 8;
    state->passed = da_xrealloc(state->passed, state->passed_cap * sizeof *state->passed);
  }
  state->passed[state->passed_count++] = ordinal;
}

static void add_note(da_far_state *state, uint32_t ordinal)
{
  if (state->note_count == state->note_cap) {
    state->note_cap = state->note_cap != 0 ? state->note_cap * 2 : 8;
    state->notes = da_xrealloc(state->notes, state->note_cap * sizeof *state->notes);
  }
  state->notes[state->note_count++] = (da_far_note){ordinal, state->own_delivered};
}

void da_far_delivered(da_execution *execution, const da_child *child, uint64_t seq)
{
  da_far_state *state = execution->far;
  uint32_t ordinal = child != NULL ? child->call.ordinal : 0;
  bool own = seq < UNNOTED && (seq & (((uint64_t)1 << OWN_SHIFT) - 1)) == 0;
  if (own) {
    state->own_delivered = seq >> OWN_SHIFT;
    state->between = 0;
    state->passed_count = 0;
    return;
  }
  bool noted = ordinal < state->known_cap && state->known[ordinal] != 0;
  bool behind = execution->unreached > 0; /* what was made after it is recorded: the rule holds */
  if (noted || is_settled_here(child)) return;
  if (behind || (child != NULL && !others_under_way(execution, child->settled_at))) {
    pass(state, ordinal);
    return;
  }
  /* One with a note stands before all without: those that came before it behind the same own one get theirs, too. */
  for (size_t i = 0; i < state->passed_count; i++) add_note(state, state->passed[i]);
  state->passed_count = 0;
  add_note(state, ordinal);
}

/* Could it have come by now? A step ends whenever it likes, a branch behind its last line. */
static bool is_made(const da_delivery *delivery)
{
  const da_child *child = delivery->record != NULL ? delivery->record->child : delivery->child;
  if (child == NULL) return delivery->record == NULL; /* a request to cancel */
  return child->kind != DA_CALL_BRANCH || child->fiber == NULL || child->fiber->done;
}

/* The first one that no note tells of and whose call was made; the queue is sorted, they lie at its end. */
static size_t overtaker(const da_execution *execution)
{
  size_t low = execution->queue_head, high = execution->queue_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (execution->queue[middle].seq >= UNNOTED)
      high = middle;
    else
      low = middle + 1;
  }
  while (low < execution->queue_count && !is_made(&execution->queue[low])) low++;
  return low < execution->queue_count ? low : SIZE_MAX;
}

/* Is it one of several that could come next, and no note known that says so? */
static bool is_unordered(const da_execution *execution, size_t at)
{
  const da_delivery *next = &execution->queue[at];
  if (next->seq < UNNOTED) return false;
  return at > execution->queue_head || execution->queue_count - execution->queue_head > 1 ||
         others_under_way(execution, next->settled_at);
}

bool da_far_pick(da_execution *execution, size_t *at)
{
  const da_far_state *state = execution->far;
  if (!is_made(&execution->queue[*at])) {
    size_t over = overtaker(execution);
    bool others = execution->open_count > 0 || execution->busy > 0 || state->questions > 0;
    if (over == SIZE_MAX) return !others; /* nothing can come any more: the caller says what is wrong */
    *at = over;
  }
  if (!state->asking || state->order_complete || !is_unordered(execution, *at)) return true;
  da_far_ask_order(execution);
  return false;
}

static int by_seq(const void *a, const void *b)
{
  const da_delivery *x = a, *y = b;
  return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void da_far_sort_again(da_execution *execution)
{
  const da_far_state *state = execution->far;
  for (size_t i = execution->queue_head; i < execution->queue_count; i++) {
    da_delivery *delivery = &execution->queue[i];
    const da_call *call = delivery->child != NULL    ? &delivery->child->call
                          : delivery->record != NULL ? &delivery->record->promise->call
                                                     : NULL;
    uint32_t ordinal = call != NULL ? call->ordinal : 0;
    if (delivery->seq >= UNNOTED && ordinal < state->known_cap && state->known[ordinal] != 0)
      delivery->seq = state->known[ordinal];
  }
  qsort(execution->queue + execution->queue_head, execution->queue_count - execution->queue_head,
        sizeof *execution->queue, by_seq);
}

void da_far_free(da_execution *execution)
{
  if (execution->far == NULL) return;
  da_far_free_look(execution->far->look);
  free(execution->far->notes);
  free(execution->far->known);
  free(execution->far->passed);
  free(execution->far);
  execution->far = NULL;
}
