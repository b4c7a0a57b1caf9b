/* clock.c - the one place that asks the machine for the time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static double factor = 1;
static int64_t begin_ms;

/* What the clock showed when it was last set by the machine's, or by da_clock_floor(), and when that was. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t anchor_ms;
static uint64_t anchor_ns;
static bool standing;
static int64_t stands_at;

static int64_t wall_ms(void)
{
  struct timespec t;
  (void)clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void start(void)
{
  const char *text = getenv("DAHOST_TIME_FACTOR");
  double wanted = text != NULL ? strtod(text, NULL) : 1;
  if (wanted >= 1 && wanted <= 1e9) factor = wanted;
  begin_ms = anchor_ms = wall_ms();
  anchor_ns = da_clock_mono_ns();
}

/* The machine's clock, or where it lies behind, the anchor and what has passed since. */
static int64_t read_clock(void)
{
  if (standing) return stands_at;
  int64_t wall = wall_ms();
  if (factor > 1) wall = begin_ms + (int64_t)((double)(wall - begin_ms) * factor);
  uint64_t mono = da_clock_mono_ns();
  int64_t steady = anchor_ms + (int64_t)((double)(mono - anchor_ns) / 1e6 * factor);
  if (wall < steady) return steady;
  anchor_ms = wall;
  anchor_ns = mono;
  return wall;
}

int64_t da_clock_now_ms(void)
{
  (void)pthread_once(&once, start);
  (void)pthread_mutex_lock(&lock);
  int64_t now = read_clock();
  (void)pthread_mutex_unlock(&lock);
  return now;
}

void da_clock_floor(int64_t at_ms)
{
  (void)pthread_once(&once, start);
  (void)pthread_mutex_lock(&lock);
  if (!standing && at_ms > read_clock()) {
    anchor_ms = at_ms;
    anchor_ns = da_clock_mono_ns();
  }
  (void)pthread_mutex_unlock(&lock);
}

int64_t da_clock_wait_ms(int64_t at_ms)
{
  (void)pthread_once(&once, start);
  (void)pthread_mutex_lock(&lock);
  int64_t now = read_clock();
  bool still = standing;
  (void)pthread_mutex_unlock(&lock);
  if (at_ms <= now) return 0;
  if (still) return INT64_MAX;
  return (int64_t)ceil((double)(at_ms - now) / factor);
}

static void set_standing(bool on, int64_t at_ms)
{
  (void)pthread_once(&once, start);
  (void)pthread_mutex_lock(&lock);
  standing = on;
  stands_at = at_ms;
  (void)pthread_mutex_unlock(&lock);
}

void da_clock_stand(int64_t at_ms)
{
  set_standing(true, at_ms);
}

void da_clock_go(void)
{
  set_standing(false, 0);
}

void da_clock_move(int64_t at_ms)
{
  (void)pthread_mutex_lock(&lock);
  DA_ASSERT(standing);
  if (at_ms > stands_at) stands_at = at_ms;
  (void)pthread_mutex_unlock(&lock);
}

uint64_t da_clock_mono_ns(void)
{
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
