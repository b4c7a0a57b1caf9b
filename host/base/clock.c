/* clock.c - the one place that asks the machine for the time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static double factor = 1;
static int64_t begin_ms;
static _Atomic int64_t last_ms;

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
  begin_ms = wall_ms();
}

int64_t da_clock_now_ms(void)
{
  (void)pthread_once(&once, start);
  int64_t now = wall_ms();
  if (factor > 1) now = begin_ms + (int64_t)((double)(now - begin_ms) * factor);
  int64_t last = atomic_load(&last_ms);
  while (now > last)
    if (atomic_compare_exchange_weak(&last_ms, &last, now)) return now;
  return last;
}

int64_t da_clock_wait_ms(int64_t at_ms)
{
  int64_t now = da_clock_now_ms();
  if (at_ms <= now) return 0;
  return (int64_t)ceil((double)(at_ms - now) / factor);
}

uint64_t da_clock_mono_ns(void)
{
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
