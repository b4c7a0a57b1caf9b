/* remote_stream.c - the event streams of a worker's groups: bytes to lines, lines to events (the WHATWG's server-sent
 * events, of which the protocol uses `data` alone), events to messages. A stream that ends is opened again, a little
 * later each time.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/log.h"
#include "remote_parts.h"

enum { EVENT_MAX = 32 << 20, SILENCE_MS = 90000, FIRST_MS = 250, LAST_MS = 30000, REFUSED_MS = 60000 };

struct da_remote_stream {
  da_remote *remote;
  da_slice group;
  da_http_stream *http;
  bool open;
  da_buf line;  /* the one under way */
  da_buf event; /* its data so far */
  unsigned attempts;
  uv_timer_t again;
};

/* ---- events -------------------------------------------------------------------------------------------- */

static void dispatch(da_remote_stream *stream)
{
  da_remote *remote = stream->remote;
  da_arena arena = {0};
  da_message message;
  da_promise promise;
  da_err err = {{0}};
  if (stream->event.len == 0) return;
  if (!da_envelope_read_message(da_buf_slice(&stream->event), &arena, &message, &promise, &err)) {
    da_log(DA_LOG_WARN, "remote.no_message", "text=\"%s\"", err.text);
  } else if (message.kind == DA_EXECUTE) {
    remote->stats.executes++;
    message.local = true;
    da_sched_tell_execute(remote->sched, &message);
  } else {
    remote->stats.unblocks++;
    da_remote_settled(remote, &promise);
  }
  da_buf_clear(&stream->event);
  da_arena_free(&arena);
}

static void take_line(da_remote_stream *stream, da_slice line)
{
  static const da_slice data = {"data:", 5};
  if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
  if (line.len == 0) {
    dispatch(stream);
    return;
  }
  if (!da_slice_starts(line, data)) return; /* a comment, or a field that nobody asked for */
  line = da_slice_make(line.ptr + data.len, line.len - data.len);
  if (line.len > 0 && line.ptr[0] == ' ') line = da_slice_make(line.ptr + 1, line.len - 1);
  if (stream->event.len > 0) da_buf_add_byte(&stream->event, '\n');
  if (stream->event.len + line.len <= EVENT_MAX) da_buf_add_slice(&stream->event, line);
}

static void on_data(void *user, da_slice bytes)
{
  da_remote_stream *stream = user;
  for (ptrdiff_t at; bytes.len > 0 && (at = da_slice_find(bytes, '\n')) >= 0;) {
    da_buf_add_slice(&stream->line, da_slice_make(bytes.ptr, (size_t)at));
    take_line(stream, da_buf_slice(&stream->line));
    da_buf_clear(&stream->line);
    bytes = da_slice_make(bytes.ptr + at + 1, bytes.len - (size_t)at - 1);
  }
  if (stream->line.len + bytes.len <= EVENT_MAX) da_buf_add_slice(&stream->line, bytes);
}

/* ---- open, and open again ------------------------------------------------------------------------------ */

static bool all_open(const da_remote *remote)
{
  for (size_t i = 0; i < remote->options.group_count; i++)
    if (!remote->streams[i].open) return false;
  return true;
}

static void on_opened(void *user)
{
  da_remote_stream *stream = user;
  da_remote *remote = stream->remote;
  stream->open = true;
  stream->attempts = 0;
  da_remote_reached(remote);
  if (remote->paused) da_http_stream_pause(stream->http, true);
  da_remote_listen_again(remote); /* what came while it was closed is lost */
  if (remote->ready_told || !all_open(remote)) return;
  remote->ready_told = true;
  da_remote_tell(remote, DA_REMOTE_READY, DA_NONE, DA_NONE);
}

static void open_stream(da_remote_stream *stream);

static void on_again(uv_timer_t *timer)
{
  da_remote_stream *stream = timer->data;
  if (stream->remote->receiving && stream->http == NULL) open_stream(stream);
}

static void later(da_remote_stream *stream, uint64_t ms)
{
  if (stream->remote->receiving && !stream->remote->closing) (void)uv_timer_start(&stream->again, on_again, ms, 0);
}

static void on_ended(void *user, int status, da_slice body, const da_err *err)
{
  da_remote_stream *stream = user;
  da_remote *remote = stream->remote;
  bool was_open = stream->open;
  stream->http = NULL;
  stream->open = false;
  da_buf_clear(&stream->line);
  da_buf_clear(&stream->event);
  remote->handles--; /* its own handles close by themselves */
  remote->stats.breaks++;
  uint64_t ms = (uint64_t)FIRST_MS << (stream->attempts < 8 ? stream->attempts : 8);
  stream->attempts++;
  if (status == 401 || status == 403) {
    da_remote_refused(remote, status, body);
    ms = REFUSED_MS;
  } else if (status != 0) {
    da_log(DA_LOG_WARN, "remote.stream", "status=%d text=\"%.*s\"", status, DA_FMT(body));
  } else if (!was_open) {
    da_remote_unreachable(remote, err);
  }
  later(stream, ms < LAST_MS || status != 0 ? ms : LAST_MS);
}

static void put_segment(da_buf *out, da_slice text)
{
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~", c) != NULL;
    if (plain && c != 0)
      da_buf_add_byte(out, c);
    else
      da_buf_addf(out, "%%%02X", c);
  }
}

static void open_stream(da_remote_stream *stream)
{
  da_remote *remote = stream->remote;
  da_err err = {{0}};
  da_buf url = {0}, token = {0};
  da_slice base = da_remote_url(remote);
  while (base.len > 0 && base.ptr[base.len - 1] == '/') base.len--;
  da_buf_addf(&url, "%.*s/poll/", DA_FMT(base));
  put_segment(&url, stream->group);
  da_buf_add_byte(&url, '/');
  put_segment(&url, remote->options.pid);
  da_http_field fields[2] = {{DA_LIT("accept"), DA_LIT("text/event-stream")}};
  size_t count = 1;
  if (remote->options.token.len > 0) {
    da_buf_addf(&token, "Bearer %.*s", DA_FMT(remote->options.token));
    fields[count++] = (da_http_field){DA_LIT("authorization"), da_buf_slice(&token)};
  }
  const da_http_stream_options options = {.loop = remote->loop,
                                          .url = da_buf_slice(&url),
                                          .unix_path = remote->options.unix_path,
                                          .fields = fields,
                                          .field_count = count,
                                          .silence_ms = SILENCE_MS,
                                          .opened = on_opened,
                                          .data = on_data,
                                          .ended = on_ended,
                                          .user = stream};
  if (da_http_stream_open(&options, &stream->http, &err) == DA_OK)
    remote->handles++;
  else
    da_remote_unreachable(remote, &err);
  da_buf_free(&url);
  da_buf_free(&token);
}

void da_remote_streams_open(da_remote *remote)
{
  for (size_t i = 0; i < remote->options.group_count && remote->receiving && !remote->waiting; i++) {
    da_remote_stream *stream = &remote->streams[i];
    if (stream->http == NULL && !uv_is_active((uv_handle_t *)&stream->again)) open_stream(stream);
  }
}

static void on_closed(void *user)
{
  da_remote_let_go(user);
}

void da_remote_streams_close(da_remote *remote)
{
  for (size_t i = 0; i < remote->options.group_count; i++) {
    da_remote_stream *stream = &remote->streams[i];
    da_http_stream *http = stream->http;
    stream->http = NULL;
    stream->open = false;
    (void)uv_timer_stop(&stream->again);
    if (http != NULL) da_http_stream_close(http, on_closed, remote);
  }
}

void da_remote_streams_pause(da_remote *remote)
{
  for (size_t i = 0; i < remote->options.group_count; i++)
    if (remote->streams[i].http != NULL) da_http_stream_pause(remote->streams[i].http, remote->paused);
}

void da_remote_streams_create(da_remote *remote)
{
  remote->streams = da_xcalloc(remote->options.group_count + 1, sizeof *remote->streams);
  for (size_t i = 0; i < remote->options.group_count; i++) {
    da_remote_stream *stream = &remote->streams[i];
    stream->remote = remote;
    stream->group = remote->options.groups[i];
    (void)uv_timer_init(remote->loop, &stream->again);
    stream->again.data = stream;
    remote->handles++;
  }
}

static void on_timer_closed(uv_handle_t *handle)
{
  da_remote_stream *stream = handle->data;
  da_remote_let_go(stream->remote);
}

void da_remote_streams_destroy(da_remote *remote)
{
  for (size_t i = 0; i < remote->options.group_count; i++) {
    da_remote_stream *stream = &remote->streams[i];
    da_buf_free(&stream->line);
    da_buf_free(&stream->event);
    uv_close((uv_handle_t *)&stream->again, on_timer_closed);
  }
}
