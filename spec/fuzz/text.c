/* text.c - fuzzing base64, quoting and the reader of JSON: what was written is read as the same, what was read is
 * written as it was.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../host/base/text.h"
#include "../../host/base/json.h"
#include "../../host/base/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_base64(da_slice bytes, da_arena *arena)
{
  da_buf out = {0};
  da_text_base64(&out, bytes);
  ptrdiff_t len = da_text_base64_len(da_buf_slice(&out));
  DA_ASSERT_OP(len, ==, (ptrdiff_t)bytes.len);
  char *back = da_arena_alloc(arena, bytes.len);
  DA_ASSERT(da_text_base64_read(da_buf_slice(&out), back));
  DA_ASSERT(da_slice_eq(da_slice_make(back, bytes.len), bytes));
  /* The same bytes as base64: one spelling. */
  len = da_text_base64_len(bytes);
  if (len >= 0) {
    back = da_arena_alloc(arena, (size_t)len);
    if (da_text_base64_read(bytes, back)) {
      da_buf_clear(&out);
      da_text_base64(&out, da_slice_make(back, (size_t)len));
      DA_ASSERT(da_slice_eq(da_buf_slice(&out), bytes));
    }
  }
  da_buf_free(&out);
}

static void check_quote(da_slice bytes, da_arena *arena)
{
  da_buf out = {0};
  bool whole = da_text_quote(&out, bytes);
  DA_ASSERT_OP(whole, ==, da_text_utf8(bytes));
  if (!whole) da_text_quote_lossy(&out, bytes);
  DA_ASSERT_OP(da_json_check(da_buf_slice(&out), NULL), ==, DA_OK);
  da_slice back = da_json_item_string(da_json_item_of(da_buf_slice(&out)), arena);
  if (whole) DA_ASSERT(da_slice_eq(back, bytes));
  da_buf_free(&out);
}

/* Of each container, one level down, every member lies within it and is JSON itself. */
static void check_walk(da_slice text, da_arena *arena)
{
  if (da_json_check(text, NULL) != DA_OK) return;
  da_json_item item = da_json_item_of(text);
  int64_t number;
  if (item.kind == DA_JSON_STRING) (void)da_json_item_string(item, arena);
  if (da_json_item_int(item, &number)) DA_ASSERT_OP(item.kind, ==, DA_JSON_NUMBER);
  if (item.kind != DA_JSON_ARRAY && item.kind != DA_JSON_OBJECT) return;
  da_slice name = DA_NONE;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, arena, &name, &member);) {
    DA_ASSERT(member.text.ptr > item.text.ptr);
    DA_ASSERT(member.text.ptr + member.text.len < item.text.ptr + item.text.len);
    DA_ASSERT_OP(da_json_check(member.text, NULL), ==, DA_OK);
    DA_ASSERT(da_text_utf8(name));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  da_arena arena = {0};
  da_slice bytes = da_slice_make(size > 0 ? (const char *)data : "", size);
  check_base64(bytes, &arena);
  check_quote(bytes, &arena);
  check_walk(bytes, &arena);
  da_arena_free(&arena);
  return 0;
}
