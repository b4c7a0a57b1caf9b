/* model.c - a tree of calls out of events.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "value.h"

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void keep(da_slice *where, da_slice text)
{
  if (da_slice_eq(*where, text)) return;
  char *copy = text.len > 0 ? da_xstrndup(text) : NULL;
  free((void *)(uintptr_t)where->ptr);
  *where = da_slice_make(copy, text.len);
}

/* The first line of an error's words; `text` is its JSON, or words already. */
static void keep_error(da_slice *where, da_slice text)
{
  da_buf words = {0};
  da_buf code = {0};
  bool json = text.len > 0 && text.ptr[0] == '{';
  if (json) cli_value_error_text(text, &words, &code);
  da_slice line = json ? da_buf_slice(&words) : text;
  ptrdiff_t end = da_slice_find(line, '\n');
  keep(where, end >= 0 ? da_slice_make(line.ptr, (size_t)end) : line);
  da_buf_free(&words);
  da_buf_free(&code);
}

static void free_node(cli_node *node)
{
  da_slice *const texts[] = {&node->id, &node->func, &node->waits, &node->note, &node->progress};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) keep(texts[i], DA_NONE);
  free(node);
}

static void link_node(cli_node *node, cli_node *parent)
{
  node->parent = parent;
  node->prev = parent->last;
  if (parent->last != NULL)
    parent->last->next = node;
  else
    parent->first = node;
  parent->last = node;
}

static void unlink_node(cli_node *node)
{
  cli_node *parent = node->parent;
  *(node->prev != NULL ? &node->prev->next : &parent->first) = node->next;
  *(node->next != NULL ? &node->next->prev : &parent->last) = node->prev;
}

/* The nearest node whose id `id` extends, or NULL. */
static cli_node *ancestor(const cli_model *model, da_slice id)
{
  for (size_t len = id.len; len-- > 0;) {
    if (id.ptr[len] != '.' && id.ptr[len] != ':') continue;
    cli_node *node = da_table_get(&model->nodes, da_slice_make(id.ptr, len));
    if (node != NULL) return node;
  }
  return NULL;
}

static cli_node *find_or_make(cli_model *model, da_slice id, da_slice maker)
{
  cli_node *node = da_table_get(&model->nodes, id);
  if (node != NULL) return node;
  node = da_xcalloc(1, sizeof *node);
  keep(&node->id, id);
  node->begin_ns = da_clock_mono_ns();
  cli_node *parent = ancestor(model, id);
  if (parent == NULL) parent = da_table_get(&model->nodes, maker);
  while (parent != NULL && parent->retired) parent = parent->parent; /* a retired node stays a leaf */
  link_node(node, parent != NULL ? parent : &model->top);
  (void)da_table_put(&model->nodes, node->id, node);
  return node;
}

static void drop_oldest(cli_model *model, cli_node *parent)
{
  cli_node *oldest = parent->first;
  if (--parent->settled == 0) parent->last_settled = NULL;
  unlink_node(oldest);
  (void)da_table_remove(&model->nodes, oldest->id);
  free_node(oldest);
}

/* A leaf that has settled moves to the front, behind those that settled before it; the oldest one goes if there are too
 * many. So neither step looks at the pending ones, of which there may be thousands. */
static void retire(cli_model *model, cli_node *node)
{
  cli_node *parent = node->parent;
  unlink_node(node);
  cli_node *before = parent->last_settled;
  node->prev = before;
  node->next = before != NULL ? before->next : parent->first;
  *(before != NULL ? &before->next : &parent->first) = node;
  *(node->next != NULL ? &node->next->prev : &parent->last) = node;
  parent->last_settled = node;
  node->retired = true;
  if (++parent->settled <= CLI_MODEL_SETTLED) return;
  drop_oldest(model, parent);
  parent->dropped++;
}

/* A replay tells every recorded call again. */
static void forget_settled(cli_model *model, cli_node *execution)
{
  const cli_node *end = execution; /* the first node behind the subtree */
  while (end != &model->top && end->next == NULL) end = end->parent;
  end = end != &model->top ? end->next : NULL;
  for (cli_node *node = execution; node != end; node = cli_model_next(model, node)) {
    while (node->settled > 0) drop_oldest(model, node);
    node->dropped = 0;
  }
}

static void settle(cli_model *model, cli_node *node, da_promise_state state)
{
  if (node->end_ns != 0) return;
  node->state = state;
  node->end_ns = da_clock_mono_ns();
  node->retry_at = 0;
  keep(&node->waits, DA_NONE);
  keep(&node->progress, DA_NONE);
  if (node->activity != CLI_CALL) node->activity = CLI_COMPLETED;
  if (node->first == NULL && node->parent != &model->top) retire(model, node);
}

/* ---- events -------------------------------------------------------------------------------------------- */

static cli_node *tell_execution(cli_model *model, cli_node *node, const da_event *event)
{
  switch (event->kind) {
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_AGAIN:
    if (node->retired) break;
    forget_settled(model, node);
    node->loads++;
    /* fall through */
  case DA_EVENT_RESUMED:
    if (node->end_ns != 0) break;
    if (event->func.len > 0) keep(&node->func, event->func);
    if (node->call == DA_CALL_NONE) node->call = DA_CALL_WORKFLOW;
    node->activity = CLI_RUNNING;
    keep(&node->waits, DA_NONE);
    break;
  case DA_EVENT_SUSPENDED:
    node->activity = CLI_SUSPENDED;
    keep(&node->waits, event->child);
    break;
  case DA_EVENT_PARKED:
    node->activity = CLI_STOPPED;
    keep(&node->note, event->text);
    break;
  case DA_EVENT_COMPLETED:
    if (node->activity == CLI_CALL) node->activity = CLI_RUNNING;
    settle(model, node, event->state);
    break;
  case DA_EVENT_CALLED:
  case DA_EVENT_REPLAYED:
  case DA_EVENT_ATTEMPT:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_SETTLED:
  case DA_EVENT_UNSERVED:
  case DA_EVENT_OUTPUT:
    break;
  }
  return node;
}

static void tell_call(cli_model *model, cli_node *node, const da_event *event)
{
  if (event->call != DA_CALL_NONE) node->call = event->call;
  if (event->func.len > 0) keep(&node->func, event->func);
  if (event->call == DA_CALL_SLEEP && event->at_ms > 0) node->due_at = event->at_ms;
  switch (event->kind) {
  case DA_EVENT_CALLED:
    break;
  case DA_EVENT_REPLAYED:
    node->recorded = true;
    if (event->state != DA_PENDING) settle(model, node, event->state);
    break;
  case DA_EVENT_ATTEMPT:
    node->attempt = event->attempt;
    node->retry_at = event->at_ms;
    keep_error(&node->note, event->text);
    keep(&node->progress, DA_NONE);
    break;
  case DA_EVENT_PROGRESS:
    if (node->end_ns == 0) keep(&node->progress, event->text);
    break;
  case DA_EVENT_SETTLED:
    settle(model, node, event->state);
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_AGAIN:
  case DA_EVENT_RESUMED:
  case DA_EVENT_SUSPENDED:
  case DA_EVENT_PARKED:
  case DA_EVENT_COMPLETED:
  case DA_EVENT_UNSERVED:
  case DA_EVENT_OUTPUT:
    break;
  }
}

cli_node *cli_model_tell(cli_model *model, const da_event *event)
{
  if (event->execution.len == 0 || event->kind == DA_EVENT_OUTPUT || event->kind == DA_EVENT_UNSERVED) return NULL;
  cli_node *execution = find_or_make(model, event->execution, DA_NONE);
  if (execution->activity == CLI_CALL && event->kind != DA_EVENT_COMPLETED) execution->activity = CLI_RUNNING;
  if (event->child.len == 0 || event->kind == DA_EVENT_SUSPENDED) return tell_execution(model, execution, event);
  cli_node *node = da_table_get(&model->nodes, event->child);
  if (node == NULL) {
    /* A settlement that comes late, of a node already dropped, makes no new one. */
    if (event->kind == DA_EVENT_SETTLED && event->state == DA_PENDING) return NULL;
    if (event->kind == DA_EVENT_PROGRESS) return NULL;
    node = find_or_make(model, event->child, event->execution);
  }
  tell_call(model, node, event);
  return da_table_get(&model->nodes, event->child);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

cli_node *cli_model_find(const cli_model *model, da_slice id)
{
  return da_table_get(&model->nodes, id);
}

cli_node *cli_model_next(const cli_model *model, const cli_node *node)
{
  if (node == NULL) return model->top.first;
  if (node->first != NULL) return node->first;
  while (node != &model->top && node->next == NULL) node = node->parent;
  return node != &model->top ? node->next : NULL;
}

void cli_model_forget(cli_model *model, da_slice id)
{
  cli_node *top = da_table_get(&model->nodes, id);
  for (cli_node *node = top; node != NULL;) { /* leaves first */
    if (node->first != NULL) {
      node = node->first;
      continue;
    }
    cli_node *next = node != top ? node->parent : NULL;
    if (node->retired) node->parent->settled--;
    if (node->parent->last_settled == node) node->parent->last_settled = node->prev;
    unlink_node(node);
    (void)da_table_remove(&model->nodes, node->id);
    free_node(node);
    node = next;
  }
}

void cli_model_free(cli_model *model)
{
  size_t at = 0;
  void *node;
  while (da_table_next(&model->nodes, &at, &node)) free_node(node);
  da_table_free(&model->nodes);
  *model = (cli_model){0};
}
