/* where.c - conditions on executions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "where.h"

#include "../base/clock.h"
#include "text.h"

typedef enum term_name { ID, FUNC, STATE, PARKED, AWAITS, OLDER, YOUNGER, TAG, PUBLISHED, NAME_COUNT } term_name;

static const char *const names[NAME_COUNT] = {"id",    "func",    "state", "parked",    "awaits",
                                              "older", "younger", "tag.",  "published."};
static const char *const states[] = {"running",  "suspended", "completed", "parked",  "all",
                                     "resolved", "rejected",  "canceled",  "timedout"};
enum { STATE_COUNT = sizeof states / sizeof *states, FIRST_END = 5, TERMS_MAX = 16 };

typedef struct term {
  term_name name;
  bool not ;
  da_slice key; /* tag, published */
  da_slice value;
  int64_t ms; /* older, younger */
} term;

struct cli_where {
  term terms[TERMS_MAX];
  size_t count;
};

/* ---- reading ------------------------------------------------------------------------------------------- */

static da_slice trimmed(da_slice s)
{
  while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s = da_slice_make(s.ptr + 1, s.len - 1);
  while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
  return s;
}

/* Bytes of the joint that stands at i: a comma, or `and` between blanks; 0 if there is none. */
static size_t joint_at(da_slice text, size_t i)
{
  if (text.ptr[i] == ',') return 1;
  return da_slice_starts(da_slice_make(text.ptr + i, text.len - i), DA_LIT(" and ")) ? 5 : 0;
}

/* Cuts the first term off *rest. */
static da_slice take_term(da_slice *rest)
{
  char quote = '\0';
  size_t i = 0;
  size_t joint = 0;
  for (; i < rest->len; i++) {
    char c = rest->ptr[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if ((joint = joint_at(*rest, i)) > 0) {
      break;
    }
  }
  da_slice one = trimmed(da_slice_make(rest->ptr, i));
  *rest = i < rest->len ? da_slice_make(rest->ptr + i + joint, rest->len - i - joint) : DA_NONE;
  return one;
}

static da_slice unquoted(da_slice value)
{
  char first = value.len >= 2 ? value.ptr[0] : '\0';
  if ((first != '\'' && first != '"') || value.ptr[value.len - 1] != first) return value;
  return da_slice_make(value.ptr + 1, value.len - 2);
}

static da_status unknown_name(da_slice name, da_err *err)
{
  cli_nearest nearest = {.wanted = name};
  for (int i = 0; i < NAME_COUNT; i++) {
    if (da_slice_eq(name, da_slice_of(names[i])))
      return da_fail(err, DA_EINVAL, "'%.*s' wants a key: %.*sKEY=VALUE", DA_FMT(name), DA_FMT(name));
    cli_nearest_offer(&nearest, da_slice_of(names[i]));
  }
  return da_fail(err, DA_EINVAL,
                 "no condition '%.*s'%s%.*s%s; there are id, func, state, parked, awaits, older, younger, tag.KEY and "
                 "published.KEY",
                 DA_FMT(name), nearest.best.len > 0 ? " (did you mean '" : "", DA_FMT(nearest.best),
                 nearest.best.len > 0 ? "'?)" : "");
}

static da_status read_name(da_slice name, term *out, da_err *err)
{
  for (int i = 0; i < NAME_COUNT; i++) {
    da_slice known = da_slice_of(names[i]);
    bool keyed = i == TAG || i == PUBLISHED;
    if (keyed ? name.len <= known.len || !da_slice_starts(name, known) : !da_slice_eq(name, known)) continue;
    out->name = (term_name)i;
    if (keyed) out->key = da_slice_make(name.ptr + known.len, name.len - known.len);
    return DA_OK;
  }
  return unknown_name(name, err);
}

static da_status check_state(da_slice value, da_err *err)
{
  cli_nearest nearest = {.wanted = value};
  for (int i = 0; i < STATE_COUNT; i++) {
    if (da_slice_eq(value, da_slice_of(states[i]))) return DA_OK;
    cli_nearest_offer(&nearest, da_slice_of(states[i]));
  }
  return da_fail(err, DA_EINVAL,
                 "no state '%.*s'%s%.*s%s; there are running, suspended, completed, parked, all, resolved, rejected, "
                 "canceled, timedout",
                 DA_FMT(value), nearest.best.len > 0 ? " (did you mean '" : "", DA_FMT(nearest.best),
                 nearest.best.len > 0 ? "'?)" : "");
}

static da_status read_value(term *t, da_arena *arena, da_err *err)
{
  if (t->name == STATE) return check_state(t->value, err);
  if (t->name != OLDER && t->name != YOUNGER) return DA_OK;
  da_slice text = da_arena_join(arena, (da_slice[]){t->value, DA_LIT("\0")}, 2);
  if (!t->not &&cli_duration_read(text.ptr, &t->ms)) return DA_OK;
  return da_fail(err, DA_EINVAL, "'%s' wants a duration (%s=90, %s=1h30m, %s=3d), not '%s%.*s'", names[t->name],
                 names[t->name], names[t->name], names[t->name], t->not ? "!" : "", DA_FMT(t->value));
}

static da_status read_term(da_slice text, da_arena *arena, term *out, da_err *err)
{
  ptrdiff_t equals = da_slice_find(text, '=');
  if (equals <= 0) return da_fail(err, DA_EINVAL, "'%.*s' is no condition: write NAME=VALUE", DA_FMT(text));
  da_slice name = da_slice_make(text.ptr, (size_t)equals);
  out->not = name.ptr[name.len - 1] == '!';
  if (out->not ) name.len--;
  out->value = unquoted(trimmed(da_slice_make(text.ptr + equals + 1, text.len - (size_t)equals - 1)));
  da_status status = read_name(trimmed(name), out, err);
  return status == DA_OK ? read_value(out, arena, err) : status;
}

da_status cli_where_read(da_slice text, da_arena *arena, cli_where **out, da_err *err)
{
  cli_where *where = da_arena_zalloc(arena, sizeof *where);
  da_status status = DA_OK;
  *out = where;
  if (trimmed(text).len == 0)
    return da_fail(err, DA_EINVAL, "no condition: write for example func=order, state=parked, older=1h");
  while (text.ptr != NULL && status == DA_OK) {
    if (where->count == TERMS_MAX) return da_fail(err, DA_EINVAL, "more than %d conditions", TERMS_MAX);
    status = read_term(take_term(&text), arena, &where->terms[where->count++], err);
  }
  return status;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

/* '*' stands for any text. */
static bool is_like(da_slice text, da_slice pattern)
{
  size_t t = 0;
  size_t p = 0;
  size_t star = SIZE_MAX; /* the last one met, and where the text behind it was taken up */
  size_t from = 0;
  while (t < text.len) {
    if (p < pattern.len && pattern.ptr[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.len && pattern.ptr[p] == '*') p++;
  return p == pattern.len;
}

bool cli_published_is(const cJSON *row, da_slice key, da_slice text)
{
  cJSON *all = da_json_parse(da_json_text(row, "$published"), NULL);
  bool is = false;
  const cJSON *item;
  cJSON_ArrayForEach(item, all)
  {
    if (!da_slice_eq(da_slice_of(item->string), key)) continue;
    da_buf json = {0};
    da_json_print(item, &json);
    const char *words = cJSON_GetStringValue(item);
    is = is_like(da_buf_slice(&json), text) || (words != NULL && is_like(da_slice_of(words), text));
    da_buf_free(&json);
  }
  cJSON_Delete(all);
  return is;
}

static bool awaits(const cJSON *row, da_slice pattern)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, da_json_get(row, "awaits"))
  {
    if (is_like(da_slice_of(cJSON_GetStringValue(item)), pattern)) return true;
  }
  return false;
}

static bool state_is(const cJSON *row, da_slice wanted)
{
  da_slice state = da_json_text(row, "state");
  bool ended = da_slice_eq(state, DA_LIT("completed"));
  return da_slice_eq(wanted, DA_LIT("all")) || da_slice_eq(wanted, state) ||
         (ended && da_slice_eq(wanted, da_json_text(row, "promise")));
}

static bool tag_is(const da_promise *promise, const term *t)
{
  const da_slice *tag = da_map_get(promise->tags, t->key);
  return tag != NULL && is_like(*tag, t->value);
}

/* Without a row: what the record alone tells; the rest holds. */
static bool term_holds(const term *t, const da_promise *promise, const cJSON *row)
{
  switch (t->name) {
  case ID:
    return is_like(promise->id, t->value) != t->not ;
  case FUNC:
    return is_like(promise->call.func, t->value) != t->not ;
  case TAG:
    return tag_is(promise, t) != t->not ;
  case OLDER:
    return promise->created_at <= da_clock_now_ms() - t->ms;
  case YOUNGER:
    return promise->created_at > da_clock_now_ms() - t->ms;
  case STATE:
    return row == NULL || state_is(row, t->value) != t->not ;
  case PARKED:
    return row == NULL || (da_json_get(row, "parked") != NULL &&
                           is_like(da_json_text(da_json_get(row, "parked"), "code"), t->value) != t->not );
  case AWAITS:
    return row == NULL || awaits(row, t->value) != t->not ;
  case PUBLISHED:
    return row == NULL || cli_published_is(row, t->key, t->value) != t->not ;
  case NAME_COUNT:
    break;
  }
  return false;
}

bool cli_where_may(const cli_where *where, const da_promise *promise)
{
  for (size_t i = 0; i < where->count; i++)
    if (!term_holds(&where->terms[i], promise, NULL)) return false;
  return true;
}

bool cli_where_holds(const cli_where *where, const da_promise *promise, const cJSON *row)
{
  bool named = false;
  for (size_t i = 0; i < where->count; i++) {
    if (!term_holds(&where->terms[i], promise, row)) return false;
    if (where->terms[i].name == STATE && !where->terms[i].not ) named = true;
  }
  return named || !da_slice_eq(da_json_text(row, "state"), DA_LIT("completed"));
}

bool cli_where_any_depth(const cli_where *where)
{
  for (size_t i = 0; i < where->count; i++) {
    const term *t = &where->terms[i];
    if (t->not ) continue;
    if (t->name == PARKED || (t->name == STATE && da_slice_eq(t->value, DA_LIT("parked")))) return true;
    if (t->name == ID && da_slice_find(t->value, ':') >= 0) return true;
  }
  return false;
}

bool cli_where_finished(const cli_where *where)
{
  for (size_t i = 0; i < where->count; i++) {
    const term *t = &where->terms[i];
    if (t->name != STATE || t->not ) continue;
    if (da_slice_eq(t->value, DA_LIT("completed")) || da_slice_eq(t->value, DA_LIT("all"))) return true;
    for (int k = FIRST_END; k < STATE_COUNT; k++)
      if (da_slice_eq(t->value, da_slice_of(states[k]))) return true;
  }
  return false;
}

da_slice cli_where_begins(const cli_where *where)
{
  for (size_t i = 0; i < where->count; i++) {
    const term *t = &where->terms[i];
    if (t->name != ID || t->not ) continue;
    ptrdiff_t star = da_slice_find(t->value, '*');
    return da_slice_make(t->value.ptr, star >= 0 ? (size_t)star : t->value.len);
  }
  return DA_NONE;
}
