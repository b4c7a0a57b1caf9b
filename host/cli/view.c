/* view.c - the progress of executions on stderr.
 * SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

#include "../base/clock.h"
#include "event.h"
#include "text.h"
#include "view_tree.h"

enum { FRAME_MS = 100, TICK_MS = 1000, PIPE_READ = 16 * 1024 };

typedef enum view_kind { VIEW_QUIET, VIEW_PLAIN, VIEW_TERMINAL } view_kind;

struct cli_view {
  view_kind kind;
  bool color;
  da_buf root; /* empty: all */
  const cli_model *model;
  da_buf above; /* lines not yet written above the tree */
  uint64_t drawn_ns;
  size_t widths[CLI_TREE_LINES_MAX]; /* of the lines on the screen */
  size_t lines;
  bool stale; /* the screen does not show the latest */
  uv_loop_t *loop;
  uv_timer_t frame;
  uv_timer_t tick;
  uv_signal_t winch;
  uv_poll_t poll;
  int output; /* what steps write to descriptor 1 arrives here; -1: it goes to stderr by itself */
  da_buf partial;
  da_buf told; /* what is said once */
};

static void write_all(da_slice text)
{
  while (text.len > 0) {
    ssize_t done = write(STDERR_FILENO, text.ptr, text.len);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return;
    text = da_slice_make(text.ptr + done, text.len - (size_t)done);
  }
}

/* ---- the screen ---------------------------------------------------------------------------------------- */

static void screen_size(size_t *columns, size_t *rows)
{
  struct winsize size = {0};
  *columns = 80;
  *rows = 24;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return;
  if (size.ws_col > 0) *columns = size.ws_col;
  if (size.ws_row > 0) *rows = size.ws_row;
}

/* Rows the drawn lines take now: a narrower terminal has wrapped them. */
static size_t rows_taken(const cli_view *view, size_t columns)
{
  size_t rows = 0;
  for (size_t i = 0; i < view->lines; i++)
    rows += view->widths[i] > columns ? (view->widths[i] + columns - 1) / columns : 1;
  return rows;
}

static void draw(cli_view *view)
{
  size_t columns;
  size_t rows;
  da_buf out = {0};
  screen_size(&columns, &rows);
  size_t taken = rows_taken(view, columns);
  if (taken >= rows) taken = rows - 1;
  if (taken > 0) da_buf_addf(&out, "\r\x1b[%zuA", taken);
  da_buf_addf(&out, "\r\x1b[J");
  da_buf_add_slice(&out, da_buf_slice(&view->above));
  da_buf_clear(&view->above);
  size_t most = rows > 1 ? rows - 1 : 1; /* the cursor needs a row */
  if (most > CLI_TREE_LINES_MAX) most = CLI_TREE_LINES_MAX;
  cli_tree_view tree = {.model = view->model,
                        .root = da_buf_slice(&view->root),
                        .color = view->color,
                        .columns = columns > 1 ? columns - 1 : 1, /* no line may reach the margin: it would wrap */
                        .rows = most,
                        .widths = view->widths};
  view->lines = view->model != NULL ? cli_tree_draw(&tree, &out) : 0;
  write_all(da_buf_slice(&out));
  da_buf_free(&out);
  view->drawn_ns = da_clock_mono_ns();
  view->stale = false;
}

static void on_frame(uv_timer_t *timer)
{
  cli_view *view = timer->data;
  if (view->stale) draw(view);
}

/* Draws now, or when a frame's time has passed since the last time. */
static void touch(cli_view *view)
{
  uint64_t since_ms = (da_clock_mono_ns() - view->drawn_ns) / 1000000;
  view->stale = true;
  if (since_ms >= FRAME_MS)
    draw(view);
  else if (view->loop != NULL && !uv_is_active((uv_handle_t *)&view->frame))
    (void)uv_timer_start(&view->frame, on_frame, FRAME_MS - since_ms, 0);
}

static void add_above(cli_view *view, da_slice text)
{
  if (view->kind == VIEW_TERMINAL) {
    cli_clean_output(&view->above, text);
    da_buf_add_byte(&view->above, '\n');
    touch(view);
    return;
  }
  da_buf out = {0};
  da_buf_add_slice(&out, text);
  da_buf_add_byte(&out, '\n');
  write_all(da_buf_slice(&out));
  da_buf_free(&out);
}

void cli_view_say(cli_view *view, bool matters, const char *format, ...)
{
  if (view->kind == VIEW_QUIET && !matters) return;
  da_buf words = {0};
  da_buf text = {0};
  va_list args;
  va_start(args, format);
  da_buf_addv(&words, format, args);
  va_end(args);
  cli_clean(&text, da_buf_slice(&words));
  add_above(view, da_buf_slice(&text));
  da_buf_free(&words);
  da_buf_free(&text);
}

void cli_view_print(cli_view *view, da_slice text)
{
  add_above(view, text);
}

void cli_view_tick(cli_view *view)
{
  if (view->kind == VIEW_TERMINAL && view->model != NULL) touch(view);
}

/* ---- plain lines --------------------------------------------------------------------------------------- */

static void duration_of(const cli_node *node, char out[40])
{
  *out = '\0';
  if (node == NULL || node->end_ns == 0 || node->recorded) return;
  char text[32];
  cli_duration_text((int64_t)((node->end_ns - node->begin_ns) / 1000000), text);
  (void)snprintf(out, 40, " %s", text);
}

static void say_settled(cli_view *view, const da_event *event)
{
  char duration[40];
  duration_of(cli_model_find(view->model, event->child), duration);
  cli_view_say(view, false, "%.*s %s %.*s %s%s", DA_FMT(event->execution), da_call_kind_name(event->call),
               DA_FMT(cli_short_id(event->child, event->execution)), cli_state_name(event->state), duration);
}

static void say_completed(cli_view *view, const da_event *event)
{
  char duration[40];
  const cli_node *node = cli_model_find(view->model, event->execution);
  if (node != NULL && node->parent->parent != NULL) return; /* its parent tells */
  duration_of(node, duration);
  cli_view_say(view, false, "%.*s %s%s", DA_FMT(event->execution), cli_state_name(event->state), duration);
}

static void say_attempt(cli_view *view, const da_event *event)
{
  char wait[32];
  const cli_node *node = cli_model_find(view->model, event->child);
  cli_duration_text(event->at_ms - da_clock_now_ms(), wait);
  cli_view_say(view, false, "%.*s %s %.*s attempt %d failed, again in %s: %.*s", DA_FMT(event->execution),
               da_call_kind_name(event->call), DA_FMT(cli_short_id(event->child, event->execution)), event->attempt,
               wait, DA_FMT(node != NULL ? node->note : event->text));
}

static void say_waits(cli_view *view, const da_event *event)
{
  if (event->call == DA_CALL_SLEEP && event->at_ms > 0) {
    char until[40];
    cli_time_text(event->at_ms, until);
    cli_view_say(view, false, "%.*s sleeps until %s", DA_FMT(event->execution), until);
  } else {
    cli_view_say(view, false, "%.*s waits for %.*s", DA_FMT(event->execution), DA_FMT(event->child));
  }
}

static void say_restarted(cli_view *view, const da_event *event)
{
  cli_view_say(view, false, "%.*s %s: %zu save point%s replayed", DA_FMT(event->execution),
               event->image ? "restored from its image" : "restarted", event->count, event->count == 1 ? "" : "s");
}

/* On a terminal the tree tells the rest; that what it begins with is there again is said once. */
static void say_recovered(cli_view *view, const da_event *event)
{
  const cli_node *node = cli_model_find(view->model, event->execution);
  if (event->kind != DA_EVENT_RESTARTED || event->count == 0 || node == NULL || node->loads != 1) return;
  if (node->parent->parent == NULL) say_restarted(view, event);
}

static void say_event(cli_view *view, const da_event *event)
{
  switch (event->kind) {
  case DA_EVENT_STARTED:
    cli_view_say(view, false, "%.*s started", DA_FMT(event->execution));
    break;
  case DA_EVENT_RESTARTED:
    say_restarted(view, event);
    break;
  case DA_EVENT_AGAIN:
    cli_view_say(view, false, "%.*s began again: generation %zu", DA_FMT(event->execution), event->count);
    break;
  case DA_EVENT_ATTEMPT:
    say_attempt(view, event);
    break;
  case DA_EVENT_SETTLED:
    say_settled(view, event);
    break;
  case DA_EVENT_SUSPENDED:
    say_waits(view, event);
    break;
  case DA_EVENT_PARKED:
    cli_view_say(view, true, "%.*s parked: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
    break;
  case DA_EVENT_COMPLETED:
    say_completed(view, event);
    break;
  case DA_EVENT_RESUMED:
  case DA_EVENT_CALLED:
  case DA_EVENT_REPLAYED:
  case DA_EVENT_UNSERVED:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_OUTPUT:
    break;
  }
}

void cli_view_event(cli_view *view, const da_event *event, const cli_model *model)
{
  view->model = model;
  if (event->kind == DA_EVENT_OUTPUT)
    add_above(view, event->text);
  else if (event->kind == DA_EVENT_UNSERVED && cli_first_time(&view->told, event->func))
    cli_view_say(view, true, "%.*s: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
  else if (view->kind != VIEW_TERMINAL)
    say_event(view, event);
  else {
    say_recovered(view, event);
    touch(view);
  }
}

/* ---- what steps write to descriptor 1 ------------------------------------------------------------------ */

static void tell_output(cli_view *view, bool all)
{
  size_t begin = 0;
  for (size_t i = 0; i < view->partial.len; i++) {
    if (view->partial.ptr[i] != '\n') continue;
    add_above(view, da_slice_make(view->partial.ptr + begin, i - begin));
    begin = i + 1;
  }
  if (all && begin < view->partial.len) {
    add_above(view, da_slice_make(view->partial.ptr + begin, view->partial.len - begin));
    begin = view->partial.len;
  }
  view->partial.len -= begin;
  if (begin > 0 && view->partial.len > 0) memmove(view->partial.ptr, view->partial.ptr + begin, view->partial.len);
}

static void read_output(cli_view *view)
{
  for (;;) {
    da_buf_reserve(&view->partial, PIPE_READ);
    ssize_t got = read(view->output, view->partial.ptr + view->partial.len, PIPE_READ);
    if (got <= 0) break;
    view->partial.len += (size_t)got;
  }
  tell_output(view, false);
}

static void on_output(uv_poll_t *poll, int status, int events)
{
  (void)status;
  (void)events;
  read_output(poll->data);
}

static void take_stdout(cli_view *view)
{
  int results = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  int ends[2];
  if (results < 0) return; /* there is no stdout: nothing to protect */
  cli_print_to(results);
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  if (view->kind != VIEW_TERMINAL || pipe2(ends, O_CLOEXEC) != 0) {
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    return;
  }
  (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
  (void)dup2(ends[1], STDOUT_FILENO);
  (void)close(ends[1]);
  view->output = ends[0];
}

/* ---- life ---------------------------------------------------------------------------------------------- */

cli_view *cli_view_new(const cli_command *command)
{
  cli_view *view = da_xcalloc(1, sizeof *view);
  const char *term = getenv("TERM");
  const char *no_color = getenv("NO_COLOR");
  bool terminal = isatty(STDERR_FILENO) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
  view->kind = cli_has(command, CLI_QUIET) ? VIEW_QUIET : terminal ? VIEW_TERMINAL : VIEW_PLAIN;
  view->color = no_color == NULL || *no_color == '\0';
  view->output = -1;
  take_stdout(view);
  return view;
}

void cli_view_root(cli_view *view, da_slice root)
{
  da_buf_clear(&view->root);
  da_buf_add_slice(&view->root, root);
}

static void on_tick(uv_timer_t *timer)
{
  cli_view_tick(timer->data);
}

static void on_winch(uv_signal_t *signal, int number)
{
  (void)number;
  cli_view *view = signal->data;
  if (view->model != NULL) draw(view);
}

static void start_handles(cli_view *view, uv_loop_t *loop)
{
  (void)uv_timer_init(loop, &view->frame);
  (void)uv_timer_init(loop, &view->tick);
  (void)uv_signal_init(loop, &view->winch);
  view->frame.data = view->tick.data = view->winch.data = view;
  (void)uv_timer_start(&view->tick, on_tick, TICK_MS, TICK_MS);
  (void)uv_signal_start(&view->winch, on_winch, SIGWINCH);
  if (view->output < 0 || uv_poll_init(loop, &view->poll, view->output) != 0) return;
  view->poll.data = view;
  (void)uv_poll_start(&view->poll, UV_READABLE, on_output);
}

void cli_view_attach(cli_view *view, struct uv_loop_s *loop)
{
  if (view->kind != VIEW_TERMINAL || view->loop == loop) return;
  if (loop != NULL) {
    start_handles(view, loop);
  } else {
    uv_close((uv_handle_t *)&view->frame, NULL);
    uv_close((uv_handle_t *)&view->tick, NULL);
    uv_close((uv_handle_t *)&view->winch, NULL);
    if (view->poll.data != NULL) uv_close((uv_handle_t *)&view->poll, NULL);
    view->poll.data = NULL;
  }
  view->loop = loop;
}

void cli_view_over(cli_view *view)
{
  (void)fflush(stdout);
  if (view->output >= 0) {
    read_output(view);
    tell_output(view, true);
  }
  if (view->kind == VIEW_TERMINAL && (view->model != NULL || view->above.len > 0)) draw(view);
  view->lines = 0; /* what is drawn stays */
  view->model = NULL;
}

void cli_view_delete(cli_view *view)
{
  if (view->output >= 0) (void)close(view->output);
  da_buf_free(&view->root);
  da_buf_free(&view->above);
  da_buf_free(&view->partial);
  da_buf_free(&view->told);
  free(view);
}
