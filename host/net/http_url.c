/* http_url.c - an absolute URL, taken apart.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http_url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOST_MAX = 253, URL_MAX = 8192 }; /* RFC 1035, 2.3.4; what servers commonly take in one line */

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool starts_with(da_slice text, const char *prefix)
{
  size_t i = 0;
  for (; prefix[i] != '\0'; i++)
    if (i >= text.len || lower(text.ptr[i]) != prefix[i]) return false;
  return true;
}

static bool is_name_byte(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* "host", "host:port", "[::1]:port". NULL, or what is wrong. */
static const char *read_authority(da_slice text, da_buf *host, int *port)
{
  size_t at = 0;
  bool bracket = text.len > 0 && text.ptr[0] == '[';
  if (bracket) {
    ptrdiff_t end = da_slice_find(text, ']');
    if (end < 0) return "'[' without ']'";
    da_buf_add(host, text.ptr + 1, (size_t)end - 1);
    at = (size_t)end + 1;
  } else {
    for (; at < text.len && text.ptr[at] != ':'; at++) {
      char c = lower(text.ptr[at]);
      if (c == '@') return "a user in a URL is not supported";
      if (!is_name_byte(c)) return "a host is letters, digits, '-', '_' and '.'";
      da_buf_add_byte(host, (uint8_t)c);
    }
  }
  if (host->len == 0) return "it has no host";
  if (host->len > HOST_MAX) return "its host is too long";
  if (at == text.len) return NULL;
  if (text.ptr[at++] != ':') return "something else than a port stands behind the host";
  if (at == text.len) return NULL; /* "host:" means the port that the scheme implies */
  *port = 0;
  for (; at < text.len; at++) {
    if (text.ptr[at] < '0' || text.ptr[at] > '9') return "a port is a number";
    *port = *port * 10 + (text.ptr[at] - '0');
    if (*port > 65535) return "a port is at most 65535";
  }
  return *port == 0 ? "port 0 cannot be connected to" : NULL;
}

static void add_target(da_buf *out, da_slice text)
{
  if (text.len == 0 || text.ptr[0] != '/') da_buf_add_byte(out, '/');
  for (size_t i = 0; i < text.len && text.ptr[i] != '#'; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\')
      da_buf_addf(out, "%%%02X", c);
    else
      da_buf_add_byte(out, c);
  }
}

static bool is_literal(const char *host, bool *six)
{
  struct in6_addr address;
  *six = inet_pton(AF_INET6, host, &address) == 1;
  return *six || inet_pton(AF_INET, host, &address) == 1;
}

/* The buffer holds the host and a NUL, and gets the rest. */
static void put_together(da_buf *all, da_slice rest, bool implied, bool six, da_http_url *out)
{
  size_t host_len = all->len - 1;
  size_t authority = all->len;
  da_buf_reserve(all, host_len + 16);
  da_buf_addf(all, six ? "[%.*s]" : "%.*s", (int)host_len, all->ptr);
  if (!implied) da_buf_addf(all, ":%d", out->port);
  size_t target = all->len;
  add_target(all, rest);
  out->memory = all->ptr;
  out->host = da_slice_make(all->ptr, host_len);
  out->authority = da_slice_make(all->ptr + authority, target - authority);
  out->target = da_slice_make(all->ptr + target, all->len - target);
}

da_status da_http_url_read(da_slice text, da_http_url *out, da_err *err)
{
  *out = (da_http_url){0};
  bool tls = starts_with(text, "https://");
  if (!tls && !starts_with(text, "http://"))
    return da_fail(err, DA_EINVAL, "'%.*s' is no URL that begins with http:// or https://", DA_FMT(text));
  if (text.len > URL_MAX) return da_fail(err, DA_EINVAL, "a URL of %zu bytes; at most %d", text.len, URL_MAX);
  da_slice rest = da_slice_make(text.ptr + (tls ? 8 : 7), text.len - (tls ? 8 : 7));
  da_slice authority = rest;
  authority.len = 0;
  while (authority.len < rest.len && strchr("/?#\\", rest.ptr[authority.len]) == NULL) authority.len++;
  rest = da_slice_make(rest.ptr + authority.len, rest.len - authority.len);

  da_buf all = {0};
  int implied = tls ? 443 : 80;
  int port = implied;
  const char *fault = read_authority(authority, &all, &port);
  da_buf_add_byte(&all, 0);
  bool six = false;
  bool literal = fault == NULL && is_literal(all.ptr, &six);
  if (fault == NULL && authority.ptr[0] == '[' && !six) fault = "no IPv6 address stands in its brackets";
  if (fault != NULL) {
    da_buf_free(&all);
    return da_fail(err, DA_EINVAL, "URL '%.*s': %s", DA_FMT(text), fault);
  }
  *out = (da_http_url){.tls = tls, .literal = literal, .port = port};
  put_together(&all, rest, port == implied, six, out);
  return DA_OK;
}

void da_http_url_free(da_http_url *url)
{
  free(url->memory);
  *url = (da_http_url){0};
}
