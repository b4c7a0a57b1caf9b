/* settings.c - fuzz target: the file of settings.
 *
 * Whatever the bytes are, a name that is told is made of names, no text holds a NUL, no name is told twice, and a text
 * that is written is read back the same.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../host/base/table.h"
#include "../../host/base/text.h"
#include "../../host/cli/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct story {
  da_arena arena;
  da_table names;
  bool shallow; /* of a text that was written here */
  da_slice text;
} story;

static cli_file_taker take;

static void check_text(da_slice text)
{
  story again = {.shallow = true};
  da_buf line = {0};
  DA_ASSERT(da_slice_find(text, '\0') < 0);
  DA_ASSERT(da_text_utf8(text));
  da_buf_addf(&line, "x = ");
  DA_ASSERT(cli_file_quote(&line, text));
  DA_ASSERT(da_slice_find(da_buf_slice(&line), '\n') < 0);
  DA_ASSERT_OP(cli_file_read(da_buf_slice(&line), "", &again.arena, take, &again, NULL), ==, DA_OK);
  DA_ASSERT(da_slice_eq(again.text, text));
  da_buf_free(&line);
  da_arena_free(&again.arena);
}

static da_status take(void *user, const cli_file_item *item, da_err *err)
{
  story *s = user;
  (void)err;
  s->text = item->text;
  if (s->shallow) return DA_OK;
  DA_ASSERT_OP(item->name.len, >, 0);
  DA_ASSERT_OP(item->line, >, 0);
  for (size_t i = 0; i < item->name.len; i++) {
    char c = item->name.ptr[i];
    DA_ASSERT((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '.');
  }
  DA_ASSERT(da_table_put(&s->names, item->name, s) == NULL);
  if (item->type == CLI_FILE_TEXT) check_text(item->text);
  if (item->type == CLI_FILE_SWITCH) DA_ASSERT(item->number == 0 || item->number == 1);
  for (size_t i = 0; i < item->count; i++) check_text(item->list[i]);
  return DA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  story s = {0};
  da_err err = {{0}};
  da_status status = cli_file_read(da_slice_make((const char *)data, size), "f", &s.arena, take, &s, &err);
  DA_ASSERT_OP(err.text[0] != '\0', ==, status != DA_OK);
  if (status != DA_OK) DA_ASSERT(strncmp(err.text, "f:", 2) == 0);
  da_table_free(&s.names);
  da_arena_free(&s.arena);
  return 0;
}
