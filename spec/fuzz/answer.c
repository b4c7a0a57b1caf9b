/* answer.c - fuzzing what a client reads: any bytes as a server's answer, or as a message. What is accepted has all
 * that is looked at, and written as an answer again it is read as the same. The first byte is the kind that was asked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../host/net/envelope_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_success(const da_reply *reply)
{
  return reply->status == 200 || reply->status == 300;
}

static void same_promise(const da_promise *a, const da_promise *b)
{
  DA_ASSERT(da_slice_eq(a->id, b->id));
  DA_ASSERT_OP(a->state, ==, b->state);
  DA_ASSERT_OP(a->timeout_at, ==, b->timeout_at);
  DA_ASSERT_OP(a->created_at, ==, b->created_at);
  DA_ASSERT_OP(a->value.has_data, ==, b->value.has_data);
  DA_ASSERT_OP(a->value.encoding, ==, b->value.encoding);
  DA_ASSERT(da_slice_eq(a->value.data, b->value.data));
  DA_ASSERT(da_slice_eq(a->param.data, b->param.data));
  DA_ASSERT_OP(a->tags.count, ==, b->tags.count);
}

static void same_task(const da_task *a, const da_task *b)
{
  DA_ASSERT(da_slice_eq(a->id, b->id));
  DA_ASSERT_OP(a->state, ==, b->state);
  DA_ASSERT_OP(a->version, ==, b->version);
  DA_ASSERT_OP(a->resumes, ==, b->resumes);
}

/* What an answer to that kind of request has. */
static void same_records(da_req_kind kind, const da_reply *a, const da_reply *b)
{
  bool lease = kind == DA_REQ_TASK_ACQUIRE || kind == DA_REQ_TASK_CREATE;
  if (b->promise != NULL) same_promise(a->promise, b->promise);
  if (b->task != NULL) same_task(a->task, b->task);
  if (b->schedule != NULL) DA_ASSERT(da_slice_eq(a->schedule->id, b->schedule->id));
  if (lease || kind == DA_REQ_TASK_FENCE) DA_ASSERT_OP(a->preload_count, ==, b->preload_count);
  for (size_t i = 0; i < b->preload_count; i++) same_promise(&a->preload[i], &b->preload[i]);
  for (size_t i = 0; i < b->promise_count; i++) same_promise(&a->promises[i], &b->promises[i]);
  for (size_t i = 0; i < b->task_count; i++) same_task(&a->tasks[i], &b->tasks[i]);
  for (size_t i = 0; i < b->schedule_count; i++) DA_ASSERT(da_slice_eq(a->schedules[i].id, b->schedules[i].id));
}

static void same_reply(da_req_kind kind, const da_reply *a, const da_reply *b)
{
  DA_ASSERT_OP(a->status, ==, b->status);
  DA_ASSERT(da_slice_eq(a->message, b->message));
  if (!is_success(a)) return;
  same_records(kind, a, b);
  if (kind != DA_REQ_TASK_FENCE) return;
  DA_ASSERT(a->inner != NULL && b->inner != NULL);
  same_reply(DA_REQ_PROMISE_GET, a->inner, b->inner);
}

static void check_again(da_req_kind kind, const da_client_answer *answer, da_arena *arena)
{
  da_buf text = {0};
  da_err err;
  da_client_answer again;
  const da_envelope envelope = {
      .kind = da_slice_of(da_req_kind_name(kind)), .corr_id = answer->corr_id, .request = {.kind = kind}};
  da_envelope_write(&text, &envelope, &answer->reply);
  DA_ASSERT(da_envelope_read_answer(da_buf_slice(&text), kind, arena, &again, &err));
  DA_ASSERT(da_slice_eq(again.corr_id, answer->corr_id));
  if (is_success(&again.reply)) DA_ASSERT_OP(again.whole, ==, answer->whole);
  same_reply(kind, &answer->reply, &again.reply);
  da_buf_free(&text);
}

static void check_message(da_slice text, da_arena *arena)
{
  da_err err = {0};
  da_message message;
  da_promise promise;
  if (!da_envelope_read_message(text, arena, &message, &promise, &err)) {
    DA_ASSERT(err.text[0] != '\0');
    return;
  }
  da_buf out = {0};
  da_message again;
  da_promise promise_again;
  da_envelope_write_message(&out, &message, &promise, DA_NONE);
  DA_ASSERT(da_envelope_read_message(da_buf_slice(&out), arena, &again, &promise_again, &err));
  DA_ASSERT(da_slice_eq(message.id, again.id));
  DA_ASSERT_OP(message.version, ==, again.version);
  if (message.kind == DA_UNBLOCK) same_promise(&promise, &promise_again);
  da_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size == 0) return 0;
  da_arena arena = {0};
  da_err err = {0};
  da_client_answer answer;
  da_slice text = da_slice_make((const char *)data + 1, size - 1);
  da_req_kind kind = (da_req_kind)(data[0] % (DA_REQ_SCHEDULE_SEARCH + 1));
  if (da_envelope_read_answer(text, kind, &arena, &answer, &err))
    check_again(kind, &answer, &arena);
  else
    DA_ASSERT(err.text[0] != '\0');
  check_message(text, &arena);
  da_arena_free(&arena);
  return 0;
}
