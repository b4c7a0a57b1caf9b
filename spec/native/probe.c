/* probe.c - a plugin for specs: natives of all kinds, and those that go wrong.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dahost.h"

static void rest(int64_t ms)
{
  struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  (void)nanosleep(&t, NULL);
}

/* A line in the file that the environment names: what was run is known whatever became of the process. */
static void journal(const char *word, dahost_call *call)
{
  const char *path = getenv("NATIVE_JOURNAL");
  FILE *file = path != NULL ? fopen(path, "a") : NULL;
  if (file == NULL) return;
  (void)fprintf(file, "%s %s %d\n", word, dahost_call_id(call), dahost_call_attempt(call));
  (void)fclose(file);
}

/* add(a, b): integers, whatever the kind. */
static void add(dahost_call *call, void *user)
{
  int64_t a, b;
  (void)user;
  if (!dahost_arg_integer(call, 1, &a) || !dahost_arg_integer(call, 2, &b)) return;
  journal("add", call);
  dahost_return_integer(call, a + b);
}

/* echo(...): each argument back, copied piece by piece. */
static dahost_value copy(dahost_call *call, dahost_value from)
{
  size_t len;
  const char *bytes;
  dahost_value to, key = 0, value = 0;
  switch (dahost_type_of(call, from)) {
  case DAHOST_BOOLEAN:
    return dahost_new_boolean(call, dahost_to_boolean(call, from));
  case DAHOST_INTEGER:
    return dahost_new_integer(call, dahost_to_integer(call, from));
  case DAHOST_NUMBER:
    return dahost_new_number(call, dahost_to_number(call, from));
  case DAHOST_STRING:
    bytes = dahost_to_string(call, from, &len);
    return dahost_new_string(call, bytes, len);
  case DAHOST_TABLE:
    to = dahost_new_table(call);
    while (dahost_next(call, from, &key, &value)) dahost_set_pair(call, to, copy(call, key), copy(call, value));
    return to;
  case DAHOST_NIL:
    return dahost_new_nil(call);
  default:
    return 0;
  }
}

static void echo(dahost_call *call, void *user)
{
  (void)user;
  for (int i = 1; i <= dahost_arg_count(call); i++) dahost_return(call, copy(call, dahost_arg(call, i)));
}

/* build(n): { items = {1..n}, name = "built", none = {} } */
static void build(dahost_call *call, void *user)
{
  int64_t n = 3;
  (void)user;
  if (!dahost_opt_integer(call, 1, &n)) return;
  dahost_value table = dahost_new_table(call);
  dahost_value items = dahost_new_list(call);
  int mark = dahost_mark(call);
  for (int64_t i = 1; i <= n; i++) {
    dahost_append(call, items, dahost_new_integer(call, i));
    dahost_release(call, mark);
  }
  dahost_set(call, table, "items", items);
  dahost_set(call, table, "name", dahost_new_string(call, "built", 5));
  dahost_set(call, table, "none", dahost_new_list(call));
  dahost_return(call, table);
}

/* sum(list) by count and at; "name" by field */
static void sum(dahost_call *call, void *user)
{
  dahost_value list;
  int64_t total = 0;
  (void)user;
  if (!dahost_arg_table(call, 1, &list)) return;
  for (size_t i = 1; i <= dahost_count(call, list); i++) total += dahost_to_integer(call, dahost_at(call, list, i));
  dahost_return_integer(call, total);
  const char *name = dahost_to_string(call, dahost_field(call, list, "name"), NULL);
  if (name != NULL) dahost_return_string(call, name, strlen(name));
}

/* get(table, key): what is there, and whether the table is a list */
static void get(dahost_call *call, void *user)
{
  dahost_value table;
  (void)user;
  if (!dahost_arg_table(call, 1, &table)) return;
  dahost_return(call, dahost_get(call, table, dahost_arg(call, 2)));
  dahost_return_boolean(call, dahost_is_list(call, table));
}

/* length(s), zeros(s): bytes with zeros in them, and where they are refused */
static void length(dahost_call *call, void *user)
{
  const char *bytes;
  size_t len;
  (void)user;
  if (dahost_arg_string(call, 1, &bytes, &len)) dahost_return_integer(call, (int64_t)len);
}

static void text_length(dahost_call *call, void *user)
{
  const char *text;
  (void)user;
  if (dahost_arg_string(call, 1, &text, NULL)) dahost_return_integer(call, (int64_t)strlen(text));
}

/* fails(until): the attempts before that one */
static void fails(dahost_call *call, void *user)
{
  int64_t until;
  (void)user;
  if (!dahost_arg_integer(call, 1, &until)) return;
  journal("fails", call);
  if (dahost_call_attempt(call) >= until) {
    dahost_return_integer(call, dahost_call_attempt(call));
    return;
  }
  dahost_return_integer(call, -1); /* counts for nothing */
  dahost_fail(call, "not_yet", "attempt %d", dahost_call_attempt(call));
  dahost_fail(call, "second", "the first failure stays");
  dahost_fail_field(call, "wanted", dahost_new_integer(call, until));
}

static void refuses(dahost_call *call, void *user)
{
  (void)user;
  journal("refuses", call);
  dahost_fail(call, "refused", "not this one");
  dahost_fail_fatal(call);
}

/* dozes(ms): until then, or until nobody waits for it */
static void dozes(dahost_call *call, void *user)
{
  int64_t ms;
  (void)user;
  if (!dahost_arg_integer(call, 1, &ms)) return;
  journal("dozes", call);
  for (int64_t passed = 0; passed < ms && !dahost_call_canceled(call); passed += 5) rest(5);
  journal(dahost_call_canceled(call) ? "woken" : "dozed", call);
  dahost_return_integer(call, ms);
}

/* ---- what ends later: a thread for each ------------------------------------------------------------------ */

typedef struct later {
  dahost_token token;
  int64_t ms, number;
  volatile int canceled;
} later;

static void *complete_later(void *arg)
{
  later *l = arg;
  rest(l->ms);
  dahost_call *call = dahost_claim(l->token);
  if (call != NULL) {
    if (l->number >= 0)
      dahost_return_integer(call, l->number);
    else
      dahost_fail(call, "negative", "%" PRId64, l->number);
    dahost_complete(call);
  }
  if (dahost_claim(l->token) != NULL) abort(); /* a second time there is nothing to claim */
  free(l);
  return NULL;
}

/* later(ms, n): n after so long; below 0: a failure */
static void returns_later(dahost_call *call, void *user)
{
  int64_t ms, number;
  (void)user;
  if (!dahost_arg_integer(call, 1, &ms) || !dahost_arg_integer(call, 2, &number)) return;
  journal("later", call);
  later *l = calloc(1, sizeof *l);
  if (l == NULL) abort();
  l->ms = ms;
  l->number = number;
  l->token = dahost_defer(call);
  pthread_t thread;
  if (pthread_create(&thread, NULL, complete_later, l) != 0) abort();
  (void)pthread_detach(thread);
}

/* never(answers): only a request to cancel ends it, or nothing */
static void wake_up(void *data)
{
  later *l = data;
  const char *path = getenv("NATIVE_JOURNAL");
  FILE *file = path != NULL ? fopen(path, "a") : NULL;
  if (file != NULL) {
    (void)fprintf(file, "told\n");
    (void)fclose(file);
  }
  dahost_call *call = l->number != 0 ? dahost_claim(l->token) : NULL;
  if (call != NULL) {
    dahost_fail(call, "stopped", "as it was told");
    dahost_complete(call);
  }
  free(l);
}

static void never(dahost_call *call, void *user)
{
  bool answers = false;
  (void)user;
  if (!dahost_opt_boolean(call, 1, &answers)) return;
  journal("never", call);
  later *l = calloc(1, sizeof *l);
  if (l == NULL) abort();
  l->number = answers;
  l->token = dahost_defer(call);
  dahost_on_cancel(call, wake_up, l);
}

/* An ASYNC one may be over at once. */
static void at_once(dahost_call *call, void *user)
{
  (void)user;
  dahost_return_string(call, "now", 3);
}

/* defer in a call that is not ASYNC */
static void misuse(dahost_call *call, void *user)
{
  (void)user;
  dahost_token token = dahost_defer(call);
  const char *words = dahost_token_error(token);
  dahost_return_boolean(call, words != NULL && dahost_claim(token) == NULL);
}

static void crash(dahost_call *call, void *user)
{
  (void)user;
  journal("crash", call);
  abort();
}

static void identify(dahost_call *call, void *user)
{
  const char *id = dahost_call_id(call);
  (void)user;
  dahost_return_string(call, id, strlen(id));
  dahost_return_integer(call, dahost_call_attempt(call));
  dahost_return_boolean(call, dahost_call_deadline(call) == INT64_MAX);
}

static int open_probe(dahost_library *library, void **user, char *why, size_t why_size)
{
  if (getenv("NATIVE_REFUSES") != NULL) {
    (void)snprintf(why, why_size, "the bus is not there");
    return -1;
  }
  *user = NULL;
  return dahost_add(library, "add", DAHOST_SYNC, add, NULL) &&
                 dahost_add(library, "add_pool", DAHOST_POOL, add, NULL) &&
                 dahost_add(library, "add_pure", DAHOST_PURE, add, NULL) &&
                 dahost_add(library, "echo", DAHOST_POOL, echo, NULL) &&
                 dahost_add(library, "echo_pure", DAHOST_PURE, echo, NULL) &&
                 dahost_add(library, "build", DAHOST_SYNC, build, NULL) &&
                 dahost_add(library, "sum", DAHOST_PURE, sum, NULL) &&
                 dahost_add(library, "get", DAHOST_PURE, get, NULL) &&
                 dahost_add(library, "length", DAHOST_PURE, length, NULL) &&
                 dahost_add(library, "text_length", DAHOST_PURE, text_length, NULL) &&
                 dahost_add(library, "fails", DAHOST_POOL, fails, NULL) &&
                 dahost_add(library, "fails_sync", DAHOST_SYNC, fails, NULL) &&
                 dahost_add(library, "refuses", DAHOST_SYNC, refuses, NULL) &&
                 dahost_add(library, "dozes", DAHOST_POOL, dozes, NULL) &&
                 dahost_add(library, "later", DAHOST_ASYNC, returns_later, NULL) &&
                 dahost_add(library, "never", DAHOST_ASYNC, never, NULL) &&
                 dahost_add(library, "at_once", DAHOST_ASYNC, at_once, NULL) &&
                 dahost_add(library, "misuse", DAHOST_SYNC, misuse, NULL) &&
                 dahost_add(library, "crash", DAHOST_POOL, crash, NULL) &&
                 dahost_add(library, "identify", DAHOST_POOL, identify, NULL)
             ? 0
             : -1;
}

DAHOST_PLUGIN("probe", open_probe, NULL)
