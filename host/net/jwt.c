/* jwt.c - tokens taken apart: base64url, header, claims.
 * SPDX-License-Identifier: Apache-2.0 */
#include "jwt.h"

#include <math.h>
#include <strings.h>

#include "../base/json.h"
#include "../base/limits.h"
#include "../base/text.h"

/* ---- base64url (RFC 4648, section 5, without padding) --------------------------------------------------- */

/* Its spelling in the standard alphabet goes through the strict decoder, which refuses bits that are left over: else
 * several texts would mean one and the same token. */
static bool decode(da_slice text, da_arena *arena, da_slice *out)
{
  if (text.len % 4 == 1) return false;
  da_slice padded = {NULL, (text.len + 3) / 4 * 4};
  char *copy = da_arena_alloc(arena, padded.len + 1);
  memset(copy, '=', padded.len);
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '+' || c == '/' || c == '=') return false;
    copy[i] = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  padded.ptr = copy;
  ptrdiff_t len = da_text_base64_len(padded);
  char *bytes = da_arena_alloc(arena, (size_t)len + 1);
  *out = da_slice_make(bytes, (size_t)len);
  return da_text_base64_read(padded, bytes);
}

/* ---- objects ------------------------------------------------------------------------------------------- */

/* Two parsers that take different ones of two members of the same name would read two different tokens. */
static bool is_repeated(const cJSON *object)
{
  for (const cJSON *a = object->child; a != NULL; a = a->next)
    for (const cJSON *b = a->next; b != NULL; b = b->next)
      if (strcmp(a->string, b->string) == 0) return true;
  return false;
}

/* NULL, and *why one of the two sentences, unless it is an object. */
static cJSON *parse_object(da_slice text, const char *malformed, const char *repeated, const char **why)
{
  cJSON *value = da_json_parse(text, NULL);
  *why = NULL;
  if (!cJSON_IsObject(value) || cJSON_GetArraySize(value) > DA_CLAIMS_MAX)
    *why = malformed;
  else if (is_repeated(value))
    *why = repeated;
  if (*why == NULL) return value;
  cJSON_Delete(value);
  return NULL;
}

static da_slice copy_text(da_arena *arena, const cJSON *item)
{
  return da_arena_dup(arena, da_slice_of(item->valuestring));
}

/* ---- the header ---------------------------------------------------------------------------------------- */

static const char *read_header(da_slice text, da_arena *arena, da_jwt *out)
{
  const char *why;
  cJSON *header = parse_object(text, "its header is not a JSON object", "its header names a member twice", &why);
  if (header == NULL) return why;
  const cJSON *alg = da_json_get(header, "alg");
  /* crit names extensions that must be understood; none is. It is what `b64` hides behind (RFC 7797). */
  if (da_json_get(header, "crit") != NULL || da_json_get(header, "b64") != NULL)
    why = "its header demands extensions (crit)";
  else if (!cJSON_IsString(alg))
    why = "its header names no algorithm";
  else
    out->alg = copy_text(arena, alg);
  cJSON_Delete(header);
  return why;
}

const char *da_jwt_read(da_slice token, da_arena *arena, da_jwt *out)
{
  *out = (da_jwt){0};
  if (token.len == 0) return "no token";
  if (token.len > DA_TOKEN_MAX) return "longer than a token may be";
  ptrdiff_t first = da_slice_find(token, '.');
  if (first < 0) return "not three parts with dots between them";
  da_slice rest = da_slice_make(token.ptr + first + 1, token.len - (size_t)first - 1);
  ptrdiff_t second = da_slice_find(rest, '.');
  if (second < 0) return "not three parts with dots between them";
  da_slice last = da_slice_make(rest.ptr + second + 1, rest.len - (size_t)second - 1);
  if (da_slice_find(last, '.') >= 0) return "not three parts with dots between them";
  da_slice header;
  if (!decode(da_slice_make(token.ptr, (size_t)first), arena, &header)) return "its header is not base64url";
  if (!decode(da_slice_make(rest.ptr, (size_t)second), arena, &out->payload)) return "its payload is not base64url";
  if (!decode(last, arena, &out->signature)) return "its signature is not base64url";
  out->signed_part = da_slice_make(token.ptr, (size_t)first + 1 + (size_t)second);
  return read_header(header, arena, out);
}

/* ---- claims -------------------------------------------------------------------------------------------- */

/* NumericDate: seconds, maybe with a fraction, of any size. */
static bool read_time(const cJSON *item, int64_t *ms)
{
  if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) return false;
  double value = item->valuedouble * 1000;
  const double most = (double)DA_TIME_MAX;
  *ms = value >= most ? DA_TIME_MAX : value <= -most ? -DA_TIME_MAX : (int64_t)value;
  return true;
}

static const char *read_audience(const cJSON *item, da_arena *arena, da_jwt_claims *out)
{
  if (item == NULL) return NULL;
  bool array = cJSON_IsArray(item);
  size_t count = array ? (size_t)cJSON_GetArraySize(item) : 1;
  da_slice *list = da_arena_alloc(arena, (count + 1) * sizeof *list);
  const cJSON *one = array ? item->child : item;
  for (size_t i = 0; i < count; i++, one = one->next) {
    if (!cJSON_IsString(one)) return "its aud is neither a string nor an array of strings";
    list[i] = copy_text(arena, one);
  }
  out->audiences = list;
  out->audience_count = count;
  return NULL;
}

static const char *read_members(const cJSON *claims, da_arena *arena, da_jwt_claims *out)
{
  const cJSON *exp = da_json_get(claims, "exp");
  const cJSON *nbf = da_json_get(claims, "nbf");
  const cJSON *iss = da_json_get(claims, "iss");
  const cJSON *role = da_json_get(claims, "role");
  const cJSON *prefix = da_json_get(claims, "prefix");
  if (exp == NULL) return "it has no exp";
  if (!read_time(exp, &out->exp_ms)) return "its exp is no number of seconds";
  out->has_nbf = nbf != NULL;
  if (out->has_nbf && !read_time(nbf, &out->nbf_ms)) return "its nbf is no number of seconds";
  out->has_issuer = iss != NULL;
  if (out->has_issuer && !cJSON_IsString(iss)) return "its iss is not a string";
  if (out->has_issuer) out->issuer = copy_text(arena, iss);
  out->admin = cJSON_IsString(role) && strcasecmp(role->valuestring, "admin") == 0;
  out->has_prefix = cJSON_IsString(prefix) != 0;
  if (out->has_prefix) out->prefix = copy_text(arena, prefix);
  return read_audience(da_json_get(claims, "aud"), arena, out);
}

const char *da_jwt_read_claims(da_slice payload, da_arena *arena, da_jwt_claims *out)
{
  const char *why;
  *out = (da_jwt_claims){0};
  cJSON *claims = parse_object(payload, "its payload is not a JSON object", "its payload names a claim twice", &why);
  if (claims == NULL) return why;
  why = read_members(claims, arena, out);
  cJSON_Delete(claims);
  return why;
}
