/* image_state.h - what the host knows of a suspended execution, as bytes of its image.
 *
 * Here:     the two directions, side by side for each struct, and what the search for later records asks of it.
 * May not:  know when an image is made, or what becomes of it.
 * Threads:  writing and taking on the loop thread; reading on any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_IMAGE_STATE_H
#define DA_VM_IMAGE_STATE_H

#include "../sched/sched.h"
#include "execution.h"

/* What was read, in an arena. */
typedef struct da_image_state da_image_state;

/* Appends. False: its ids are too long for records to be found behind it (tail.c). */
bool DA_MUST_USE da_image_state_put(da_execution *execution, da_buf *out);
/* NULL: it is damaged. Borrows the bytes. */
da_image_state *da_image_state_read(da_slice bytes, da_arena *arena);
/* What lies behind it in the store, if `reach` is what stands beside the image; in the arena, but for the table
 * `known`, which is the caller's. */
da_tail da_image_state_tail(const da_image_state *state, uint64_t reach, da_table *known, da_arena *arena);
/* The ids of the children that were not delivered. */
size_t da_image_state_pending(const da_image_state *state, const da_slice **ids);
/* Makes of a new execution what it was. What the state borrows has to live as long as it. The fibers have no coroutine
 * yet: da_image_state_anchor() finds those in the isolate. */
void da_image_state_take(da_execution *execution, const da_image_state *state);
bool DA_MUST_USE da_image_state_anchor(da_execution *execution);
/* Of da_image_state_pending()[i]: is it a step that was under way? */
bool da_image_state_restarts(const da_image_state *state, size_t i);
/* Of a promise of another lineage (da.get): where it is recorded that there is none; else empty. */
da_slice da_image_state_own_record(const da_image_state *state, size_t i);
/* May it lack a record all the same? So may a branch that runs. */
bool da_image_state_may_lack(const da_image_state *state, size_t i);
/* Its child. */
da_child *da_image_state_child(const da_execution *execution, const da_image_state *state, size_t i);

#endif
