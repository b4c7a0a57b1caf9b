/* route.c - which of the server's doors a method and a path are for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include "../base/text.h"

typedef struct door {
  da_slice path;
  da_route_kind kind;
  const char *allow;
} door;

#define READERS "GET, HEAD"

static const door doors[] = {
    {{"/", 1}, DA_ROUTE_PROTOCOL, "POST"},
    {{"/health", 7}, DA_ROUTE_HEALTH, READERS},
    {{"/ready", 6}, DA_ROUTE_READY, READERS},
};
static const door metrics_door = {{"/metrics", 8}, DA_ROUTE_METRICS, READERS};

/* RFC 9110: methods are case-sensitive. */
static bool is_allowed(const char *allow, da_slice method)
{
  for (da_slice rest = da_slice_of(allow); rest.len > 0;) {
    ptrdiff_t comma = da_slice_find(rest, ',');
    size_t len = comma >= 0 ? (size_t)comma : rest.len;
    if (da_slice_eq(da_slice_make(rest.ptr, len), method)) return true;
    size_t skip = comma >= 0 ? len + 2 : len;
    rest = da_slice_make(rest.ptr + skip, rest.len - skip);
  }
  return false;
}

static da_route enter(da_route_kind kind, const char *allow, da_slice method)
{
  if (!is_allowed(allow, method)) return (da_route){.kind = DA_ROUTE_METHOD, .allow = allow};
  return (da_route){.kind = kind};
}

static bool decode(da_slice text, da_arena *arena, da_slice *out)
{
  *out = text;
  if (da_slice_find(text, '%') < 0) return true;
  char *bytes = da_arena_alloc(arena, text.len);
  size_t len = 0;
  for (size_t i = 0; i < text.len; i++) {
    bytes[len] = text.ptr[i];
    if (text.ptr[i] == '%') {
      int high = i + 2 < text.len ? da_text_hex(text.ptr[i + 1]) : -1;
      int low = i + 2 < text.len ? da_text_hex(text.ptr[i + 2]) : -1;
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
      bytes[len] = (char)(16 * high + low);
      i += 2;
    }
    len++;
  }
  *out = da_slice_make(bytes, len);
  return true;
}

/* `rest` is what stands behind "/poll/". */
static da_route enter_poll(da_slice method, da_slice rest, da_arena *arena)
{
  ptrdiff_t slash = da_slice_find(rest, '/');
  if (slash < 0) return (da_route){.kind = DA_ROUTE_UNKNOWN};
  da_slice group = da_slice_make(rest.ptr, (size_t)slash);
  da_slice id = da_slice_make(rest.ptr + slash + 1, rest.len - (size_t)slash - 1);
  if (group.len == 0 || id.len == 0 || da_slice_find(id, '/') >= 0) return (da_route){.kind = DA_ROUTE_UNKNOWN};
  da_route route = enter(DA_ROUTE_POLL, "GET", method);
  if (route.kind == DA_ROUTE_POLL && (!decode(group, arena, &route.group) || !decode(id, arena, &route.id)))
    route.kind = DA_ROUTE_BROKEN;
  return route;
}

static bool is_retired(da_slice path)
{
  static const da_slice roots[] = {{"/promises", 9}, {"/schedules", 10}, {"/tasks", 6}};
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
    if (da_slice_starts(path, roots[i]) && (path.len == roots[i].len || path.ptr[roots[i].len] == '/')) return true;
  return false;
}

da_route da_route_find(da_slice method, da_slice path, da_arena *arena)
{
  static const da_slice poll = {"/poll/", 6};
  for (size_t i = 0; i < sizeof doors / sizeof *doors; i++)
    if (da_slice_eq(path, doors[i].path)) return enter(doors[i].kind, doors[i].allow, method);
  if (da_slice_starts(path, poll))
    return enter_poll(method, da_slice_make(path.ptr + poll.len, path.len - poll.len), arena);
  return (da_route){.kind = is_retired(path) ? DA_ROUTE_RETIRED : DA_ROUTE_UNKNOWN};
}

da_route da_route_find_metrics(da_slice method, da_slice path)
{
  if (da_slice_eq(path, metrics_door.path)) return enter(metrics_door.kind, metrics_door.allow, method);
  return (da_route){.kind = DA_ROUTE_UNKNOWN};
}
