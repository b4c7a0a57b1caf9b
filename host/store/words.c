/* words.c - a store's dictionary.
 * SPDX-License-Identifier: Apache-2.0 */
#include "words.h"

#include <stdlib.h>

#include "../base/table.h"

typedef struct word {
  uint32_t code;
  uint32_t len;
  char text[];
} word;

struct da_words {
  da_table by_text;
  word *list[DA_WORDS_MAX]; /* owned; code - 1 */
  uint32_t count;
};

da_words *da_words_new(void)
{
  return da_xcalloc(1, sizeof(da_words));
}

void da_words_delete(da_words *words)
{
  if (words == NULL) return;
  da_words_cut(words, 0);
  da_table_free(&words->by_text);
  free(words);
}

static da_slice text_of(const word *w)
{
  return da_slice_make(w->text, w->len);
}

uint32_t da_words_code(da_words *words, da_slice text)
{
  if (text.len < DA_WORD_LEN_MIN || text.len > DA_WORD_LEN_MAX) return 0;
  word *known = da_table_get(&words->by_text, text);
  if (known != NULL) return known->code;
  if (words->count == DA_WORDS_MAX) return 0;
  word *w = da_xmalloc(sizeof *w + text.len);
  w->code = words->count + 1;
  w->len = (uint32_t)text.len;
  memcpy(w->text, text.ptr, text.len);
  words->list[words->count++] = w;
  (void)da_table_put(&words->by_text, text_of(w), w);
  return w->code;
}

bool da_words_text(const da_words *words, uint64_t code, da_slice *text)
{
  if (code == 0 || code > words->count) return false;
  *text = text_of(words->list[code - 1]);
  return true;
}

uint32_t da_words_count(const da_words *words)
{
  return words->count;
}

void da_words_cut(da_words *words, uint32_t count)
{
  while (words->count > count) {
    word *w = words->list[--words->count];
    (void)da_table_remove(&words->by_text, text_of(w));
    free(w);
  }
}
