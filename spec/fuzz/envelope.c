/* envelope.c - fuzzing the envelope: any bytes as a request. What was read is written again, and must be read as the
 * same; every answer is JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../host/net/envelope.h"
#include "../../host/base/json.h"
#include "../../host/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record with the request's value and tags is what an answer would hold. */
static void check_answer(const da_envelope *envelope, da_slice message)
{
  da_buf out = {0};
  const da_request *r = &envelope->request;
  const da_promise promise = {.id = r->id, .param = r->param, .value = r->value, .tags = r->tags};
  da_envelope_write_error(&out, envelope, 400, message);
  DA_ASSERT_OP(da_json_check(da_buf_slice(&out), NULL), ==, DA_OK);
  da_buf_clear(&out);
  da_envelope_write_promise(&out, &promise);
  DA_ASSERT_OP(da_json_check(da_buf_slice(&out), NULL), ==, DA_OK);
  da_buf_free(&out);
}

/* promise.create with the values read, as JSON, is read as the same values. */
static void check_again(const da_envelope *envelope, da_arena *arena)
{
  da_buf record = {0}, text = {0};
  const da_request *r = &envelope->request;
  const da_promise promise = {.id = r->id, .timeout_at = r->timeout_at, .param = r->param, .tags = r->tags};
  da_envelope_write_promise(&record, &promise);
  da_buf_addf(&text, "{\"kind\":\"promise.create\",\"head\":{\"corrId\":\"\",\"version\":\"" DA_PROTOCOL_VERSION
                     "\"},\"data\":");
  da_buf_add_slice(&text, da_buf_slice(&record));
  da_buf_addf(&text, "}");
  da_envelope again;
  DA_ASSERT(da_envelope_read(da_buf_slice(&text), arena, &again));
  DA_ASSERT(da_envelope_read_request(&again, arena));
  DA_ASSERT(da_slice_eq(again.request.id, r->id));
  DA_ASSERT_OP(again.request.timeout_at, ==, r->timeout_at);
  DA_ASSERT_OP(again.request.param.has_data, ==, r->param.has_data);
  DA_ASSERT_OP(again.request.param.encoding, ==, r->param.encoding);
  DA_ASSERT(da_slice_eq(again.request.param.data, r->param.data));
  DA_ASSERT_OP(again.request.tags.count, ==, r->tags.count);
  da_buf_free(&record);
  da_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  da_arena arena = {0};
  da_envelope envelope;
  bool read = da_envelope_read(da_slice_make((const char *)data, size), &arena, &envelope);
  if (read) da_envelope_read_scope(&envelope, &arena);
  read = read && da_envelope_read_request(&envelope, &arena);
  if (!read) DA_ASSERT_OP(envelope.status, ==, 400);
  if (!read) DA_ASSERT(envelope.message.len > 0);
  check_answer(&envelope, read ? envelope.kind : envelope.message);
  if (read && envelope.debug == DA_DEBUG_NONE) check_again(&envelope, &arena);
  da_arena_free(&arena);
  return 0;
}
