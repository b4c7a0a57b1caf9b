/* json_read.h - reads JSON member by member, without a tree: integers keep all 64 bits, strings may hold U+0000.
 *
 * Here:     what json.h cannot do with cJSON, for text that came over a network.
 * May not:  judge: the text must have passed da_json_check(), which nothing here repeats.
 * How:      an item is the text of one value. A walk steps over the members of an object or the elements of an array
 *           and passes over what nobody looks at; it never recurses, so depth costs nothing.
 * Memory:   an item points into the text; a string with escapes is written into the arena, any other is not copied.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_JSON_READ_H
#define DA_BASE_JSON_READ_H

#include "arena.h"

typedef enum da_json_kind {
  DA_JSON_NULL,
  DA_JSON_BOOLEAN,
  DA_JSON_NUMBER,
  DA_JSON_STRING,
  DA_JSON_ARRAY,
  DA_JSON_OBJECT
} da_json_kind;

typedef struct da_json_item {
  da_json_kind kind;
  da_slice text; /* "{...}", "\"...\"", "-12": without white space around it */
} da_json_item;

typedef struct da_json_walk {
  const char *at;
  const char *end;
  bool members; /* of an object */
} da_json_walk;

da_json_item da_json_item_of(da_slice text);

/* item: an array or an object. */
da_json_walk da_json_walk_of(da_json_item item);
/* False: no more. name, with its escapes resolved, is set for members only. */
bool da_json_walk_next(da_json_walk *walk, da_arena *arena, da_slice *name, da_json_item *item);

/* The characters of a string. ptr is never NULL, for the empty one neither. */
da_slice da_json_item_string(da_json_item item, da_arena *arena);
/* False unless the item is a number without fraction and exponent that fits. */
bool da_json_item_int(da_json_item item, int64_t *out);

#endif
