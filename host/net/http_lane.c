/* http_lane.c - see http_lane.h.
 *
 * Calls stand in one list in the order in which they came: first those that were written and wait for their answers,
 * then those that were not. A prepare handle writes what has come in a turn of the loop, right before the loop waits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "http_lane.h"

#include <stdlib.h>
#include <uv.h>

#include "http_dial.h"
#include "http_parse.h"

enum {
  IN_FLIGHT_MAX = 128,
  ANSWER_MAX = 64 << 20,
  CONNECT_MS = 10000,
  REQUEST_MS = 30000,
  HEAD_MAX = 64 * 1024,
  FIELDS_MAX = 200
};

typedef struct lane_call lane_call;
struct lane_call {
  lane_call *next;
  da_buf bytes; /* head and body; empty once written */
  void (*done)(void *user, const da_http_lane_end *end);
  void *user;
};

struct da_http_lane {
  da_http_lane_options options;
  da_http_url url;
  lane_call *first;
  lane_call **end;
  lane_call *unwritten; /* the first of those */
  size_t count, in_flight;
  da_http_dial *dial;
  bool ready;
  bool parsing; /* the parser is made */
  da_http_parser parser;
  uv_prepare_t prepare;
  uv_timer_t timer;
  uint64_t oldest_since; /* ms of the loop: the first call waits for its answer alone */
  int handles;           /* open, and dials that are closing */
  bool closing;
  void (*closed)(void *user);
  void *closed_user;
};

static void let_go(da_http_lane *lane)
{
  if (--lane->handles > 0) return;
  void (*closed)(void *user) = lane->closed;
  void *user = lane->closed_user;
  if (lane->parsing) da_http_parser_destroy(&lane->parser);
  da_http_url_free(&lane->url);
  free(lane);
  if (closed != NULL) closed(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
  let_go(handle->data);
}

static void on_dial_closed(void *user)
{
  let_go(user);
}

static void drop_dial(da_http_lane *lane)
{
  if (lane->dial != NULL) da_http_dial_close(lane->dial, on_dial_closed, lane);
  lane->dial = NULL;
  lane->ready = false;
}

/* Tells every call that it has no answer. What they ask for then is of the next connection. */
static void break_lane(da_http_lane *lane, const da_err *err)
{
  lane_call *calls = lane->first;
  size_t written = lane->in_flight;
  drop_dial(lane);
  lane->first = lane->unwritten = NULL;
  lane->end = &lane->first;
  lane->count = lane->in_flight = 0;
  (void)uv_timer_stop(&lane->timer);
  da_err words = *err;
  lane->handles++;
  while (calls != NULL) {
    lane_call *call = calls;
    calls = call->next;
    da_http_lane_end end = {.maybe_done = written > 0, .err = &words};
    if (written > 0) written--;
    if (call->done != NULL) call->done(call->user, &end);
    da_buf_free(&call->bytes);
    free(call);
  }
  let_go(lane);
}

/* ---- out ----------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
  da_http_lane *lane = timer->data;
  uint64_t waited = uv_now(lane->options.loop) - lane->oldest_since;
  if (lane->in_flight == 0 || waited < (uint64_t)lane->options.request_ms) return;
  da_err err;
  (void)da_fail(&err, DA_EIO, "%.*s: no answer within %lld ms", DA_FMT(lane->url.authority),
                (long long)lane->options.request_ms);
  break_lane(lane, &err);
}

/* All that may be under way, in one write. */
static void flush(da_http_lane *lane)
{
  da_buf out = {0};
  while (lane->unwritten != NULL && lane->in_flight < lane->options.in_flight_max) {
    lane_call *call = lane->unwritten;
    da_buf_add_slice(&out, da_buf_slice(&call->bytes));
    da_buf_free(&call->bytes);
    lane->unwritten = call->next;
    if (lane->in_flight++ > 0) continue;
    lane->oldest_since = uv_now(lane->options.loop);
    uint64_t step = (uint64_t)lane->options.request_ms / 4 + 1;
    (void)uv_timer_start(&lane->timer, on_timer, step, step);
  }
  if (out.len > 0)
    da_http_dial_write(lane->dial, &out);
  else
    da_buf_free(&out);
}

static void on_ready(void *user)
{
  da_http_lane *lane = user;
  lane->ready = true;
  flush(lane);
}

static void on_data(void *user, da_slice bytes);

static void on_gone(void *user, bool ended, const da_err *err)
{
  da_http_lane *lane = user;
  (void)ended;
  break_lane(lane, err);
}

static void connect_lane(da_http_lane *lane)
{
  const da_http_limits limits = {.head_max = HEAD_MAX, .fields_max = FIELDS_MAX, .body_max = lane->options.answer_max};
  if (lane->parsing) da_http_parser_destroy(&lane->parser);
  da_http_parser_create(&lane->parser, DA_HTTP_RESPONSES, &limits);
  lane->parsing = true;
  const da_http_dial_options dial = {.loop = lane->options.loop,
                                     .url = &lane->url,
                                     .unix_path = lane->options.unix_path,
                                     .connect_ms = lane->options.connect_ms,
                                     .ready = on_ready,
                                     .data = on_data,
                                     .gone = on_gone,
                                     .user = lane};
  lane->handles++;
  lane->dial = da_http_dial_new(&dial);
}

static void on_prepare(uv_prepare_t *prepare)
{
  da_http_lane *lane = prepare->data;
  (void)uv_prepare_stop(prepare);
  if (lane->unwritten == NULL || lane->closing) return;
  if (lane->dial == NULL)
    connect_lane(lane);
  else if (lane->ready)
    flush(lane);
}

void da_http_lane_send(da_http_lane *lane, const da_http_field *fields, size_t field_count, da_slice body,
                       void (*done)(void *user, const da_http_lane_end *end), void *user)
{
  lane_call *call = da_xcalloc(1, sizeof *call);
  call->done = done;
  call->user = user;
  da_buf_addf(&call->bytes, "POST %.*s HTTP/1.1\r\nhost: %.*s\r\ncontent-length: %zu\r\n", DA_FMT(lane->url.target),
              DA_FMT(lane->url.authority), body.len);
  for (size_t i = 0; i < field_count; i++)
    da_buf_addf(&call->bytes, "%.*s: %.*s\r\n", DA_FMT(fields[i].name), DA_FMT(fields[i].value));
  da_buf_addf(&call->bytes, "\r\n");
  da_buf_add_slice(&call->bytes, body);
  *lane->end = call;
  lane->end = &call->next;
  lane->count++;
  if (lane->unwritten == NULL) lane->unwritten = call;
  (void)uv_prepare_start(&lane->prepare, on_prepare);
}

/* ---- in ------------------------------------------------------------------------------------------------ */

/* False: nothing more is to come on this connection. */
static bool answer(da_http_lane *lane)
{
  da_http_message message;
  da_http_parser_take(&lane->parser, &message);
  if (message.status >= 100 && message.status < 200) { /* an interim answer (RFC 9110, 15.2) */
    da_http_message_free(&message);
    return true;
  }
  lane_call *call = lane->first;
  lane->first = call->next;
  if (lane->first == NULL) lane->end = &lane->first;
  lane->count--;
  lane->in_flight--;
  lane->oldest_since = uv_now(lane->options.loop);
  if (lane->in_flight == 0) (void)uv_timer_stop(&lane->timer);
  if (lane->unwritten != NULL) (void)uv_prepare_start(&lane->prepare, on_prepare);
  const da_http_reply reply = {.status = message.status,
                               .fields = message.fields,
                               .field_count = message.field_count,
                               .body = da_buf_slice(&message.body)};
  da_http_lane_end end = {.reply = &reply};
  const da_http_dial *dial = lane->dial;
  if (call->done != NULL) call->done(call->user, &end);
  free(call);
  bool keep = message.keep_alive;
  da_http_message_free(&message);
  if (!keep && lane->dial == dial && !lane->closing) {
    da_err err;
    (void)da_fail(&err, DA_EIO, "%.*s: it ended the connection", DA_FMT(lane->url.authority));
    break_lane(lane, &err);
  }
  return keep && lane->dial == dial && !lane->closing;
}

static void on_data(void *user, da_slice bytes)
{
  da_http_lane *lane = user;
  da_err err;
  lane->handles++; /* who is told may delete it */
  for (bool more = true; more;) {
    if (lane->in_flight == 0 && bytes.len > 0) {
      (void)da_fail(&err, DA_EIO, "%.*s: an answer to nothing", DA_FMT(lane->url.authority));
      break_lane(lane, &err);
      break;
    }
    switch (da_http_parser_feed(&lane->parser, &bytes)) {
    case DA_HTTP_MORE:
      more = false;
      break;
    case DA_HTTP_HEAD:
      break;
    case DA_HTTP_DONE:
      more = answer(lane);
      break;
    case DA_HTTP_REFUSED:
      (void)da_fail(&err, DA_EIO, "%.*s: its answer is no HTTP/1.1: %s", DA_FMT(lane->url.authority),
                    lane->parser.refused_why);
      break_lane(lane, &err);
      more = false;
      break;
    }
  }
  let_go(lane);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

da_status da_http_lane_new(const da_http_lane_options *options, da_http_lane **out, da_err *err)
{
  da_http_lane *lane = da_xcalloc(1, sizeof *lane);
  *out = NULL;
  da_status status = da_http_url_read(options->url, &lane->url, err);
  if (status != DA_OK) {
    free(lane);
    return status;
  }
  lane->options = *options;
  if (options->in_flight_max == 0) lane->options.in_flight_max = IN_FLIGHT_MAX;
  if (options->answer_max == 0) lane->options.answer_max = ANSWER_MAX;
  if (options->connect_ms == 0) lane->options.connect_ms = CONNECT_MS;
  if (options->request_ms == 0) lane->options.request_ms = REQUEST_MS;
  lane->end = &lane->first;
  (void)uv_prepare_init(options->loop, &lane->prepare);
  (void)uv_timer_init(options->loop, &lane->timer);
  lane->prepare.data = lane->timer.data = lane;
  lane->handles = 2;
  *out = lane;
  return DA_OK;
}

size_t da_http_lane_waiting(const da_http_lane *lane)
{
  return lane->count;
}

void da_http_lane_delete(da_http_lane *lane, void (*closed)(void *user), void *user)
{
  da_err err;
  lane->closing = true;
  lane->closed = closed;
  lane->closed_user = user;
  (void)da_fail(&err, DA_ECLOSED, "the program is ending");
  lane->handles++;
  break_lane(lane, &err);
  uv_close((uv_handle_t *)&lane->prepare, on_handle_closed);
  uv_close((uv_handle_t *)&lane->timer, on_handle_closed);
  let_go(lane);
}
