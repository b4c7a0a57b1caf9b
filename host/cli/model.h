/* model.h - what is known of the executions under way from the events they told: a tree of calls.
 *
 * Here:     the nodes and how events change them. A node is an execution, a branch, or a call; its parent is the
 *           nearest known node whose id it extends, else the execution that made the call.
 * Bounds:   of settled calls without calls of their own a parent keeps the last CLI_MODEL_SETTLED; older ones are
 *           counted. Pending ones are kept all: they cost their process more elsewhere.
 * Threads:  one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_MODEL_H
#define DA_CLI_MODEL_H

#include "../base/table.h"
#include "../vm/worker.h"

enum { CLI_MODEL_SETTLED = 8 };

typedef enum cli_activity {
  CLI_CALL,      /* no execution of its own: see state */
  CLI_RUNNING,   /* an execution, as are the next four */
  CLI_SUSPENDED, /* awaits `waits` */
  CLI_STOPPED,   /* parked; note says why */
  CLI_COMPLETED
} cli_activity;

typedef struct cli_node cli_node;
struct cli_node {
  da_slice id; /* owned, as are func, waits, note and progress */
  da_slice func;
  da_slice waits;
  da_slice note;     /* of the last failed attempt, or why it is parked */
  da_slice progress; /* what a step said of it in its attempt under way */
  da_call_kind call;
  cli_activity activity;
  da_promise_state state;
  bool retired;     /* a settled leaf, among those counted by its parent's `settled` */
  bool recorded;    /* met on replay: it was made by an earlier run */
  int loads;        /* how often the execution was started or restarted here */
  int attempt;      /* failed ones */
  int64_t retry_at; /* ms; when the next attempt begins, 0: no repeat is due */
  int64_t due_at;   /* sleep: when it ends */
  uint64_t begin_ns;
  uint64_t end_ns; /* 0: not settled */
  size_t dropped;  /* settled calls below that are no longer kept */
  size_t settled;  /* settled calls without calls of their own that are kept */
  cli_node *parent, *first, *last, *prev, *next;
  cli_node *last_settled; /* the children begin with those counted by `settled`, oldest first */
};

typedef struct cli_model {
  cli_node top; /* parent of roots; has no id */
  da_table nodes;
} cli_model; /* {0} is an empty model */

/* Changes the model; returns the node the event is about (the child's, if it names one), or NULL. The node may be gone
 * after the next call. */
cli_node *cli_model_tell(cli_model *model, const da_event *event);
cli_node *cli_model_find(const cli_model *model, da_slice id);
/* The next node in preorder below `top` (NULL: the model's first), or NULL at the end. */
cli_node *cli_model_next(const cli_model *model, const cli_node *node);
/* Drops the node of `id` and all below it. */
void cli_model_forget(cli_model *model, da_slice id);
void cli_model_free(cli_model *model);

#endif
