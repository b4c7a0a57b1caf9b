/* timer.c - many one-shot timers by the wall clock, over one uv timer.
 *
 * A heap ordered by (instant, order of start). libuv waits by the monotonic clock while instants are wall time, so a
 * wait is never longer than WAIT_MAX_MS: after a suspend or a step of the clock a timer is late by that much at most.
 * The uv timer may fire a little before the wall clock shows the instant; then it is armed again for the rest.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "pump.h"

enum { WAIT_MAX_MS = 5000 };

/* WAITING --instant passed--> DUE --its turn--> RUNNING --fn returned--> freed
 *    |stop: freed at once      |stop             |stop
 *                              +----> STOPPED <--+  freed by fire() when it comes to it */
typedef enum timer_state { TIMER_WAITING, TIMER_DUE, TIMER_RUNNING, TIMER_STOPPED } timer_state;

struct da_timer {
  da_sched *sched;
  int64_t at_ms;
  uint64_t order;
  void (*fn)(void *arg);
  void *arg;
  size_t index; /* in the heap while WAITING */
  timer_state state;
  da_timer *next; /* among the due ones */
};

static bool before(const da_timer *a, const da_timer *b)
{
  return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place(da_timers *timers, da_timer *timer, size_t index)
{
  timers->heap[index] = timer;
  timer->index = index;
}

static void sift(da_timers *timers, da_timer *timer, size_t index)
{
  while (index > 0 && before(timer, timers->heap[(index - 1) / 2])) {
    place(timers, timers->heap[(index - 1) / 2], index);
    index = (index - 1) / 2;
  }
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= timers->count) break;
    if (child + 1 < timers->count && before(timers->heap[child + 1], timers->heap[child])) child++;
    if (!before(timers->heap[child], timer)) break;
    place(timers, timers->heap[child], index);
    index = child;
  }
  place(timers, timer, index);
}

static void take_out(da_timers *timers, da_timer *timer)
{
  da_timer *last = timers->heap[--timers->count];
  if (last != timer) sift(timers, last, timer->index);
}

static void fire(uv_timer_t *uv);

/* Sets the uv timer to the head of the heap. */
static void arm(da_sched *sched)
{
  da_timers *timers = &sched->timers;
  if (timers->firing || uv_is_closing((uv_handle_t *)&timers->uv)) return;
  if (timers->count == 0) {
    timers->armed_at = INT64_MIN;
    (void)uv_timer_stop(&timers->uv);
    return;
  }
  int64_t at = timers->heap[0]->at_ms;
  if (at == timers->armed_at) return;
  timers->armed_at = at;
  int64_t wait = da_clock_wait_ms(at);
  if (wait > WAIT_MAX_MS) wait = WAIT_MAX_MS;
  uv_update_time(sched->loop); /* libuv counts from the time of the last turn */
  (void)uv_timer_start(&timers->uv, fire, (uint64_t)wait, 0);
}

static void run(da_timer *timer)
{
  if (timer->state == TIMER_DUE) {
    timer->state = TIMER_RUNNING;
    timer->fn(timer->arg);
  }
  free(timer);
}

/* First all that is due leaves the heap, then each runs: one that starts itself again waits for the next turn. */
static void fire(uv_timer_t *uv)
{
  da_sched *sched = uv->data;
  da_timers *timers = &sched->timers;
  da_timer *due = NULL;
  da_timer **end = &due;
  int64_t now = da_clock_now_ms();
  while (timers->count > 0 && timers->heap[0]->at_ms <= now) {
    da_timer *timer = timers->heap[0];
    DA_ASSERT_OP((int)timer->state, ==, (int)TIMER_WAITING);
    take_out(timers, timer);
    timer->state = TIMER_DUE;
    timer->next = NULL;
    *end = timer;
    end = &timer->next;
  }
  timers->firing = true;
  while (due != NULL) {
    da_timer *timer = due;
    due = timer->next;
    run(timer);
  }
  timers->firing = false;
  timers->armed_at = INT64_MIN;
  arm(sched);
}

int64_t da_timers_first(const da_sched *sched)
{
  return sched->timers.count > 0 ? sched->timers.heap[0]->at_ms : DA_TIME_MAX;
}

void da_timers_fire(da_sched *sched)
{
  fire(&sched->timers.uv);
}

da_timer *da_timer_start(da_sched *sched, int64_t at_ms, void (*fn)(void *arg), void *arg)
{
  da_timers *timers = &sched->timers;
  da_timer *timer = da_xmalloc(sizeof *timer);
  *timer = (da_timer){.sched = sched, .at_ms = at_ms, .order = timers->next_order++, .fn = fn, .arg = arg};
  if (timers->count == timers->cap) {
    timers->cap = timers->cap != 0 ? 2 * timers->cap : 16;
    timers->heap = da_xrealloc(timers->heap, timers->cap * sizeof *timers->heap);
  }
  sift(timers, timer, timers->count++);
  arm(sched);
  return timer;
}

void da_timer_stop(da_timer *timer)
{
  if (timer == NULL) return;
  DA_ASSERT_OP((int)timer->state, !=, (int)TIMER_STOPPED);
  if (timer->state != TIMER_WAITING) {
    timer->state = TIMER_STOPPED;
    return;
  }
  da_sched *sched = timer->sched;
  take_out(&sched->timers, timer);
  free(timer);
  arm(sched);
}

void da_timers_create(da_sched *sched)
{
  (void)uv_timer_init(sched->loop, &sched->timers.uv); /* cannot fail: it only fills the struct */
  sched->timers.uv.data = sched;
  sched->timers.armed_at = INT64_MIN;
}

void da_timers_destroy(da_sched *sched)
{
  da_timers *timers = &sched->timers;
  for (size_t i = 0; i < timers->count; i++) free(timers->heap[i]);
  free(timers->heap);
  *timers = (da_timers){0};
}
