/* native.h - functions in C that workflows call as steps: what the vm knows of one.
 *
 * Who they are, and how one is called, is the matter of bindings (bindings/bind_native.c, bind_call.c); here they are
 * names, kinds and three functions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_NATIVE_H
#define DA_VM_NATIVE_H

#include "../base/bytes.h"

struct da_step_job;

typedef enum da_native_kind {
  DA_NATIVE_SYNC,  /* on the loop thread */
  DA_NATIVE_POOL,  /* on a step thread */
  DA_NATIVE_ASYNC, /* begun on the loop thread, ended by any */
  DA_NATIVE_PURE   /* a part of the program: never an attempt */
} da_native_kind;

typedef struct da_native da_native;
struct da_native {
  da_slice name; /* "sensor.read" */
  da_native_kind kind;
  /* An attempt: the job is filled with what came of it. False (ASYNC alone): that comes later, by da_sched_post() of
   * the job's done(). On the thread of its kind. */
  bool (*run)(struct da_step_job *job);
  /* The loop thread: nobody needs the attempt any more; it may still end well. */
  void (*cancel)(struct da_step_job *job);
  /* Of ASYNC, the loop thread: nobody listens any more. True: the job is the caller's; false: done() gets it later. */
  bool (*let_go)(struct da_step_job *job);
};

#endif
