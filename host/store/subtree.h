/* subtree.h - where in a map the ids below an ancestor lie.
 *
 * Below `root` and below `root:a.1` lie neighbours in key order, but two things make it less than one range. The
 * separator may be '.' or ':' (an id of the other dialect), and other ids sort between the two. And long ids are keyed
 * by their first bytes and a hash: those of one beginning lie together, in no order, and have to be told apart by
 * their full text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_SUBTREE_H
#define DA_STORE_SUBTREE_H

#include "../base/id.h"
#include "rows.h"

typedef struct da_subtree {
  uint64_t root;
  da_slice rest;    /* of the ancestor; borrowed */
  da_key ranges[2]; /* beginnings of keys, in any map whose keys begin with an id */
  size_t count;
  bool filter; /* rows of the range are to be asked whether they really lie below */
} da_subtree;

/* The ranges (key prefixes, in order) that hold everything below root|rest, itself not among it. */
void da_subtree_make(da_subtree *tree, uint64_t root, da_slice rest);
/* The whole rest of a row. Borrowed from the row. */
static inline da_slice da_prom_row_rest(const da_prom_row *row)
{
  return row->id.is_long ? row->head.text : row->id.rest;
}
static inline bool da_subtree_holds(const da_subtree *tree, const da_prom_row *row)
{
  return !tree->filter || da_id_below(da_prom_row_rest(row), tree->rest);
}

/* The first row below ancestor and behind the id `after` (ptr NULL: the very first), its id in arena: 1, 0, negative.
 * First those of its own root in key order, then, if it is a root, those of the roots `ancestor.` begins. */
int da_subtree_next(da_store *store, da_slice ancestor, da_slice after, da_arena *arena, da_prom_row *row,
                    da_slice *id);

/* A walk in key order that jumps over what lies below promises with a task of their own. */
typedef struct da_pass {
  da_store *store;
  const da_subtree *tree;
  da_arena *arena;
  da_store_visit *visit;
  void *user;
  bool stopped;
  /* Rests of the promises with a task of their own whose descendants may still follow: each begins the next, so the
   * last and the lengths of all are enough. Ids that sort between a parent and its child (`k=1`, `k=1-b`, `k=1.x`)
   * are why one is not. */
  char last[DA_ID_REST_KEY_MAX];
  size_t lens[DA_ID_REST_KEY_MAX];
  size_t depth;
} da_pass;

/* Looks at the row (*key, *value): visits it, if `wanted`, or knows that it is hidden; and steps both on, behind all
 * that is. What a step is: 1, 0 at the end of the map, negative. */
int da_pass_step(da_pass *pass, bool wanted, const da_prom_row *row, da_slice *key, da_slice *value);
/* Steps on behind all that lies below rest[0, len). */
int da_pass_jump(da_pass *pass, da_slice rest, size_t len, da_slice *key, da_slice *value);

#endif
