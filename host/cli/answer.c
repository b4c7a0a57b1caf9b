/* answer.c - the envelope around a request of the protocol, and that around its answer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include "../base/json.h"
#include "../base/json_read.h"
#include "../net/envelope.h"
#include "json_text.h"

void cli_envelope_text(da_buf *out, const char *kind, da_slice corr_id, da_slice token, da_slice data)
{
  da_buf_addf(out, "{\"kind\":\"%s\",\"head\":{\"corrId\":\"%.*s\",\"version\":\"" DA_PROTOCOL_VERSION "\"", kind,
              DA_FMT(corr_id));
  if (token.len > 0) (void)cli_put_text(out, "auth", token); /* it is ASCII */
  da_buf_addf(out, "},\"data\":%.*s}", DA_FMT(data));
}

typedef struct head {
  da_slice corr_id;
  int64_t status;
  bool has_status;
} head;

static void read_head(da_json_item item, da_arena *arena, head *out)
{
  da_json_walk walk = da_json_walk_of(item);
  da_slice name;
  da_json_item member;
  while (da_json_walk_next(&walk, arena, &name, &member)) {
    if (da_slice_eq(name, DA_LIT("status"))) out->has_status = da_json_item_int(member, &out->status);
    if (da_slice_eq(name, DA_LIT("corrId")) && member.kind == DA_JSON_STRING)
      out->corr_id = da_json_item_string(member, arena);
  }
}

static const char *read_envelope(cli_answer *answer, const char *kind, da_slice corr_id, da_arena *arena)
{
  da_json_item whole = da_json_item_of(da_buf_slice(&answer->text));
  if (whole.kind != DA_JSON_OBJECT) return "JSON, but no object";
  da_json_walk walk = da_json_walk_of(whole);
  da_slice name, answered = DA_NONE;
  da_json_item member;
  head h = {0};
  answer->data = DA_NONE;
  while (da_json_walk_next(&walk, arena, &name, &member)) {
    if (da_slice_eq(name, DA_LIT("kind")) && member.kind == DA_JSON_STRING)
      answered = da_json_item_string(member, arena);
    if (da_slice_eq(name, DA_LIT("head")) && member.kind == DA_JSON_OBJECT) read_head(member, arena, &h);
    if (da_slice_eq(name, DA_LIT("data"))) answer->data = member.text;
  }
  if (answered.len == 0) return "JSON without a kind";
  if (!h.has_status || h.status < 100 || h.status > 599) return "JSON without a head that has a status";
  if (answer->data.len == 0) return "JSON without data";
  answer->status = (int)h.status;
  /* A refusal may come from before kind and corrId could be read. */
  bool ours = da_slice_eq(answered, da_slice_of(kind)) && da_slice_eq(h.corr_id, corr_id);
  return ours || h.status >= 400 ? NULL : "the answer to another request";
}

da_status cli_answer_read(cli_answer *answer, const char *kind, da_slice corr_id, da_err *err)
{
  da_arena arena = {0};
  if (da_json_check(da_buf_slice(&answer->text), err) != DA_OK) return DA_EINVAL;
  const char *fault = read_envelope(answer, kind, corr_id, &arena);
  da_arena_free(&arena);
  return fault == NULL ? DA_OK : da_fail(err, DA_EINVAL, "%s", fault);
}
