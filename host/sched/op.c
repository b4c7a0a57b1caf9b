/* op.c - one unit of work: its memory, its lists, the thread that waits for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "pump.h"

da_op *da_op_new(void)
{
  return da_xcalloc(1, sizeof(da_op));
}

void da_op_delete(da_op *op)
{
  if (op == NULL || atomic_fetch_sub(&op->shared, 1) > 0) return;
  da_arena_free(&op->arena);
  free(op);
}

da_request *da_op_request(da_op *op, da_req_kind kind)
{
  size_t count = op->request_count;
  if ((count & (count - 1)) == 0) { /* full at 0, 1, 2, 4...: no capacity to keep */
    da_request *more = da_arena_alloc(&op->arena, (count != 0 ? 2 * count : 1) * sizeof *more);
    if (count != 0) memcpy(more, op->requests, count * sizeof *more);
    op->requests = more;
  }
  da_request *request = &op->requests[op->request_count++];
  *request = (da_request){.kind = kind};
  return request;
}

static size_t map_bytes(da_map map)
{
  size_t bytes = 0;
  for (size_t i = 0; i < map.count; i++) bytes += map.items[i].key.len + map.items[i].value.len;
  return bytes;
}

/* The arena's size would do for a request as well, but its first block alone is 2 KiB: a batch would end at half of
 * DA_BATCH_OPS_MAX. */
size_t da_op_cost(const da_op *op)
{
  if (op->call != NULL) return da_arena_size(&op->arena);
  size_t bytes = 0;
  for (size_t i = 0; i < op->request_count; i++) {
    const da_request *r = &op->requests[i];
    bytes += r->id.len + r->promise_id.len + r->awaiter.len + r->address.len + r->pid.len + map_bytes(r->tags);
    bytes += r->param.data.len + map_bytes(r->param.headers) + r->value.data.len + map_bytes(r->value.headers);
    for (size_t j = 0; j < r->await_count; j++) bytes += r->awaits[j].awaited.len + r->awaits[j].awaiter.len;
    for (size_t j = 0; j < r->held_count; j++) bytes += r->held[j].id.len;
  }
  return bytes;
}

void da_op_refuse(da_op *op, da_status status, const char *words)
{
  op->outcomes = NULL;
  op->status = status;
  (void)snprintf(op->err.text, sizeof op->err.text, "%s", words);
}

void da_op_list_add(da_op_list *list, da_op *op)
{
  op->next = NULL;
  if (list->first == NULL)
    list->first = op;
  else
    list->last->next = op;
  list->last = op;
}

da_op *da_op_list_pop(da_op_list *list)
{
  da_op *op = list->first;
  if (op != NULL) list->first = op->next;
  return op;
}

void da_op_list_move(da_op_list *to, da_op_list *from)
{
  if (from->first == NULL) return;
  if (to->first == NULL)
    to->first = from->first;
  else
    to->last->next = from->first;
  to->last = from->last;
  *from = (da_op_list){0};
}

/* After the unlock the waiter and its op may be gone for this thread: the loop's share of the op is another matter. */
void da_waiter_signal(da_op *op)
{
  da_waiter *waiter = op->waiter;
  if (waiter == NULL) return;
  op->waiter = NULL;
  (void)pthread_mutex_lock(&waiter->lock);
  waiter->done = true;
  (void)pthread_cond_signal(&waiter->ready);
  (void)pthread_mutex_unlock(&waiter->lock);
}
