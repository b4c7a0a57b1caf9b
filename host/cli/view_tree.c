/* view_tree.c - the live tree as lines of text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "view_tree.h"

#include <stdio.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "event.h"
#include "text.h"

enum { STATE_COLUMNS = 11 };

/* ---- a line of the tree -------------------------------------------------------------------------------- */

typedef struct line {
  da_buf *out;
  size_t left; /* columns */
  bool color;
} line;

typedef enum paint { NO_PAINT, DIM, RED, GREEN, YELLOW, CYAN } paint;

static const char *const paints[] = {"", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"};

static void put(line *l, paint color, da_slice text)
{
  bool painted = l->color && color != NO_PAINT;
  size_t width = cli_width(text);
  if (l->left == 0 || text.len == 0) return;
  if (painted) da_buf_addf(l->out, "%s", paints[color]);
  cli_fit(l->out, text, l->left);
  if (painted) da_buf_addf(l->out, "\x1b[0m");
  l->left -= width < l->left ? width : l->left;
}

static void put_text(line *l, paint color, const char *text)
{
  put(l, color, da_slice_of(text));
}

static void put_clock(line *l, int64_t at_ms)
{
  char text[40];
  cli_time_text(at_ms, text);
  text[19] = '\0'; /* without the zone */
  put_text(l, NO_PAINT, text + 11);
}

static void put_settled(line *l, const cli_node *node)
{
  paint color = node->state == DA_RESOLVED ? GREEN : RED;
  put_text(l, color, cli_state_name(node->state));
}

static void put_state(line *l, const cli_node *node)
{
  switch (node->activity) {
  case CLI_RUNNING:
    put_text(l, CYAN, "running");
    return;
  case CLI_SUSPENDED:
    put_text(l, YELLOW, "suspended");
    return;
  case CLI_STOPPED:
    put_text(l, RED, "parked");
    return;
  case CLI_COMPLETED:
    put_settled(l, node);
    return;
  case CLI_CALL:
    break;
  }
  bool waits = node->call == DA_CALL_PROMISE || node->call == DA_CALL_NONE;
  if (node->end_ns != 0)
    put_settled(l, node);
  else if (node->call == DA_CALL_SLEEP)
    put_text(l, YELLOW, "sleeping");
  else
    put_text(l, waits ? YELLOW : CYAN, waits ? "pending" : "running");
}

static void put_duration(line *l, const cli_node *node)
{
  uint64_t end = node->end_ns != 0 ? node->end_ns : da_clock_mono_ns();
  char text[32];
  if (node->recorded && node->end_ns != 0) return; /* it happened in an earlier life; no time is known here */
  cli_duration_text((int64_t)((end - node->begin_ns) / 1000000), text);
  put_text(l, DIM, " ");
  put_text(l, DIM, text);
}

static void put_note(line *l, const cli_node *node)
{
  if (node->end_ns != 0) return;
  if (node->waits.len > 0) {
    put_text(l, NO_PAINT, "  \xe2\x86\x92 ");
    put(l, NO_PAINT, node->waits);
  } else if (node->call == DA_CALL_SLEEP && node->activity == CLI_CALL && node->due_at > 0) {
    put_text(l, NO_PAINT, "  until ");
    put_clock(l, node->due_at);
  } else if (node->progress.len > 0) {
    put_text(l, NO_PAINT, "  ");
    put(l, CYAN, node->progress);
  } else if (node->attempt > 0) {
    char text[64];
    char wait[32];
    int64_t left = node->retry_at - da_clock_now_ms();
    cli_duration_text(left, wait);
    if (left > 0)
      (void)snprintf(text, sizeof text, "  attempt %d failed, again in %s: ", node->attempt, wait);
    else
      (void)snprintf(text, sizeof text, "  attempt %d; the last one failed: ", node->attempt + 1);
    put_text(l, YELLOW, text);
    put(l, NO_PAINT, node->note);
  } else if (node->activity == CLI_STOPPED) {
    put_text(l, RED, "  ");
    put(l, NO_PAINT, node->note);
  }
}

static size_t depth_of(const cli_node *node)
{
  size_t depth = 0;
  for (const cli_node *at = node->parent; at->parent != NULL; at = at->parent) depth++;
  return depth;
}

static void put_node(line *l, const cli_node *node)
{
  size_t depth = depth_of(node);
  for (size_t i = 0; i < depth && l->left > 20; i++) put_text(l, NO_PAINT, "  ");
  size_t kept = l->left > 2 * STATE_COLUMNS ? STATE_COLUMNS : 0; /* the state is seen, however long the id */
  l->left -= kept;
  put(l, NO_PAINT, depth > 0 ? cli_short_id(node->id, node->parent->id) : node->id);
  l->left += kept;
  put_text(l, NO_PAINT, "  ");
  if (depth == 0 && node->func.len > 0 && l->left > cli_width(node->func) + STATE_COLUMNS) {
    put(l, DIM, node->func);
    put_text(l, NO_PAINT, "  ");
  }
  put_state(l, node);
  put_duration(l, node);
  put_note(l, node);
}

/* ---- the tree ------------------------------------------------------------------------------------------ */

/* How much is left out so that the tree fits. */
typedef enum level { SHOW_ALL, HIDE_SETTLED_LEAVES, HIDE_SETTLED } level;

static bool shown(const cli_tree_view *view, const cli_node *node, level hide)
{
  if (view->root.len > 0 && !da_slice_eq(da_id_root(node->id), view->root)) return false;
  if (node->parent->parent == NULL) return true;
  if (hide >= HIDE_SETTLED_LEAVES && node->end_ns != 0 && node->first == NULL) return false;
  return !(hide == HIDE_SETTLED && node->end_ns != 0);
}

static size_t hidden_below(const cli_tree_view *view, const cli_node *node, level hide)
{
  size_t count = node->dropped;
  for (const cli_node *child = node->first; child != NULL; child = child->next)
    if (!shown(view, child, hide)) count++;
  return count;
}

/* The lines that the tree would take; at most `most`. */
static size_t count_lines(const cli_tree_view *view, level hide, size_t most)
{
  size_t count = 0;
  for (const cli_node *node = NULL; count <= most && (node = cli_model_next(view->model, node)) != NULL;) {
    if (!shown(view, node, hide)) continue;
    count += hidden_below(view, node, hide) > 0 ? 2 : 1;
  }
  return count;
}

/* Lines that were drawn. */
typedef struct drawing {
  const cli_tree_view *view;
  da_buf *out;
  size_t lines;
} drawing;

static line new_line(const drawing *d)
{
  return (line){.out = d->out, .left = d->view->columns, .color = d->view->color};
}

static void end_line(drawing *d, const line *l)
{
  da_buf_add_byte(d->out, '\n');
  d->view->widths[d->lines++] = d->view->columns - l->left;
}

static void draw_node(drawing *d, const cli_node *node, level hide, size_t rows)
{
  line l = new_line(d);
  put_node(&l, node);
  end_line(d, &l);
  size_t hidden = hidden_below(d->view, node, hide);
  if (hidden == 0 || d->lines == rows) return;
  char text[64];
  l = new_line(d);
  for (size_t i = 0, depth = depth_of(node) + 1; i < depth && l.left > 20; i++) put_text(&l, NO_PAINT, "  ");
  (void)snprintf(text, sizeof text, "(%zu more, settled)", hidden);
  put_text(&l, DIM, text);
  end_line(d, &l);
}

size_t cli_tree_draw(const cli_tree_view *view, da_buf *out)
{
  drawing d = {.view = view, .out = out};
  level hide = SHOW_ALL;
  while (hide < HIDE_SETTLED && count_lines(view, hide, view->rows) > view->rows) hide++;
  bool fits = count_lines(view, hide, view->rows) <= view->rows;
  size_t limit = fits ? view->rows : view->rows - 1; /* the last one says how many are missing */
  size_t left_out = 0;
  for (const cli_node *node = NULL; (node = cli_model_next(view->model, node)) != NULL;) {
    if (!shown(view, node, hide)) continue;
    if (d.lines < limit)
      draw_node(&d, node, hide, limit);
    else
      left_out++;
  }
  if (left_out == 0) return d.lines;
  char text[64];
  line l = new_line(&d);
  (void)snprintf(text, sizeof text, "(%zu more)", left_out);
  put_text(&l, DIM, text);
  end_line(&d, &l);
  return d.lines;
}
