/* http_parse.c - HTTP/1.x messages: llhttp for what a message means, a guard for where its parts end.
 *
 * A head is gathered until the guard has seen its empty line, and only then llhttp reads it, whole: so the pieces in
 * which it came cannot matter, and fields are slices of what was gathered. A body goes through llhttp as it comes; the
 * guard looks again at the fields behind the last chunk.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "http_parse.h"

#include <stdlib.h>
#include <strings.h>

enum {
  FIELDS_FIRST = 16,    /* rows of a new message's fields */
  BODY_FIRST = 1 << 16, /* bytes of a body reserved at most on the word of its length alone */
  CHUNK_FRAME_MAX = 8,  /* bytes around chunks for one byte of body, besides head_max */
  CHUNK_WINDOW = 4096,  /* after so many bytes of a body in chunks that is looked at: always at the same ones */
};

static da_http_event refuse(da_http_parser *p, int status, const char *why)
{
  if (p->part != DA_HTTP_DEAD) {
    p->part = DA_HTTP_DEAD;
    p->refused_status = status;
    p->refused_why = why;
  }
  return DA_HTTP_REFUSED;
}

/* ---- characters ---------------------------------------------------------------------------------------- */

static bool is_alnum(uint8_t c)
{
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_token(da_slice s)
{
  for (size_t i = 0; i < s.len; i++)
    if (!is_alnum((uint8_t)s.ptr[i]) && (s.ptr[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.ptr[i]) == NULL)) return false;
  return s.len > 0;
}

static bool same_word(da_slice s, const char *word)
{
  return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

/* ---- what llhttp says ---------------------------------------------------------------------------------- */

static int on_target(llhttp_t *llhttp, const char *at, size_t len)
{
  da_http_parser *p = llhttp->data;
  p->message.target = da_slice_make(at, len);
  return 0;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
  da_http_parser *p = llhttp->data;
  da_http_message *m = &p->message;
  if (p->part != DA_HTTP_IN_HEAD) return 0; /* what stands behind the last chunk is of no use to anybody */
  if (m->field_count == p->limits.fields_max) {
    refuse(p, 431, "too many fields");
    return -1;
  }
  if (m->field_count == p->field_cap) {
    p->field_cap = p->field_cap != 0 ? p->field_cap * 2 : FIELDS_FIRST;
    m->fields = da_xrealloc(m->fields, p->field_cap * sizeof *m->fields);
  }
  m->fields[m->field_count++] = (da_http_field){.name = da_slice_make(at, len), .value = DA_LIT("")};
  return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
  da_http_parser *p = llhttp->data;
  if (p->part != DA_HTTP_IN_HEAD) return 0;
  while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t')) len--;
  p->message.fields[p->message.field_count - 1].value = da_slice_make(at, len);
  return 0;
}

static int on_head_end(llhttp_t *llhttp)
{
  da_http_parser *p = llhttp->data;
  p->head_ended = true;
  llhttp->upgrade = 0; /* an offer to speak something else is not taken; the message is one like any other */
  return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
  da_http_parser *p = llhttp->data;
  p->body_bytes += len;
  if (p->body_bytes > p->limits.body_max) {
    refuse(p, 413, "the body is too long");
    return -1;
  }
  da_buf_add(&p->message.body, at, len);
  return 0;
}

/* A chunk that would pass the limit is refused at its size, as a length is. */
static int on_chunk(llhttp_t *llhttp)
{
  da_http_parser *p = llhttp->data;
  p->last_chunk = llhttp->content_length == 0;
  p->in_chunk_line = false;
  if (llhttp->content_length > p->limits.body_max - p->body_bytes) {
    refuse(p, 413, "the body is too long");
    return -1;
  }
  return HPE_PAUSED;
}

/* Its bytes have come, and the end of line behind them. */
static int on_chunk_end(llhttp_t *llhttp)
{
  da_http_parser *p = llhttp->data;
  if (p->last_chunk) return 0;
  p->in_chunk_line = true;
  p->last = 0;
  return HPE_PAUSED;
}

static int on_end(llhttp_t *llhttp)
{
  da_http_parser *p = llhttp->data;
  p->ended = true;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_chunk_complete = on_chunk_end,
    .on_message_complete = on_end,
};

static const char *words_of(llhttp_errno_t fault)
{
  switch (fault) {
  case HPE_INVALID_METHOD:
    return "an unknown method";
  case HPE_INVALID_URL:
    return "a malformed target";
  case HPE_INVALID_CONSTANT:
  case HPE_INVALID_VERSION:
    return "a malformed start line";
  case HPE_INVALID_STATUS:
    return "a malformed status";
  case HPE_UNEXPECTED_CONTENT_LENGTH:
    return "two lengths, or a length and a transfer coding";
  case HPE_INVALID_CONTENT_LENGTH:
    return "a malformed length";
  case HPE_INVALID_TRANSFER_ENCODING:
    return "a transfer coding that is not chunked";
  case HPE_INVALID_CHUNK_SIZE:
    return "a malformed chunk";
  case HPE_UNEXPECTED_SPACE:
  case HPE_INVALID_HEADER_TOKEN:
    return "a malformed field";
  default:
    return "a malformed message";
  }
}

static da_http_event refuse_fault(da_http_parser *p, llhttp_errno_t fault)
{
  return refuse(p, fault == HPE_INVALID_METHOD ? 501 : 400, words_of(fault));
}

/* ---- the guard ----------------------------------------------------------------------------------------- */

/* Looks at bytes of a head, or of the fields behind the last chunk, up to the end of the empty line that ends them.
 * *end is how many bytes were looked at; true: the empty line is among them. */
static bool guard(da_http_parser *p, da_slice in, size_t *end)
{
  uint8_t last = p->last;
  size_t i = 0;
  for (; i < in.len; i++) {
    uint8_t c = (uint8_t)in.ptr[i];
    const char *why = NULL;
    if (last == '\r' && c != '\n')
      why = "CR without LF";
    else if (c == '\n' && last != '\r')
      why = "LF without CR";
    else if (last == '\n' && (c == ' ' || c == '\t'))
      why = "a folded line, or one that begins with a blank";
    else if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
      why = "a control character";
    if (why != NULL) {
      *end = i;
      (void)refuse(p, 400, why);
      return false;
    }
    if (c == '\n' && p->line_is_empty) {
      *end = i + 1;
      return true;
    }
    if (c == '\n')
      p->line_is_empty = true;
    else if (c != '\r')
      p->line_is_empty = false;
    last = c;
  }
  p->last = last;
  *end = i;
  return false;
}

/* Method, target and version with one blank between them; llhttp takes more, and other protocols' names. */
static da_http_event check_request_line(da_http_parser *p, da_slice line)
{
  ptrdiff_t first = da_slice_find(line, ' ');
  if (first < 0 || !is_token(da_slice_make(line.ptr, (size_t)first))) return refuse(p, 400, "a malformed request line");
  da_slice rest = da_slice_make(line.ptr + first + 1, line.len - (size_t)first - 1);
  ptrdiff_t second = da_slice_find(rest, ' ');
  if (second < 0) return refuse(p, 505, "HTTP/0.9; versions 1.0 and 1.1 are spoken here");
  da_slice version = da_slice_make(rest.ptr + second + 1, rest.len - (size_t)second - 1);
  if (second == 0 || da_slice_find(rest, '\t') >= 0 || da_slice_find(version, ' ') >= 0)
    return refuse(p, 400, "a malformed request line");
  if ((size_t)second > p->limits.target_max) return refuse(p, 414, "the target is too long");
  if (!da_slice_eq(version, DA_LIT("HTTP/1.1")) && !da_slice_eq(version, DA_LIT("HTTP/1.0")))
    return da_slice_starts(version, DA_LIT("HTTP/")) ? refuse(p, 505, "versions 1.0 and 1.1 are spoken here")
                                                     : refuse(p, 400, "a malformed request line");
  return DA_HTTP_MORE;
}

static da_http_event check_start_line(da_http_parser *p)
{
  da_slice head = da_buf_slice(&p->message.head);
  ptrdiff_t end = da_slice_find(head, '\n');
  if (end < 1) return refuse(p, 400, "no start line");
  da_slice line = da_slice_make(head.ptr, (size_t)end - 1);
  if (p->role == DA_HTTP_REQUESTS) return check_request_line(p, line);
  bool known = da_slice_starts(line, DA_LIT("HTTP/1.1 ")) || da_slice_starts(line, DA_LIT("HTTP/1.0 "));
  if (!known || line.len < 12 || (line.len > 12 && line.ptr[12] != ' '))
    return refuse(p, 400, "a malformed status line");
  return DA_HTTP_MORE;
}

/* ---- a whole head -------------------------------------------------------------------------------------- */

static bool is_host(da_slice host)
{
  for (size_t i = 0; i < host.len; i++)
    if (!is_alnum((uint8_t)host.ptr[i]) && (host.ptr[i] == '\0' || strchr("-._~!$&'()*+;=:[]%", host.ptr[i]) == NULL))
      return false;
  return true;
}

/* The path and the query of a target in origin, absolute or asterisk form (RFC 9112, 3.2). */
static bool split_target(da_http_message *m)
{
  da_slice rest = m->target;
  for (size_t i = 0; i < rest.len; i++)
    if (rest.ptr[i] == '#' || (uint8_t)rest.ptr[i] >= 0x80) return false;
  if (rest.len > 0 && rest.ptr[0] != '/' && !da_slice_eq(rest, DA_LIT("*"))) {
    size_t scheme = rest.len >= 7 && strncasecmp(rest.ptr, "http://", 7) == 0    ? 7
                    : rest.len >= 8 && strncasecmp(rest.ptr, "https://", 8) == 0 ? 8
                                                                                 : 0;
    if (scheme == 0) return false;
    size_t at = scheme;
    while (at < rest.len && rest.ptr[at] != '/' && rest.ptr[at] != '?') at++;
    if (at == scheme) return false;
    rest = da_slice_make(rest.ptr + at, rest.len - at);
  }
  ptrdiff_t mark = da_slice_find(rest, '?');
  m->path = mark < 0 ? rest : da_slice_make(rest.ptr, (size_t)mark);
  m->query = mark < 0 ? DA_NONE : da_slice_make(rest.ptr + mark + 1, rest.len - (size_t)mark - 1);
  if (m->path.len == 0) m->path = DA_LIT("/"); /* http://host and http://host?query */
  return m->target.len > 0;
}

static da_http_event check_request(da_http_parser *p, size_t hosts, da_slice host)
{
  da_http_message *m = &p->message;
  if (same_word(m->method, "CONNECT")) return refuse(p, 501, "CONNECT is not served");
  if (!split_target(m)) return refuse(p, 400, "a malformed target");
  if (da_slice_eq(m->path, DA_LIT("*")) && !da_slice_eq(m->method, DA_LIT("OPTIONS")))
    return refuse(p, 400, "a malformed target");
  if (hosts == 0 && m->minor == 1) return refuse(p, 400, "no Host");
  if (hosts > 1) return refuse(p, 400, "several Hosts");
  if (!is_host(host)) return refuse(p, 400, "a malformed Host");
  return DA_HTTP_MORE;
}

static da_http_event check_coding(da_http_parser *p, size_t codings, da_slice coding)
{
  if (codings == 0) return DA_HTTP_MORE;
  if (p->message.minor == 0) return refuse(p, 400, "a transfer coding in HTTP/1.0");
  if (codings > 1) return refuse(p, 400, "several transfer codings");
  if (!same_word(coding, "chunked")) return refuse(p, 501, "a transfer coding that is not chunked");
  return DA_HTTP_MORE;
}

static da_http_event check_fields(da_http_parser *p)
{
  da_http_message *m = &p->message;
  size_t hosts = 0;
  size_t codings = 0;
  da_slice host = DA_NONE;
  da_slice coding = DA_NONE;
  for (size_t i = 0; i < m->field_count; i++) {
    da_slice name = m->fields[i].name;
    da_slice value = m->fields[i].value;
    if (!is_token(name)) return refuse(p, 400, "a malformed field");
    if (same_word(name, "host")) {
      hosts++;
      host = value;
    } else if (same_word(name, "transfer-encoding")) {
      codings++;
      coding = value;
    } else if (same_word(name, "expect") && p->role == DA_HTTP_REQUESTS && m->minor == 1) {
      if (!same_word(value, "100-continue")) return refuse(p, 417, "an expectation that is not 100-continue");
      m->expects_continue = true;
    }
  }
  da_http_event event = check_coding(p, codings, coding);
  if (event == DA_HTTP_MORE && p->role == DA_HTTP_REQUESTS) event = check_request(p, hosts, host);
  return event;
}

/* The head is gathered: what llhttp makes of it, then what it lets pass. */
static da_http_event read_head(da_http_parser *p)
{
  da_http_message *m = &p->message;
  llhttp_init(&p->llhttp, p->role == DA_HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
  p->llhttp.data = p;
  llhttp_errno_t fault = llhttp_execute(&p->llhttp, m->head.ptr, m->head.len);
  if (p->part == DA_HTTP_DEAD) return DA_HTTP_REFUSED;
  if (fault != HPE_PAUSED && fault != HPE_OK) return refuse_fault(p, fault);
  if (!p->head_ended || llhttp_get_error_pos(&p->llhttp) != m->head.ptr + m->head.len)
    return refuse(p, 400, "a head that ends in two places");
  if (p->role == DA_HTTP_REQUESTS)
    m->method = da_slice_make(m->head.ptr, (size_t)da_slice_find(da_buf_slice(&m->head), ' '));
  m->minor = llhttp_get_http_minor(&p->llhttp);
  m->status = p->role == DA_HTTP_RESPONSES ? llhttp_get_status_code(&p->llhttp) : 0;
  if (p->no_body) p->llhttp.flags |= F_SKIPBODY;
  m->keep_alive = llhttp_should_keep_alive(&p->llhttp) != 0;
  if (llhttp_get_http_major(&p->llhttp) != 1 || m->minor > 1)
    return refuse(p, 505, "versions 1.0 and 1.1 are spoken here");
  if (m->status == 101) return refuse(p, 400, "a change of protocols that nobody asked for");
  da_http_event event = check_fields(p);
  if (event != DA_HTTP_MORE) return event;
  bool chunked = (p->llhttp.flags & F_CHUNKED) != 0;
  uint64_t length = (p->llhttp.flags & F_CONTENT_LENGTH) != 0 ? p->llhttp.content_length : 0;
  if (p->no_body) length = 0;
  m->has_body = (chunked && !p->no_body) || length > 0 || llhttp_message_needs_eof(&p->llhttp) != 0;
  if (length > p->limits.body_max) return refuse(p, 413, "the body is too long");
  p->part = DA_HTTP_IN_BODY;
  p->in_chunk_line = chunked;
  p->last = 0;
  if (length > 0) da_buf_reserve(&m->body, length < BODY_FIRST ? (size_t)length : BODY_FIRST);
  return DA_HTTP_HEAD;
}

/* ---- feeding ------------------------------------------------------------------------------------------- */

/* Empty lines before a request (RFC 9112, 2.2) are passed over, and count as part of its head. */
static da_http_event feed_before(da_http_parser *p, da_slice *in)
{
  while (in->len > 0) {
    uint8_t c = (uint8_t)in->ptr[0];
    if (c != '\r' && c != '\n' && p->last != '\r') {
      p->part = DA_HTTP_IN_HEAD;
      p->last = 0;
      return DA_HTTP_MORE;
    }
    if (p->role == DA_HTTP_RESPONSES) return refuse(p, 400, "a malformed status line");
    if (c == '\n' && p->last != '\r') return refuse(p, 400, "LF without CR");
    if (c != '\n' && p->last == '\r') return refuse(p, 400, "CR without LF");
    if (++p->guarded > p->limits.head_max) return refuse(p, 431, "the head is too long");
    p->last = c;
    *in = da_slice_make(in->ptr + 1, in->len - 1);
  }
  return DA_HTTP_MORE;
}

static bool has_line(da_slice head)
{
  return da_slice_find(head, '\n') >= 0;
}

static da_http_event feed_head(da_http_parser *p, da_slice *in)
{
  da_buf *head = &p->message.head;
  size_t room = p->limits.head_max - p->guarded;
  bool cut = in->len > room;
  bool judged = has_line(da_buf_slice(head));
  size_t taken;
  bool whole = guard(p, da_slice_make(in->ptr, cut ? room : in->len), &taken);
  da_buf_add(head, in->ptr, taken);
  *in = da_slice_make(in->ptr + taken, in->len - taken);
  p->guarded += taken;
  bool has_start = has_line(da_buf_slice(head));
  /* The first line is judged as soon as it is there: who speaks something else may never send an empty one. What the
   * guard found lies behind it, so it must not be told first. */
  if (has_start && !judged) {
    da_http_part part = p->part;
    p->part = DA_HTTP_IN_HEAD;
    if (check_start_line(p) == DA_HTTP_REFUSED) return DA_HTTP_REFUSED;
    p->part = part;
  }
  if (p->part == DA_HTTP_DEAD) return DA_HTTP_REFUSED;
  if (whole) return read_head(p);
  if (cut && !has_start && head->len > p->limits.target_max) return refuse(p, 414, "the target is too long");
  return cut ? refuse(p, 431, "the head is too long") : DA_HTTP_MORE;
}

/* Gives len bytes to llhttp, which may be none, since it has to be called again after each pause. How many it took. */
static size_t execute(da_http_parser *p, const char *at, size_t len)
{
  if (at == NULL) at = "";
  if (llhttp_get_errno(&p->llhttp) == HPE_PAUSED) llhttp_resume(&p->llhttp);
  llhttp_errno_t fault = llhttp_execute(&p->llhttp, at, len);
  if (fault == HPE_PAUSED) return (size_t)(llhttp_get_error_pos(&p->llhttp) - at);
  if (fault != HPE_OK && p->part != DA_HTTP_DEAD) (void)refuse_fault(p, fault);
  return len;
}

/* What stands behind a chunk's size (RFC 9112, 7.1.1) means nothing to anybody here. It ends before the CR. */
static size_t pass_extension(da_http_parser *p, const char *at, size_t len)
{
  for (size_t i = 0; i < len; i++) {
    uint8_t c = (uint8_t)at[i];
    p->in_extension = c != '\r' || p->in_quotes;
    if (!p->in_extension) return i;
    if ((c < ' ' && c != '\t') || c == 0x7f) {
      (void)refuse(p, 400, "a control character");
      return i;
    }
    bool quoted_pair = p->in_quotes && p->last == '\\';
    if (c == '"' && !quoted_pair) p->in_quotes = !p->in_quotes;
    p->last = quoted_pair ? 0 : c;
  }
  return len;
}

/* The line before a chunk. llhttp reads its size, but knows only some of the extensions there may be, so it is not
 * shown any; nor does it see a CR without what must follow. */
static size_t feed_chunk_line(da_http_parser *p, const char *at, size_t len)
{
  if (p->in_extension) return pass_extension(p, at, len);
  size_t n = 0;
  if (len > 0 && p->last == '\r' && at[0] != '\n') {
    (void)refuse(p, 400, "CR without LF");
    return 0;
  }
  while (n < len && at[n] != ';' && at[n] != '\r' && at[n] != '\n') n++;
  bool extended = n < len && at[n] == ';';
  if (n < len && !extended) n++;
  size_t taken = execute(p, at, n);
  if (taken > 0) p->last = (uint8_t)at[taken - 1];
  if (!extended || !p->in_chunk_line) return taken;
  p->in_extension = true;
  p->in_quotes = false;
  p->last = 0;
  return taken;
}

static da_http_event feed_body(da_http_parser *p, da_slice *in)
{
  bool chunked = (p->llhttp.flags & F_CHUNKED) != 0;
  size_t window = CHUNK_WINDOW - p->fed % CHUNK_WINDOW;
  size_t len = chunked && in->len > window ? window : in->len;
  size_t taken = p->in_chunk_line && in->len > 0 ? feed_chunk_line(p, in->ptr, len) : execute(p, in->ptr, len);
  if (p->part == DA_HTTP_DEAD) return DA_HTTP_REFUSED;
  *in = da_slice_make(in->ptr + taken, in->len - taken);
  p->fed += taken;
  if (p->ended) {
    p->part = DA_HTTP_AT_END;
    return DA_HTTP_DONE;
  }
  if (chunked && taken > 0 && p->fed % CHUNK_WINDOW == 0 &&
      p->fed - p->body_bytes > p->limits.head_max + p->body_bytes * CHUNK_FRAME_MAX)
    return refuse(p, 400, "too many bytes around too little body");
  if (p->last_chunk) {
    p->part = DA_HTTP_IN_TRAILER;
    p->last = '\n';
    p->line_is_empty = true;
  }
  return DA_HTTP_MORE;
}

/* Fields behind the last chunk are looked at like others, and passed over. */
static da_http_event feed_trailer(da_http_parser *p, da_slice *in)
{
  size_t room = p->limits.head_max - p->guarded;
  bool cut = in->len > room;
  size_t looked;
  bool whole = guard(p, da_slice_make(in->ptr, cut ? room : in->len), &looked);
  /* What llhttp says of the bytes before is said first, since it would be if they had come alone. */
  bool dead = p->part == DA_HTTP_DEAD;
  p->part = DA_HTTP_IN_TRAILER;
  size_t taken = execute(p, in->ptr, looked);
  if (dead || p->part == DA_HTTP_DEAD) {
    p->part = DA_HTTP_DEAD;
    return DA_HTTP_REFUSED;
  }
  if (whole != p->ended || taken != looked) return refuse(p, 400, "fields behind the body that end in two places");
  p->guarded += looked;
  *in = da_slice_make(in->ptr + looked, in->len - looked);
  if (p->ended) {
    p->part = DA_HTTP_AT_END;
    return DA_HTTP_DONE;
  }
  return cut ? refuse(p, 431, "the fields behind the body are too long") : DA_HTTP_MORE;
}

da_http_event da_http_parser_feed(da_http_parser *p, da_slice *in)
{
  da_http_event event = DA_HTTP_MORE;
  do {
    switch (p->part) {
    case DA_HTTP_BEFORE:
      event = feed_before(p, in);
      break;
    case DA_HTTP_IN_HEAD:
      event = feed_head(p, in);
      break;
    case DA_HTTP_IN_BODY:
      event = feed_body(p, in);
      break;
    case DA_HTTP_IN_TRAILER:
      event = feed_trailer(p, in);
      break;
    case DA_HTTP_AT_END:
      event = DA_HTTP_DONE;
      break;
    case DA_HTTP_DEAD:
      event = DA_HTTP_REFUSED;
      break;
    }
  } while (event == DA_HTTP_MORE && in->len > 0);
  return event;
}

da_http_event da_http_parser_finish(da_http_parser *p)
{
  if (p->part == DA_HTTP_DEAD) return DA_HTTP_REFUSED;
  if (p->part == DA_HTTP_AT_END) return DA_HTTP_DONE;
  if (p->part == DA_HTTP_BEFORE) return DA_HTTP_MORE;
  if (p->part == DA_HTTP_IN_BODY) {
    if (llhttp_get_errno(&p->llhttp) == HPE_PAUSED) llhttp_resume(&p->llhttp);
    (void)llhttp_finish(&p->llhttp);
  }
  if (!p->ended) return refuse(p, 400, "the connection ended inside a message");
  p->part = DA_HTTP_AT_END;
  return DA_HTTP_DONE;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void begin(da_http_parser *p)
{
  *p = (da_http_parser){.limits = p->limits, .role = p->role};
}

void da_http_parser_create(da_http_parser *p, da_http_role role, const da_http_limits *limits)
{
  *p = (da_http_parser){.limits = *limits, .role = role};
}

void da_http_parser_destroy(da_http_parser *p)
{
  da_http_message_free(&p->message);
}

void da_http_parser_take(da_http_parser *p, da_http_message *out)
{
  DA_ASSERT(p->part == DA_HTTP_AT_END);
  *out = p->message;
  begin(p);
}

void da_http_message_free(da_http_message *message)
{
  free(message->fields);
  da_buf_free(&message->head);
  da_buf_free(&message->body);
  *message = (da_http_message){0};
}

void da_http_parser_no_body(da_http_parser *p)
{
  p->no_body = true;
}

bool da_http_parser_is_busy(const da_http_parser *p)
{
  return p->part != DA_HTTP_BEFORE && p->part != DA_HTTP_AT_END;
}

const da_slice *da_http_fields_get(const da_http_field *fields, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (same_word(fields[i].name, name)) return &fields[i].value;
  return NULL;
}
