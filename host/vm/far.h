/* far.h - what far.c offers to the other files of the room. See there.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_FAR_H
#define DA_VM_FAR_H

#include "execution.h"

typedef struct da_far_state da_far_state;

/* Is this a worker of a server elsewhere? */
static inline bool da_is_far(const da_worker *worker)
{
  return worker->options.far != NULL;
}

/* ---- what every write carries: far_record.c ------------------------------------------------------------- */

/* Did the execution itself withdraw the promise? Then its record decides nothing: the program does. */
bool da_far_withdrawn(const da_promise *promise);
/* Puts what a replay needs to know into the headers of what the op makes, and, before it, the order of deliveries that
 * no record tells so far. */
void da_far_dress(da_execution *execution, da_op *op, da_child *child);
/* The records of the claim's answer, with their calls and their order: for da_replay_load(). The promise of the newest
 * generation's mark is found among them; NULL: the first. */
typedef struct da_far_load {
  da_promise *records; /* of the op's arena */
  size_t count;
  const da_promise *mark;
} da_far_load;
void da_far_read(da_execution *execution, da_op *op, da_far_load *out);
/* The mark of the newest generation among the records of the claim's answer, or NULL; the execution is told which. */
const da_promise *da_far_mark(da_execution *execution, const da_reply *reply);
/* The hash of the code it ran from before; NULL: it has no records. */
const da_digest *da_far_code(const da_execution *execution);
/* It runs from code other than that of its records. */
bool da_far_other_code(const da_execution *execution);
/* Was the promise made by the execution as it runs now, not by an earlier holder of its task? */
bool da_far_made_now(const da_execution *execution, const da_promise *promise);
da_slice da_far_order_id(da_arena *arena, const da_execution *execution, uint64_t number); /* of a mark with notes */
void da_far_read_notes(da_far_state *state, const da_promise *mark, da_arena *arena);
/* The call that a stored promise was made by; kind NONE: it does not say. */
da_call da_far_call_of(const da_promise *promise, da_arena *arena);

/* ---- the order of deliveries: far_order.c --------------------------------------------------------------- */

/* Does an execution itself settle calls of that kind? */
bool da_far_settles(da_call_kind kind);
bool da_far_is_own(const da_child *child, const da_promise *promise);
/* Where a settled promise of the execution stands among all: its da_delivery.seq. ordinal: of its call; 0: the request
 * to cancel. */
#define DA_FAR_NO_ORDINAL UINT32_MAX
uint64_t da_far_seq(da_execution *execution, uint32_t ordinal, bool own, const da_promise *promise);
/* It was just delivered. child: NULL of a request to cancel. */
void da_far_delivered(da_execution *execution, const da_child *child, uint64_t seq);
/* Which one of the queue comes next: *at, its front at first. False: none for now. */
bool da_far_pick(da_execution *execution, size_t *at);
void da_far_sort_again(da_execution *execution); /* notes have become known */

typedef struct da_far_note {
  uint32_t ordinal; /* 0: the request to cancel */
  uint64_t own;     /* delivered before it, of what this execution settles itself */
} da_far_note;

struct da_far_state {
  uint64_t own_made;      /* completions of its own that were submitted */
  uint64_t own_delivered; /* the number of the last one delivered */
  uint64_t between;       /* places given to others behind that one */
  da_far_note *notes;     /* not written yet */
  size_t note_count, note_cap;
  uint32_t *passed; /* ordinals of others' deliveries behind the last own one, without a note so far */
  size_t passed_count, passed_cap;
  uint64_t marks;  /* written */
  uint64_t *known; /* by ordinal: the place that a mark tells, or 0 */
  size_t known_cap;
  uint64_t told; /* that marks told of so far, behind the same own one */
  uint64_t told_own;
  bool arms;   /* its server is a dahost: a timer needs no target to end */
  bool asking; /* what is not among the records may have been made all the same */
  bool has_code;
  da_digest code;             /* that its records were made by */
  size_t questions;           /* to the server: none of its code runs until they are answered */
  bool order_complete;        /* there are no marks that are not known */
  bool kept;                  /* its task stays held though it is dropped */
  struct da_far_sought *look; /* what its claim waits for; NULL: nothing */
};

void da_far_know(da_far_state *state, uint32_t ordinal, uint64_t own); /* told by a mark, in the order of marks */
void da_far_free(da_execution *execution);

/* ---- timers: far_timer.c -------------------------------------------------------------------------------- */

/* The promise that the op makes is to end by its deadline, also where that takes a target. */
void da_far_arm(da_op *op, da_request *request, const da_child *child);
/* Was it refused for that? Then it is made without (answered: as submitted); the op is not the caller's any more. */
bool da_far_disarm(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op));

/* ---- claiming, asking, leaving: far.c ------------------------------------------------------------------- */

/* An execute from the server, of an execution that is not known here. */
void da_far_execute(da_worker *worker, const da_message *message);
/* One has ended, or was suspended: there is room. */
void da_far_freed(da_worker *worker);
void da_far_listen(da_worker *worker, da_slice subject, da_slice id);
void da_far_unlisten(da_worker *worker, da_slice id);
/* The task was claimed cold: begins to ask, if the records may not be all. */
void da_far_claimed(da_execution *execution, const da_reply *reply);
/* A replay begins with the newest generation and a request to cancel. If the claim's answer may lack them they are
 * asked for: true, the claim is kept, and da_execution_load_claim() comes when they are known. */
bool da_far_look(da_execution *execution, da_op *claim);
void da_far_free_look(struct da_far_sought *look); /* may be NULL */
/* Asks for the next mark that is not known. */
void da_far_ask_order(da_execution *execution);
/* Before the first attempt of a step: true if the server is asked first, da_step_go() comes later, or never. */
bool da_far_ask(da_child *child);
/* What a create was answered: false if the execution ends here with it (lost, diverged, left). */
/* What suspended task `id` waited for has come, as is known here: sees to it that it is dispatched. */
void da_far_wake(da_worker *worker, da_slice id);
bool da_far_made(da_execution *execution, da_child *child, const da_reply *reply);
/* Behind the words by which the server refused an id, if it takes those of the other dialect: what to do about it, also
 * told in the log, once. Else "". */
const char *da_far_dialect_hint(da_worker *worker, da_slice refusal);
/* What the own group's calls are sent to. */
da_slice da_far_target(const da_execution *execution);
/* Gives the task back a while later, for a worker that can do more with it; longer each time for the same function. */
void da_far_leave(da_execution *execution);
/* Its parking would halt what another worker may be able to run: it is told, and left. */
bool da_far_leaves(const da_execution *execution);
/* A suspension was refused. True: because what it was to wait for lies in other lineages, which this server lets no
 * execution wait for; from now on none is suspended that does. */
bool da_far_stays(da_execution *execution, const da_op *op);
/* It has nothing to do, and such a wait: true, it keeps its task until the listener tells, or was given back. */
bool da_far_rests(da_execution *execution);
/* Of a worker that drains: true if nothing of it is to run any more; then it is released, or will be. */
bool da_far_stops(da_execution *execution);
/* An execution has gone, or an answer came: is the drain over? */
void da_far_drained(da_worker *worker);
void da_far_free_worker(da_worker *worker);

#endif
