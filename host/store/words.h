/* words.h - a store's dictionary: texts that many records hold, each written once.
 *
 * File and function names, bundle hashes and targets stand in every record of a kind; a number of one or two bytes
 * stands for them. This is the dictionary in memory; rows.c writes what is new to `word`, with the record that needs
 * it, and an abort takes it back. Bounded: when it is full, or a text is too short or too long to be worth it, the
 * record holds the text itself, so that nobody can fill the memory with names.
 * Threads: that of the store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_WORDS_H
#define DA_STORE_WORDS_H

#include "../base/bytes.h"

enum { DA_WORDS_MAX = 4096, DA_WORD_LEN_MIN = 3, DA_WORD_LEN_MAX = 64 };

typedef struct da_words da_words;

da_words *da_words_new(void);
void da_words_delete(da_words *words);
/* The number of a text, from 1, given now if need be; 0: there is none, write the text. */
uint32_t da_words_code(da_words *words, da_slice text);
/* The text of a number. Borrowed until da_words_cut(). */
bool da_words_text(const da_words *words, uint64_t code, da_slice *text);
uint32_t da_words_count(const da_words *words);
/* Forgets all but the first `count`. */
void da_words_cut(da_words *words, uint32_t count);

#endif
