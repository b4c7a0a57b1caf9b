/* check.h - what must hold of the stored state, as named predicates.
 *
 * The seven task invariants and the property catalogue of the Resonate protocol's formal specification, as far as one
 * state shows them. Specs and debug builds run them after every apply; `dahost verify` runs them over a store.
 * May not: repair anything.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_CHECK_H
#define DA_ENGINE_CHECK_H

#include "effect.h"
#include "view.h"

/* Called once for each property found broken: its name ("task.pending_has_retry"), the id, a sentence. */
typedef void da_check_fn(void *user, const char *property, da_slice id, const char *words);

/* Checks one promise, its task, and the rows that belong to them. Returns the number of broken properties, or a
 * negative status when a read failed. */
int da_check_promise(da_view *view, const da_profile *profile, da_slice id, int64_t now_ms, da_arena *arena,
                     da_check_fn *report, void *user);

/* Checks one queue and the rows that belong to it, of very long ones only the first. 0 if it is not there. */
int da_check_queue(da_view *view, da_slice name, int64_t now_ms, da_arena *arena, da_check_fn *report, void *user);

/* Checks what a step from `before` to `after` must keep (immutability, one-way settlement, fencing). Either pair may
 * be NULL where the record was absent. */
int da_check_step(const da_promise *promise_before, const da_promise *promise_after, const da_task *task_before,
                  const da_task *task_after, da_check_fn *report, void *user);

/* Checks what one apply is about to do; to be called before its writes reach the store behind `view`. Every record it
 * writes takes a lawful step; an execute goes out with a task made pending, in its version; an unblock with the
 * settlement it tells of. */
int da_check_apply(da_view *view, const da_request *request, const da_outcome *out, da_arena *arena,
                   da_check_fn *report, void *user);

/* One schedule, as da_check_promise(). check_schedule.c */
int da_check_schedule(da_view *view, da_slice id, int64_t now_ms, da_arena *arena, da_check_fn *report, void *user);
/* Its part of da_check_apply(). */
int da_check_schedules_apply(da_view *view, const da_request *request, const da_outcome *out, da_arena *arena,
                             da_check_fn *report, void *user);

#endif
