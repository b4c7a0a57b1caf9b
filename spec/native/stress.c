/* stress.c - many calls of natives of all kinds, some cancelled, on hosts that are closed in the middle.
 *
 *     stress DIRECTORY SCRIPT EXECUTIONS CALLS
 *
 * Two threads complete what is deferred, after a while: once, twice, or after the host is gone. Between two closings a
 * host has some executions under way. At the end each execution has come to what it should, and no token can be
 * claimed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dahost.h"

enum { AT_A_TIME = 8, CLOSE_EVERY = 5, COMPLETERS = 2, RING = 4096 };

static atomic_long calls[4], canceled, late;

/* ---- who completes -------------------------------------------------------------------------------------- */

typedef struct deferred {
  dahost_token token;
  int64_t number;
} deferred;

static deferred ring[RING];
static size_t ring_from, ring_count;
static bool ring_closed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static bool take(deferred *out)
{
  pthread_mutex_lock(&lock);
  while (ring_count == 0 && !ring_closed) pthread_cond_wait(&changed, &lock);
  bool found = ring_count > 0;
  if (found) {
    *out = ring[ring_from];
    ring_from = (ring_from + 1) % RING;
    ring_count--;
  }
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return found;
}

static void complete(const deferred *d)
{
  dahost_call *call = dahost_claim(d->token);
  if (call == NULL) {
    (void)atomic_fetch_add(&late, 1);
    return;
  }
  dahost_return_integer(call, d->number);
  dahost_complete(call);
}

static void *completer(void *arg)
{
  deferred d;
  (void)arg;
  while (take(&d)) {
    if (d.number % 7 == 0) (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    complete(&d);
    if (d.number % 5 == 0) complete(&d); /* again: it is found out */
  }
  return NULL;
}

/* ---- natives -------------------------------------------------------------------------------------------- */

static void at_once(dahost_call *call, void *user)
{
  int64_t n;
  if (!dahost_arg_integer(call, 1, &n)) return;
  (void)atomic_fetch_add((atomic_long *)user, 1);
  dahost_value table = dahost_new_table(call);
  dahost_set(call, table, "n", dahost_new_integer(call, n));
  dahost_set(call, table, "text", dahost_new_string(call, "some bytes", 10));
  dahost_return_integer(call, dahost_to_integer(call, dahost_field(call, table, "n")));
}

static void told(void *data)
{
  (void)data;
  (void)atomic_fetch_add(&canceled, 1);
}

static void later(dahost_call *call, void *user)
{
  deferred d = {.number = 0};
  if (!dahost_arg_integer(call, 1, &d.number)) return;
  (void)atomic_fetch_add((atomic_long *)user, 1);
  d.token = dahost_defer(call);
  dahost_on_cancel(call, told, NULL);
  pthread_mutex_lock(&lock);
  bool room = ring_count < RING;
  if (room) ring[(ring_from + ring_count++) % RING] = d;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  if (!room) abort(); /* not more are under way at a time */
}

static int open_library(dahost_library *library, void **user, char *why, size_t why_size)
{
  (void)user, (void)why, (void)why_size;
  return dahost_add(library, "sync", DAHOST_SYNC, at_once, &calls[DAHOST_SYNC]) &&
                 dahost_add(library, "pool", DAHOST_POOL, at_once, &calls[DAHOST_POOL]) &&
                 dahost_add(library, "async", DAHOST_ASYNC, later, &calls[DAHOST_ASYNC]) &&
                 dahost_add(library, "pure", DAHOST_PURE, at_once, &calls[DAHOST_PURE])
             ? 0
             : -1;
}

static const dahost_library_info info = {DAHOST_ABI, sizeof info, "stress", open_library, NULL};

/* ---- hosts ---------------------------------------------------------------------------------------------- */

static dahost *open_host(const char *directory, const char *script)
{
  static const dahost_library_info *const libraries[] = {&info, NULL};
  const dahost_options options = {
      .size = sizeof options, .directory = directory, .libraries = libraries, .step_threads = 2};
  char why[256];
  dahost *host = dahost_open(&options, why, sizeof why);
  if (host != NULL && dahost_load(host, script)) return host;
  (void)fprintf(stderr, "%s\n", host != NULL ? dahost_error(host) : why);
  exit(1);
}

static void finish(dahost *host, int from, int to, const char *wanted)
{
  for (int i = from; i < to; i++) {
    char id[32];
    (void)snprintf(id, sizeof id, "s%d", i);
    dahost_state state = dahost_wait(host, id, 120000);
    if (state == DAHOST_RESOLVED && strcmp(dahost_result(host), wanted) == 0) continue;
    (void)fprintf(stderr, "%s: %d %s, not %s\n", id, (int)state, dahost_result(host), wanted);
    exit(1);
  }
}

int main(int argc, char **argv)
{
  if (argc != 5) return 2;
  int executions = atoi(argv[3]);
  char args[32];
  pthread_t threads[COMPLETERS];
  (void)snprintf(args, sizeof args, "[%s]", argv[4]);
  for (int i = 0; i < COMPLETERS; i++)
    if (pthread_create(&threads[i], NULL, completer, NULL) != 0) return 1;
  dahost *host = open_host(argv[1], argv[2]);
  int closings = 0;
  for (int from = 0, round = 1; from < executions; from += AT_A_TIME, round++) {
    int to = from + AT_A_TIME < executions ? from + AT_A_TIME : executions;
    for (int i = from; i < to; i++) {
      char id[32];
      (void)snprintf(id, sizeof id, "s%d", i);
      if (!dahost_start(host, id, "storm", args)) return 1;
    }
    if (round % CLOSE_EVERY == 0) {
      char id[32];
      (void)snprintf(id, sizeof id, "s%d", to - 1);
      (void)dahost_wait(host, id, 3 + 7 * (round % 5)); /* so long it runs */
      dahost_close(host);
      host = open_host(argv[1], argv[2]);
      closings++;
    }
    finish(host, from, to, argv[4]);
  }
  dahost_close(host);
  pthread_mutex_lock(&lock);
  ring_closed = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < COMPLETERS; i++) (void)pthread_join(threads[i], NULL);
  (void)printf("%ld sync, %ld pool, %ld async, %ld pure; %ld told to cancel, %ld too late, %d closings\n",
               atomic_load(&calls[DAHOST_SYNC]), atomic_load(&calls[DAHOST_POOL]), atomic_load(&calls[DAHOST_ASYNC]),
               atomic_load(&calls[DAHOST_PURE]), atomic_load(&canceled), atomic_load(&late), closings);
  return 0;
}
