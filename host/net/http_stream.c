/* http_stream.c - an answer that does not end: one GET on a connection of its own (http_lane.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <uv.h>

#include "http_dial.h"
#include "http_lane.h"
#include "http_parse.h"

enum { CONNECT_MS = 10000, HEAD_MAX = 64 * 1024, FIELDS_MAX = 200, REFUSAL_MAX = 8 * 1024 };

struct da_http_stream {
  da_http_stream_options options;
  da_http_url url;
  da_buf request;
  da_http_dial *dial;
  da_http_parser parser;
  da_buf refusal; /* the body of an answer other than 200 */
  uv_timer_t timer;
  bool open; /* the head of a 200 has come */
  bool over; /* ended() was called, or nobody wants to hear it */
  int handles;
  void (*closed)(void *user);
  void *closed_user;
};

static void let_go(da_http_stream *stream)
{
  if (--stream->handles > 0) return;
  void (*closed)(void *user) = stream->closed;
  void *user = stream->closed_user;
  da_http_parser_destroy(&stream->parser);
  da_http_url_free(&stream->url);
  da_buf_free(&stream->request);
  da_buf_free(&stream->refusal);
  free(stream);
  if (closed != NULL) closed(user);
}

static void on_dial_closed(void *user)
{
  let_go(user);
}

static void on_timer_closed(uv_handle_t *handle)
{
  let_go(handle->data);
}

static void shut(da_http_stream *stream)
{
  stream->over = true;
  if (stream->dial != NULL) da_http_dial_close(stream->dial, on_dial_closed, stream);
  stream->dial = NULL;
  if (!uv_is_closing((uv_handle_t *)&stream->timer)) uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

static void end(da_http_stream *stream, int status, const da_err *err)
{
  if (stream->over) return;
  da_err words = err != NULL ? *err : (da_err){{0}};
  stream->handles++;
  shut(stream);
  stream->options.ended(stream->options.user, status, da_buf_slice(&stream->refusal), &words);
  let_go(stream);
}

static void end_with(da_http_stream *stream, const char *why)
{
  da_err err;
  (void)da_fail(&err, DA_EIO, "%.*s: %s", DA_FMT(stream->url.authority), why);
  end(stream, 0, &err);
}

static void on_timer(uv_timer_t *timer)
{
  da_http_stream *stream = timer->data;
  end_with(stream, stream->open ? "the stream fell silent" : "no answer in time");
}

static void heard(da_http_stream *stream)
{
  if (!stream->open || stream->over) return;
  if (stream->options.silence_ms > 0)
    (void)uv_timer_start(&stream->timer, on_timer, (uint64_t)stream->options.silence_ms, 0);
  else
    (void)uv_timer_stop(&stream->timer);
}

static void on_ready(void *user)
{
  da_http_stream *stream = user;
  da_http_dial_write(stream->dial, &stream->request);
}

/* What came of the body since the last time. */
static void tell_body(da_http_stream *stream)
{
  da_buf *body = &stream->parser.message.body;
  if (body->len == 0 || stream->over) return;
  if (stream->open)
    stream->options.data(stream->options.user, da_buf_slice(body));
  else if (stream->refusal.len < REFUSAL_MAX)
    da_buf_add_slice(&stream->refusal, da_buf_slice(body));
  da_buf_clear(body);
}

static void on_head(da_http_stream *stream)
{
  int status = stream->parser.message.status;
  if (status != 200) return;
  stream->open = true;
  stream->parser.limits.head_max = SIZE_MAX / 2; /* from here on it would count the lines around chunks */
  stream->options.opened(stream->options.user);
}

static void on_done(da_http_stream *stream)
{
  if (stream->open)
    end_with(stream, "the stream ended");
  else
    end(stream, stream->parser.message.status, NULL);
}

static void on_data(void *user, da_slice bytes)
{
  da_http_stream *stream = user;
  stream->handles++;
  for (bool more = true; more && !stream->over;) {
    switch (da_http_parser_feed(&stream->parser, &bytes)) {
    case DA_HTTP_MORE:
      tell_body(stream);
      more = false;
      break;
    case DA_HTTP_HEAD:
      on_head(stream);
      break;
    case DA_HTTP_DONE:
      tell_body(stream);
      on_done(stream);
      more = false;
      break;
    case DA_HTTP_REFUSED:
      end_with(stream, stream->parser.refused_why);
      more = false;
      break;
    }
  }
  heard(stream);
  let_go(stream);
}

static void on_gone(void *user, bool ended, const da_err *err)
{
  da_http_stream *stream = user;
  (void)ended;
  int status = !stream->open && stream->refusal.len > 0 ? stream->parser.message.status : 0;
  end(stream, status, err);
}

da_status da_http_stream_open(const da_http_stream_options *options, da_http_stream **out, da_err *err)
{
  da_http_stream *stream = da_xcalloc(1, sizeof *stream);
  *out = NULL;
  da_status status = da_http_url_read(options->url, &stream->url, err);
  if (status != DA_OK) {
    free(stream);
    return status;
  }
  stream->options = *options;
  int64_t connect_ms = options->connect_ms > 0 ? options->connect_ms : CONNECT_MS;
  da_buf_addf(&stream->request, "GET %.*s HTTP/1.1\r\nhost: %.*s\r\n", DA_FMT(stream->url.target),
              DA_FMT(stream->url.authority));
  for (size_t i = 0; i < options->field_count; i++)
    da_buf_addf(&stream->request, "%.*s: %.*s\r\n", DA_FMT(options->fields[i].name), DA_FMT(options->fields[i].value));
  da_buf_addf(&stream->request, "\r\n");
  const da_http_limits limits = {.head_max = HEAD_MAX, .fields_max = FIELDS_MAX, .body_max = SIZE_MAX / 2};
  da_http_parser_create(&stream->parser, DA_HTTP_RESPONSES, &limits);
  (void)uv_timer_init(options->loop, &stream->timer);
  stream->timer.data = stream;
  (void)uv_timer_start(&stream->timer, on_timer, (uint64_t)connect_ms, 0);
  stream->handles = 2; /* timer, dial */
  const da_http_dial_options dial = {.loop = options->loop,
                                     .url = &stream->url,
                                     .unix_path = options->unix_path,
                                     .connect_ms = connect_ms,
                                     .ready = on_ready,
                                     .data = on_data,
                                     .gone = on_gone,
                                     .user = stream};
  stream->dial = da_http_dial_new(&dial);
  *out = stream;
  return DA_OK;
}

void da_http_stream_close(da_http_stream *stream, void (*closed)(void *user), void *user)
{
  stream->closed = closed;
  stream->closed_user = user;
  shut(stream);
}

void da_http_stream_pause(da_http_stream *stream, bool paused)
{
  if (stream->dial != NULL) da_http_dial_pause(stream->dial, paused);
}
