/* rule.c - the protocol's rules about one record, one id, one tag, one address.
 * SPDX-License-Identifier: Apache-2.0 */
#include "rule.h"

#include "../base/id.h"
#include "../base/limits.h"

/* ---- records ------------------------------------------------------------------------------------------- */

bool da_rule_tag_is(da_map tags, da_slice key, da_slice value)
{
  const da_slice *v = da_map_get(tags, key);
  return v != NULL && da_slice_eq(*v, value);
}

bool da_rule_tags_hold(da_map tags, da_map wanted)
{
  for (size_t i = 0; i < wanted.count; i++)
    if (!da_rule_tag_is(tags, wanted.items[i].key, wanted.items[i].value)) return false;
  return true;
}

bool da_rule_is_timer(const da_promise *promise)
{
  return da_rule_tag_is(promise->tags, DA_TAG_TIMER, DA_LIT("true"));
}

bool da_rule_is_external(const da_promise *promise)
{
  return da_map_get(promise->tags, DA_TAG_TARGET) != NULL || da_rule_is_timer(promise) ||
         da_rule_tag_is(promise->tags, DA_TAG_EXTERNAL, DA_LIT("true")) ||
         da_rule_tag_is(promise->tags, DA_TAG_SCOPE, DA_LIT("global"));
}

bool da_rule_is_live(const da_promise *promise, int64_t now_ms)
{
  return promise->state == DA_PENDING && now_ms < promise->timeout_at;
}

da_promise_state da_rule_verdict(const da_promise *promise)
{
  return da_rule_is_timer(promise) ? DA_RESOLVED : DA_TIMEDOUT;
}

da_promise da_rule_projected(const da_promise *promise, int64_t now_ms)
{
  da_promise p = *promise;
  if (p.state == DA_PENDING && now_ms >= p.timeout_at) {
    p.state = da_rule_verdict(promise);
    p.settled_at = p.timeout_at;
  }
  return p;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

int64_t da_rule_delay(da_slice text)
{
  int64_t n = 0;
  if (text.len == 0) return -1;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return -1;
    int digit = text.ptr[i] - '0';
    if (n > (INT64_MAX - digit) / 10) return -1;
    n = n * 10 + digit;
  }
  return n;
}

int64_t da_rule_later(int64_t now_ms, int64_t ms)
{
  return ms >= DA_TIME_MAX || now_ms >= DA_TIME_MAX - ms ? DA_TIME_MAX : now_ms + ms;
}

/* ---- lineage ------------------------------------------------------------------------------------------- */

static da_slice before(da_slice id, char separator)
{
  ptrdiff_t at = da_slice_find(id, separator);
  return at < 0 ? id : da_slice_make(id.ptr, (size_t)at);
}

static bool same_before(da_slice a, da_slice b, char separator)
{
  return da_slice_eq(before(a, separator), before(b, separator));
}

bool da_rule_same_origin(const da_profile *profile, da_slice a, da_slice b)
{
  switch (profile->id_dialect) {
  case DA_DIALECT_ANY:
    return same_before(a, b, ':') || same_before(a, b, '.');
  case DA_DIALECT_COLON:
    return same_before(a, b, ':');
  case DA_DIALECT_DOT:
    return same_before(a, b, '.');
  case DA_DIALECT_OFF:
    break;
  }
  return true;
}

static bool joined(da_slice id, da_slice ancestor, char separator)
{
  return id.len > ancestor.len && da_slice_starts(id, ancestor) && id.ptr[ancestor.len] == separator;
}

/* Is id the ancestor or one of its descendants, as the dialect writes them? */
static bool descends(const da_profile *profile, da_slice id, da_slice ancestor)
{
  if (da_slice_eq(id, ancestor)) return true;
  switch (profile->id_dialect) {
  case DA_DIALECT_ANY:
    return da_id_below(id, ancestor);
  case DA_DIALECT_COLON:
    return joined(id, ancestor, da_slice_find(ancestor, ':') < 0 ? ':' : '.');
  case DA_DIALECT_DOT:
    return joined(id, ancestor, '.');
  case DA_DIALECT_OFF:
    break;
  }
  return true;
}

static const char *origin_fault(const da_profile *profile, da_slice id, da_slice origin)
{
  static const char colon[] = "resonate:origin must not contain ':'";
  bool has_colon = da_slice_find(origin, ':') >= 0;
  switch (profile->id_dialect) {
  case DA_DIALECT_ANY: /* a root may hold ':' only where the dot dialect would have let it */
    if (has_colon && !da_slice_eq(id, origin) && !joined(id, origin, '.')) return colon;
    break;
  case DA_DIALECT_COLON:
    if (has_colon) return colon;
    break;
  case DA_DIALECT_DOT:
    if (da_slice_find(origin, '.') >= 0) return "resonate:origin must not contain '.'";
    break;
  case DA_DIALECT_OFF:
    break;
  }
  return descends(profile, id, origin) ? NULL : "Promise ID must be prefixed by resonate:origin";
}

static const char *ancestor_fault(const da_profile *profile, da_slice id, da_map tags)
{
  const da_slice *origin = da_map_get(tags, DA_TAG_ORIGIN);
  const da_slice *branch = da_map_get(tags, DA_TAG_BRANCH);
  const da_slice *parent = da_map_get(tags, DA_TAG_PARENT);
  const da_slice *prefix = da_map_get(tags, DA_TAG_PREFIX);
  const char *fault = origin != NULL ? origin_fault(profile, id, *origin) : NULL;
  if (fault != NULL) return fault;
  if (branch != NULL && !descends(profile, id, *branch)) return "Promise ID must be prefixed by resonate:branch";
  if (parent != NULL && !descends(profile, id, *parent)) return "Promise ID must be prefixed by resonate:parent";
  if (prefix != NULL && da_slice_find(*prefix, '.') >= 0) return "resonate:prefix must not contain '.'";
  return NULL;
}

static const char *delay_fault(da_map tags, int64_t timeout_at)
{
  const da_slice *delay = da_map_get(tags, DA_TAG_DELAY);
  if (delay == NULL) return NULL;
  int64_t at = da_rule_delay(*delay);
  if (at < 0) return "resonate:delay must be a non-negative integer";
  if (at >= timeout_at) return "resonate:delay must be less than timeoutAt";
  if (da_map_get(tags, DA_TAG_TARGET) == NULL) return "resonate:delay requires a resonate:target tag";
  return NULL;
}

const char *da_rule_lineage_fault(const da_profile *profile, da_slice id, da_map tags, int64_t timeout_at)
{
  if (da_slice_find(id, '\0') >= 0) return "Promise ID must not contain null bytes";
  if (profile->id_dialect != DA_DIALECT_OFF) {
    const char *fault = ancestor_fault(profile, id, tags);
    if (fault != NULL) return fault;
  }
  return delay_fault(tags, timeout_at);
}

/* ---- addresses ----------------------------------------------------------------------------------------- */

static bool is_alpha(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of the scheme, or -1: a letter, then letters, digits, '+', '-', '.', then ':'. */
static ptrdiff_t scheme_len(da_slice uri)
{
  if (uri.len == 0 || !is_alpha(uri.ptr[0])) return -1;
  for (size_t i = 1; i < uri.len; i++) {
    char c = uri.ptr[i];
    if (c == ':') return (ptrdiff_t)i;
    if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return -1;
  }
  return -1;
}

static bool scheme_is(da_slice scheme, const char *name)
{
  if (scheme.len != strlen(name)) return false;
  for (size_t i = 0; i < scheme.len; i++) {
    char c = scheme.ptr[i];
    if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != name[i]) return false;
  }
  return true;
}

/* The schemes of the web mean nothing without a host. */
static bool scheme_needs_host(da_slice scheme)
{
  static const char *const names[] = {"http", "https", "ws", "wss", "ftp"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (scheme_is(scheme, names[i])) return true;
  return false;
}

/* Is there a host in `//user@host:port/...`? */
static bool has_host(da_slice rest)
{
  if (!da_slice_starts(rest, DA_LIT("//"))) return false;
  size_t begin = 2, end = 2;
  for (; end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' && rest.ptr[end] != '#'; end++)
    if (rest.ptr[end] == '@') begin = end + 1;
  return begin < end && rest.ptr[begin] != ':';
}

bool da_rule_address_ok(da_slice address)
{
  ptrdiff_t len = scheme_len(address);
  if (len < 0) return false;
  for (size_t i = 0; i < address.len; i++) {
    unsigned char c = (unsigned char)address.ptr[i];
    if (c <= ' ' || c == 0x7f) return false;
  }
  da_slice scheme = da_slice_make(address.ptr, (size_t)len);
  da_slice rest = da_slice_make(address.ptr + len + 1, address.len - (size_t)len - 1);
  return !scheme_needs_host(scheme) || has_host(rest);
}
