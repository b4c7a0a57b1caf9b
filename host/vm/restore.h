/* restore.h - images of executions, for the files of the room: taking one, going on from one.
 *
 * Recovery is an image and the records behind it, as one attempt: the isolate is put back, its children that were not
 * delivered meet their records, and what the program does from there on is a replay of the rest. Any doubt is a replay
 * from the top.
 * Threads: the loop thread, but for da_restore_read().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_RESTORE_H
#define DA_VM_RESTORE_H

#include "image.h"
#include "image_state.h"

/* ---- image_take.c -------------------------------------------------------------------------------------- */

void da_image_consider(da_execution *execution);      /* nothing of it can run for now */
void da_image_cold(da_execution *execution);          /* its isolate is about to be dropped */
void da_image_dropped(da_execution *execution);       /* it is */
void da_image_finish(da_worker *worker, da_slice id); /* it begins anew: what is taken of it is written before */
void da_image_finish_all(da_worker *worker);
void da_image_reach(da_execution *execution); /* it makes more calls than whoever goes on would look for */

/* ---- restore.c ----------------------------------------------------------------------------------------- */

/* What was read of an image, in the arena of an op. */
typedef struct da_restore {
  da_image image;
  const da_image_state *state;
  uint64_t reach;
  const da_promise *pending; /* the records of da_image_state_pending() */
} da_restore;

/* For an op on the store thread: the image of the execution whose promise this is, and with `visit` what it recorded
 * behind it. NULL: there is none to be used; *doubt, static, says why, or is NULL if none is there. */
const da_restore *da_restore_read(da_store *store, const da_execution *execution, const da_promise *promise,
                                  da_arena *arena, da_store_visit *visit, void *user, const char **doubt);
/* The records were read: it is what it was, but for the isolate. */
void da_restore_load(da_execution *execution, const da_restore *restore);
/* Puts the isolate back. REPLAYED: there was a doubt, and another execution runs from the top in place of this one;
 * FULL: no slot is free. */
typedef enum da_restored { DA_RESTORED, DA_RESTORE_REPLAYED, DA_RESTORE_FULL } da_restored;
da_restored DA_MUST_USE da_restore_enter(da_execution *execution);
void da_restore_doubted(da_execution *execution, const char *doubt); /* counts it */
/* Drops it and begins anew from its records, without the image. */
void da_restore_fall_back(da_execution *execution, const char *doubt);
void da_restore_create(da_worker *worker, const da_worker_options *options);

#endif
