/* native.c - a plugin for native.lua: one addition, as a native of each kind.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>

#include "dahost.h"

static void add(dahost_call *call, void *user)
{
  int64_t a, b;
  (void)user;
  if (dahost_arg_integer(call, 1, &a) && dahost_arg_integer(call, 2, &b)) dahost_return_integer(call, a + b);
}

/* What is deferred, in order, for the one thread that completes it. */
static struct deferred {
  dahost_token token;
  int64_t sum;
  struct deferred *next;
} * first, **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *complete_all(void *arg)
{
  (void)arg;
  for (;;) {
    (void)pthread_mutex_lock(&lock);
    while (first == NULL) (void)pthread_cond_wait(&changed, &lock);
    struct deferred *d = first;
    first = d->next;
    if (first == NULL) last = &first;
    (void)pthread_mutex_unlock(&lock);
    dahost_call *call = dahost_claim(d->token);
    if (call != NULL) {
      dahost_return_integer(call, d->sum);
      dahost_complete(call);
    }
    free(d);
  }
  return NULL;
}

static void add_later(dahost_call *call, void *user)
{
  int64_t a, b;
  (void)user;
  if (!dahost_arg_integer(call, 1, &a) || !dahost_arg_integer(call, 2, &b)) return;
  struct deferred *d = calloc(1, sizeof *d);
  if (d == NULL) abort();
  d->sum = a + b;
  d->token = dahost_defer(call);
  (void)pthread_mutex_lock(&lock);
  *last = d;
  last = &d->next;
  (void)pthread_cond_signal(&changed);
  (void)pthread_mutex_unlock(&lock);
}

static int open_bench(dahost_library *library, void **user, char *why, size_t why_size)
{
  pthread_t thread;
  (void)user, (void)why, (void)why_size;
  bool added = dahost_add(library, "sync", DAHOST_SYNC, add, NULL) &&
               dahost_add(library, "pool", DAHOST_POOL, add, NULL) &&
               dahost_add(library, "async", DAHOST_ASYNC, add_later, NULL) &&
               dahost_add(library, "pure", DAHOST_PURE, add, NULL);
  return added && pthread_create(&thread, NULL, complete_all, NULL) == 0 ? 0 : -1;
}

DAHOST_PLUGIN("bench", open_bench, NULL)
