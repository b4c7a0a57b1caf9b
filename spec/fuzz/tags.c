/* tags.c - fuzz target: what the tags of a promise say, and lineages.
 *
 * Input: a byte that chooses the dialect, then lines: the id, the deadline in decimal, and KEY=VALUE each. Origins are
 * compared both ways round, and a promise that may be made may be made again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../../host/engine/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TAGS_MAX = 16 };

static da_slice line(da_slice *rest)
{
  ptrdiff_t end = da_slice_find(*rest, '\n');
  da_slice first = da_slice_make(rest->ptr, end < 0 ? rest->len : (size_t)end);
  size_t skip = first.len + (end < 0 ? 0 : 1);
  *rest = da_slice_make(rest->ptr + skip, rest->len - skip);
  return first;
}

static int by_key(const void *a, const void *b)
{
  return da_slice_cmp(((const da_pair *)a)->key, ((const da_pair *)b)->key);
}

/* Sorted by key, each once, as every map of tags is. */
static size_t read_tags(da_slice rest, da_pair *tags)
{
  size_t count = 0;
  while (rest.len > 0 && count < TAGS_MAX) {
    da_slice one = line(&rest);
    ptrdiff_t equals = da_slice_find(one, '=');
    size_t key = equals < 0 ? one.len : (size_t)equals;
    size_t skip = key + (equals < 0 ? 0 : 1);
    tags[count].key = da_slice_make(one.ptr, key);
    tags[count++].value = da_slice_make(one.ptr + skip, one.len - skip);
  }
  qsort(tags, count, sizeof *tags, by_key);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (kept == 0 || !da_slice_eq(tags[kept - 1].key, tags[i].key)) tags[kept++] = tags[i];
  return kept;
}

static void check_tags(const da_profile *profile, da_slice id, da_map tags, int64_t timeout_at)
{
  const char *why = da_rule_lineage_fault(profile, id, tags, timeout_at);
  const da_slice *origin = da_map_get(tags, DA_TAG_ORIGIN);
  const da_slice *delay = da_map_get(tags, DA_TAG_DELAY);
  if (why != NULL) {
    DA_ASSERT_OP(why[0], !=, '\0');
    return;
  }
  DA_ASSERT(da_slice_find(id, '\0') < 0);
  if (origin != NULL && profile->id_dialect != DA_DIALECT_OFF) {
    DA_ASSERT(da_slice_starts(id, *origin));
    DA_ASSERT(da_rule_same_origin(profile, id, *origin));
  }
  if (delay != NULL) {
    DA_ASSERT_OP(da_rule_delay(*delay), >=, 0);
    DA_ASSERT_OP(da_rule_delay(*delay), <, timeout_at);
  }
  const da_promise promise = {.id = id, .tags = tags, .timeout_at = timeout_at};
  DA_ASSERT(da_rule_is_live(&promise, timeout_at - 1));
  DA_ASSERT(!da_rule_is_live(&promise, timeout_at));
  DA_ASSERT_OP(da_rule_projected(&promise, timeout_at).state, ==, da_rule_verdict(&promise));
  (void)da_rule_is_external(&promise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size == 0) return 0;
  da_profile profile = da_profile_default;
  profile.id_dialect = data[0] & 3;
  da_slice rest = da_slice_make((const char *)data + 1, size - 1);
  da_slice id = line(&rest);
  int64_t timeout_at = da_rule_delay(line(&rest));
  da_pair tags[TAGS_MAX];
  const da_map map = {.items = tags, .count = read_tags(rest, tags)};
  check_tags(&profile, id, map, timeout_at);
  for (size_t i = 0; i < map.count; i++) {
    da_slice a = map.items[i].key;
    da_slice b = map.items[i].value;
    DA_ASSERT(da_rule_same_origin(&profile, a, a));
    DA_ASSERT_OP(da_rule_same_origin(&profile, a, b), ==, da_rule_same_origin(&profile, b, a));
    DA_ASSERT(da_rule_tag_is(map, a, b));
  }
  return 0;
}
