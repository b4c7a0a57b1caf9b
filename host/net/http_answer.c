/* http_answer.c - answers as bytes, streams, and whose turn it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <time.h>

#include "http_conn.h"

/* ---- heads --------------------------------------------------------------------------------------------- */

/* RFC 9110, 15. The number is what counts, so one that is given nowhere here needs no words. */
static const char *reason_of(int status)
{
  static const struct reason {
    int status;
    const char *text;
  } reasons[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {300, "Multiple Choices"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (reasons[i].status == status) return reasons[i].text;
  return "";
}

static void add_number(da_buf *out, size_t n)
{
  char digits[24];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + n % 10);
  while ((n /= 10) != 0);
  da_buf_add(out, digits + at, sizeof digits - at);
}

/* RFC 9110, 6.6.1: made once a second. The names are not those of the locale. */
static void add_date(da_buf *out)
{
  static time_t made;
  static char text[40];
  static size_t len;
  time_t now = time(NULL);
  if (now != made) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    da_buf made_text = {0};
    da_buf_addf(&made_text, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT", days + 3 * (ptrdiff_t)tm.tm_wday, tm.tm_mday,
                months + 3 * (ptrdiff_t)tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    len = made_text.len < sizeof text ? made_text.len : sizeof text;
    memcpy(text, made_text.ptr, len);
    da_buf_free(&made_text);
    made = now;
  }
  da_buf_add_slice(out, DA_LIT("date: "));
  da_buf_add(out, text, len);
  da_buf_add_slice(out, DA_LIT("\r\n"));
}

static bool breaks_line(da_slice s)
{
  return da_slice_find(s, '\r') >= 0 || da_slice_find(s, '\n') >= 0 || da_slice_find(s, '\0') >= 0;
}

static void add_field(da_buf *out, da_slice name, da_slice value)
{
  DA_ASSERT(!breaks_line(name));
  DA_ASSERT(!breaks_line(value));
  da_buf_add_slice(out, name);
  da_buf_add_slice(out, DA_LIT(": "));
  da_buf_add_slice(out, value);
  da_buf_add_slice(out, DA_LIT("\r\n"));
}

/* Up to where the length, or the coding, of the body is said. */
static void begin_head(da_buf *out, const da_http_exchange *exchange, int status, const char *content_type,
                       const da_http_field *fields, size_t field_count)
{
  DA_ASSERT_OP(status, >=, 200);
  DA_ASSERT_OP(status, <=, 599);
  da_buf_add_slice(out, DA_LIT("HTTP/1.1 "));
  add_number(out, (size_t)status);
  da_buf_add_byte(out, ' ');
  da_buf_add_slice(out, da_slice_of(reason_of(status)));
  da_buf_add_slice(out, DA_LIT("\r\n"));
  add_date(out);
  if (content_type != NULL) add_field(out, DA_LIT("content-type"), da_slice_of(content_type));
  for (size_t i = 0; i < field_count; i++) add_field(out, fields[i].name, fields[i].value);
  if (exchange->closes)
    da_buf_add_slice(out, DA_LIT("connection: close\r\n"));
  else if (exchange->message.minor == 0)
    da_buf_add_slice(out, DA_LIT("connection: keep-alive\r\n"));
}

/* ---- answers ------------------------------------------------------------------------------------------- */

/* Where bytes of this exchange go: straight to what is sent next, if it is its turn. */
static da_buf *target_of(da_http_exchange *exchange)
{
  return exchange->conn->first == exchange ? &exchange->conn->out : &exchange->bytes;
}

static void answered(da_http_exchange *exchange)
{
  http_conn *conn = exchange->conn;
  exchange->answered = true;
  conn->request_bytes -= exchange->message.head.len + exchange->message.body.len;
  da_http_message_free(&exchange->message);
  http_conn_hold(conn);
  if (conn->first == exchange) http_conn_advance(conn);
  http_conn_mark(conn);
}

void da_http_answer(da_http_exchange *exchange, int status, const char *content_type, da_slice body,
                    const da_http_field *fields, size_t field_count)
{
  DA_ASSERT(!exchange->answered);
  http_conn *conn = exchange->conn;
  /* What this turn of the loop has added is not counted: nobody could have read it yet. */
  if (!http_conn_is_over(conn) &&
      uv_stream_get_write_queue_size(&conn->uv.stream) > conn->server->options.stream_bytes_max)
    http_conn_drop(conn, "it does not read its answers");
  if (http_conn_is_over(conn)) {
    exchange->answered = true;
    return;
  }
  if (conn->state == CONN_LAST && exchange == conn->last) exchange->closes = true;
  da_buf *out = target_of(exchange);
  begin_head(out, exchange, status, content_type, fields, field_count);
  if (status != 204 && status != 304) {
    da_buf_add_slice(out, DA_LIT("content-length: "));
    add_number(out, body.len);
    da_buf_add_slice(out, DA_LIT("\r\n"));
  }
  da_buf_add_slice(out, DA_LIT("\r\n"));
  if (!exchange->is_head && status != 204 && status != 304) da_buf_add_slice(out, body);
  answered(exchange);
  http_conn_owe(conn);
  http_server_relieve(conn->server);
}

void http_answer_refusal(da_http_exchange *exchange, int status, const char *why)
{
  const da_http_handler *handler = &exchange->conn->server->options.handler;
  const char *content_type = "text/plain; charset=utf-8";
  da_buf body = {0};
  if (handler->refusal_body == NULL || !handler->refusal_body(handler->user, status, why, &content_type, &body)) {
    da_buf_clear(&body);
    da_buf_addf(&body, "%s\n", why);
  }
  da_http_answer(exchange, status, content_type, da_buf_slice(&body), NULL, 0);
  da_buf_free(&body);
}

/* ---- streams ------------------------------------------------------------------------------------------- */

da_http_stream *da_http_answer_stream(da_http_exchange *exchange, const char *content_type, const da_http_field *fields,
                                      size_t field_count, void (*ended)(void *user), void *user)
{
  DA_ASSERT(!exchange->answered);
  http_conn *conn = exchange->conn;
  da_http_stream *stream = da_xcalloc(1, sizeof *stream);
  *stream =
      (da_http_stream){.exchange = exchange, .chunked = exchange->message.minor == 1, .ended = ended, .user = user};
  exchange->stream = stream;
  exchange->closes = true;
  if (http_conn_is_over(conn)) {
    exchange->answered = true;
    return stream;
  }
  stream->counted = true;
  conn->server->stats.streams++;
  da_buf *out = target_of(exchange);
  begin_head(out, exchange, 200, content_type, fields, field_count);
  if (stream->chunked) da_buf_add_slice(out, DA_LIT("transfer-encoding: chunked\r\n"));
  da_buf_add_slice(out, DA_LIT("\r\n"));
  http_conn_last(conn);
  answered(exchange);
  return stream;
}

size_t da_http_stream_unsent(const da_http_stream *stream)
{
  const da_http_exchange *exchange = stream->exchange;
  return exchange->bytes.len + (exchange->conn->first == exchange ? http_conn_unsent(exchange->conn) : 0);
}

bool da_http_stream_write(da_http_stream *stream, da_slice bytes)
{
  da_http_exchange *exchange = stream->exchange;
  http_conn *conn = exchange->conn;
  if (http_conn_is_over(conn)) return false;
  if (da_http_stream_unsent(stream) > conn->server->options.stream_bytes_max) return false;
  if (conn->server->owed + bytes.len > conn->server->options.owed_max) return false;
  if (bytes.len == 0 || exchange->is_head) return true; /* an empty chunk would be the last one */
  da_buf *out = target_of(exchange);
  if (stream->chunked) da_buf_addf(out, "%zx\r\n", bytes.len);
  da_buf_add_slice(out, bytes);
  if (stream->chunked) da_buf_add_slice(out, DA_LIT("\r\n"));
  http_conn_owe(conn);
  http_conn_mark(conn);
  return true;
}

static void forget_stream(da_http_exchange *exchange)
{
  if (exchange->stream->counted) exchange->conn->server->stats.streams--;
  free(exchange->stream);
  exchange->stream = NULL;
}

void da_http_stream_end(da_http_stream *stream)
{
  da_http_exchange *exchange = stream->exchange;
  http_conn *conn = exchange->conn;
  bool over = http_conn_is_over(conn);
  if (!over && stream->chunked && !exchange->is_head) da_buf_add_slice(target_of(exchange), DA_LIT("0\r\n\r\n"));
  forget_stream(exchange);
  if (over) return;
  if (conn->first == exchange) http_conn_advance(conn);
  http_conn_mark(conn);
}

void http_stream_gone(da_http_exchange *exchange)
{
  void (*ended)(void *user) = exchange->stream->ended;
  void *user = exchange->stream->user;
  forget_stream(exchange);
  if (ended != NULL) ended(user);
}

void http_stream_finish(da_http_exchange *exchange)
{
  void (*ended)(void *user) = exchange->stream->ended;
  void *user = exchange->stream->user;
  da_http_stream_end(exchange->stream);
  if (ended != NULL) ended(user);
}

/* ---- exchanges ----------------------------------------------------------------------------------------- */

void http_exchange_free(da_http_exchange *exchange)
{
  da_http_message_free(&exchange->message);
  da_buf_free(&exchange->bytes);
  free(exchange);
}

const da_http_request *da_http_exchange_request(const da_http_exchange *exchange)
{
  return &exchange->request;
}

void da_http_exchange_set_user(da_http_exchange *exchange, void *user)
{
  exchange->user = user;
}

void *da_http_exchange_user(const da_http_exchange *exchange)
{
  return exchange->user;
}

const da_slice *da_http_field_get(const da_http_request *request, const char *name)
{
  return da_http_fields_get(request->fields, request->field_count, name);
}
