/* device.c - a sensor and a valve behind drivers in C, as a plugin: what scripts see as da.native.device.
 *
 *   cc -std=c11 -shared -fPIC -I<include> -o libdevice.so device.c
 *
 * The drivers are stand-ins: the third reading fails for good, the motor of the valve needs some milliseconds. Each
 * reading and each turn is noted in the file that LEDGER names, as the steps of the other examples do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dahost.h"

static void note(const char *id, const char *what, double value)
{
  const char *path = getenv("LEDGER");
  FILE *file = path != NULL ? fopen(path, "a") : NULL;
  if (file == NULL) return;
  (void)fprintf(file, "%s %s %g\n", id, what, value);
  (void)fclose(file);
}

/* ---- the sensor: a driver that blocks, so it is run on a step thread ------------------------------------- */

static void read_celsius(dahost_call *call, void *user)
{
  int64_t round;
  (void)user;
  if (!dahost_arg_integer(call, 1, &round)) return;
  note(dahost_call_id(call), "read", (double)round);
  if (round == 3) {
    dahost_fail(call, "sensor_broken", "no answer on the bus");
    dahost_fail_fatal(call); /* another attempt would find it as broken */
    return;
  }
  dahost_return_number(call, 15.5 + 3 * (double)round);
}

/* ---- the valve: its motor says when it is done, on a thread of its own ----------------------------------- */

typedef struct turn {
  dahost_token token;
  double percent;
  char id[300];
} turn;

static void *motor(void *arg)
{
  turn *t = arg;
  (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  dahost_call *call = dahost_claim(t->token);
  if (call != NULL) { /* else nobody waits any more */
    note(t->id, "valve", t->percent);
    dahost_return_number(call, t->percent);
    dahost_complete(call);
  }
  free(t);
  return NULL;
}

static void set_valve(dahost_call *call, void *user)
{
  double percent;
  pthread_t thread;
  (void)user;
  if (!dahost_arg_number(call, 1, &percent)) return;
  turn *t = calloc(1, sizeof *t);
  if (t == NULL) {
    dahost_fail(call, "no_memory", "the motor cannot be told");
    return;
  }
  (void)snprintf(t->id, sizeof t->id, "%s", dahost_call_id(call));
  t->percent = percent;
  t->token = dahost_defer(call);
  if (pthread_create(&thread, NULL, motor, t) == 0)
    (void)pthread_detach(thread);
  else
    (void)motor(t); /* then it is waited for here, some milliseconds */
}

/* ---- arithmetic: a part of the workflow, so it is PURE --------------------------------------------------- */

/* opening(celsius, target): how far the valve is to be open, in percent */
static void opening(dahost_call *call, void *user)
{
  double celsius, target;
  (void)user;
  if (!dahost_arg_number(call, 1, &celsius) || !dahost_arg_number(call, 2, &target)) return;
  double percent = (target - celsius) * 20;
  dahost_return_number(call, percent < 0 ? 0 : percent > 100 ? 100 : percent);
}

static int open_device(dahost_library *library, void **user, char *why, size_t why_size)
{
  (void)user, (void)why, (void)why_size;
  bool added = dahost_add(library, "read", DAHOST_POOL, read_celsius, NULL) &&
               dahost_add(library, "set", DAHOST_ASYNC, set_valve, NULL) &&
               dahost_add(library, "opening", DAHOST_PURE, opening, NULL);
  return added ? 0 : -1;
}

DAHOST_PLUGIN("device", open_device, NULL)
