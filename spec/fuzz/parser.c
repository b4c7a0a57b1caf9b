/* parser.c - fuzz target: HTTP messages, whole and in pieces.
 *
 * Input: a byte that chooses (bit 0: responses, bit 1: HEAD was asked, bits 2 to 7: how the rest is cut), then what
 * comes over the wire. Whatever it is, the pieces must give what the whole gives, and the bounds must hold.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../../host/net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const da_http_limits limits = {.target_max = 200, .head_max = 1000, .fields_max = 10, .body_max = 5000};

static void add_message(da_buf *story, const da_http_message *m)
{
  DA_ASSERT_OP(m->target.len, <=, limits.target_max);
  DA_ASSERT_OP(m->head.len, <=, limits.head_max);
  DA_ASSERT_OP(m->field_count, <=, limits.fields_max);
  DA_ASSERT_OP(m->body.len, <=, limits.body_max);
  DA_ASSERT_OP(m->minor, <=, 1);
  da_buf_addf(story, "%.*s|%.*s|%.*s|%d|%d|%d%d%d\n", DA_FMT(m->method), DA_FMT(m->path), DA_FMT(m->query), m->status,
              m->minor, m->keep_alive, m->expects_continue, m->has_body);
  for (size_t i = 0; i < m->field_count; i++) {
    da_buf_addf(story, "%.*s=%.*s\n", DA_FMT(m->fields[i].name), DA_FMT(m->fields[i].value));
    DA_ASSERT(da_slice_find(m->fields[i].value, '\n') < 0);
    DA_ASSERT(da_slice_find(m->fields[i].value, '\r') < 0);
  }
  da_buf_add_slice(story, da_buf_slice(&m->body));
}

/* True as long as more may be fed. */
static bool feed(da_http_parser *parser, da_slice in, da_buf *story)
{
  for (;;) {
    da_http_event event = da_http_parser_feed(parser, &in);
    if (event == DA_HTTP_HEAD) {
      da_buf_add_byte(story, 'H');
    } else if (event == DA_HTTP_DONE) {
      da_http_message message;
      da_http_parser_take(parser, &message);
      add_message(story, &message);
      da_http_message_free(&message);
    } else {
      if (event == DA_HTTP_MORE) DA_ASSERT_OP(in.len, ==, 0);
      return event == DA_HTTP_MORE;
    }
  }
}

/* What is said of the bytes when they come `piece` at a time. */
static void tell(uint8_t choice, da_slice bytes, size_t piece, da_buf *story)
{
  da_http_parser parser;
  da_http_parser_create(&parser, (choice & 1) != 0 ? DA_HTTP_RESPONSES : DA_HTTP_REQUESTS, &limits);
  if ((choice & 2) != 0) da_http_parser_no_body(&parser);
  bool more = true;
  for (size_t at = 0; at < bytes.len && more;) {
    size_t len = piece < bytes.len - at ? piece : bytes.len - at;
    char *copy = malloc(len); /* of its own, so that reading past its end is seen */
    if (copy == NULL) abort();
    memcpy(copy, bytes.ptr + at, len);
    more = feed(&parser, da_slice_make(copy, len), story);
    free(copy);
    at += len;
  }
  if (more && da_http_parser_finish(&parser) == DA_HTTP_DONE) more = feed(&parser, DA_NONE, story);
  if (parser.part == DA_HTTP_DEAD) da_buf_addf(story, "%d %s", parser.refused_status, parser.refused_why);
  da_http_parser_destroy(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size == 0) return 0;
  da_slice bytes = da_slice_make((const char *)data + 1, size - 1);
  da_buf whole = {0};
  da_buf cut = {0};
  tell(data[0], bytes, bytes.len, &whole);
  tell(data[0], bytes, (data[0] >> 2) + 1u, &cut);
  DA_ASSERT(da_slice_eq(da_buf_slice(&whole), da_buf_slice(&cut)));
  da_buf_free(&whole);
  da_buf_free(&cut);
  return 0;
}
