/* effect.h - what a request leads to: absolute writes for the store, messages and settlements for the outside.
 *
 * A write is absolute (PUT a whole row, or DEL it), so that applying a list twice gives the same store: the seam at
 * which a redo log can stand in front of the database. Nothing in a da_outcome may leave the process before the
 * writes are flushed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_EFFECT_H
#define DA_ENGINE_EFFECT_H

#include "record.h"

typedef enum da_table_id {
  DA_TABLE_PROMISE,
  DA_TABLE_TASK,
  DA_TABLE_WAIT,
  DA_TABLE_DUE,
  DA_TABLE_OUT,
  DA_TABLE_SCHEDULE,
  DA_TABLE_QUEUE,
  DA_TABLE_QUEUE_ROW
} da_table_id;

typedef struct da_write {
  da_table_id table;
  bool del; /* else put */
  union {
    const da_promise *promise; /* never deleted here: retention is the store's */
    const da_task *task;
    da_wait wait;
    da_due due;
    da_message out;
    const da_schedule *schedule;
    const da_queue *queue;
    const da_queue_row *queue_row;
  } row;
} da_write;

typedef struct da_outcome {
  da_reply reply;
  da_write *writes; /* in the order of application */
  size_t write_count;
  size_t write_cap;
  da_message *messages; /* executes before unblocks, else in order of emission */
  size_t message_count;
  size_t message_cap;
  const da_promise **settled; /* promises this request settled, by settle_seq */
  size_t settled_count;
  size_t settled_cap;
  da_slice damage; /* when it fails over what a record says; else the view has the words */
} da_outcome;      /* {0} before da_engine_apply */

#endif
