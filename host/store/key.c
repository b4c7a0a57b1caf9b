/* key.c - ids, instants and addresses as ordered byte strings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include "../base/hash.h"

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* How many bytes follow the first: each carries 8 bits and takes one bit of the first for the count. */
static size_t more_bytes(uint64_t value)
{
  if (value < (uint64_t)1 << 7) return 0;
  size_t bits = 64 - (size_t)__builtin_clzll(value);
  return bits > 56 ? 8 : (bits - 1) / 7;
}

size_t da_varint_put(uint8_t *to, uint64_t value)
{
  size_t more = more_bytes(value);
  if (more == 0) {
    to[0] = (uint8_t)value;
    return 1;
  }
  for (size_t i = more; i > 0; i--) {
    to[i] = (uint8_t)value;
    value >>= 8;
  }
  unsigned ones = 0xff00u >> more & 0xffu; /* `more` leading ones */
  to[0] = (uint8_t)(more == 8 ? 0xff : ones | (unsigned)value);
  return more + 1;
}

bool da_varint_get(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
  const uint8_t *p = *at;
  if (p >= end) return false;
  uint8_t first = p[0];
  if (first < 0x80) {
    *value = first;
    *at = p + 1;
    return true;
  }
  size_t more = first == 0xff ? 8 : (size_t)__builtin_clz((unsigned)(uint8_t)~first) - 24;
  if ((size_t)(end - p) < more + 1) return false;
  uint64_t v = more >= 7 ? 0 : first & (0x7fu >> more);
  for (size_t i = 1; i <= more; i++) v = v << 8 | p[i];
  if (more_bytes(v) != more) return false;
  *value = v;
  *at = p + more + 1;
  return true;
}

/* ---- appending ----------------------------------------------------------------------------------------- */

void da_key_add(da_key *key, const void *bytes, size_t len)
{
  DA_ASSERT_OP(len, <=, DA_KEY_MAX - key->len);
  if (len != 0) memcpy(key->bytes + key->len, bytes, len);
  key->len += len;
}

void da_key_add_byte(da_key *key, uint8_t byte)
{
  da_key_add(key, &byte, 1);
}

void da_key_add_number(da_key *key, uint64_t number)
{
  DA_ASSERT_OP(key->len, <=, DA_KEY_MAX - DA_VARINT_MAX);
  key->len += da_varint_put(key->bytes + key->len, number);
}

void da_key_add_hash(da_key *key, da_slice text, uint64_t seed)
{
  da_digest hash = da_hash128_seeded(text, seed);
  da_key_add(key, hash.bytes, sizeof hash.bytes);
}

void da_key_add_rest(da_key *key, da_slice rest, uint64_t seed)
{
  if (!da_rest_is_long(rest)) {
    da_key_add(key, rest.ptr, rest.len);
    return;
  }
  da_key_add(key, rest.ptr, DA_ID_REST_KEY_HEAD);
  da_key_add_byte(key, 0);
  da_key_add_hash(key, rest, seed);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reader {
  const uint8_t *at;
  const uint8_t *end;
} reader;

static reader reader_of(da_slice key)
{
  const uint8_t *p = (const uint8_t *)key.ptr;
  return (reader){p, p + key.len};
}

static bool read_byte(reader *r, uint8_t *byte)
{
  if (r->at >= r->end) return false;
  *byte = *r->at++;
  return true;
}

/* A keyed rest of len bytes: empty, or text from ':' on without NUL, or a long one. */
static bool read_rest(reader *r, size_t len, da_id_key *out)
{
  if ((size_t)(r->end - r->at) < len) return false;
  out->rest = da_slice_make((const char *)r->at, len);
  r->at += len;
  out->is_long = len == DA_REST_LONG_LEN && out->rest.ptr[DA_ID_REST_KEY_HEAD] == '\0';
  if (len == 0) return true;
  if (len > DA_ID_REST_KEY_MAX || out->rest.ptr[0] != ':') return false;
  da_slice text = out->is_long ? da_slice_make(out->rest.ptr, DA_ID_REST_KEY_HEAD) : out->rest;
  return da_slice_find(text, '\0') < 0;
}

static bool read_root(reader *r, uint64_t *root)
{
  return da_varint_get(&r->at, r->end, root);
}

static size_t left(const reader *r)
{
  return (size_t)(r->end - r->at);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

void da_key_id(da_key *key, uint64_t root, da_slice rest, uint64_t seed)
{
  key->len = da_varint_put(key->bytes, root);
  da_key_add_rest(key, rest, seed);
}

bool da_key_id_get(da_slice key, da_id_key *out)
{
  reader r = reader_of(key);
  *out = (da_id_key){0};
  return read_root(&r, &out->root) && out->root != 0 && read_rest(&r, left(&r), out);
}

void da_key_blob(da_key *key, da_slice owner, uint8_t which, uint16_t piece)
{
  uint8_t tail[DA_BLOB_TAIL] = {0, which, (uint8_t)(piece >> 8), (uint8_t)piece};
  key->len = 0;
  da_key_add(key, owner.ptr, owner.len);
  da_key_add(key, tail, sizeof tail);
}

bool da_key_blob_get(da_slice key, da_slice *owner, uint8_t *which, uint16_t *piece)
{
  if (key.len <= DA_BLOB_TAIL) return false;
  const char *tail = key.ptr + key.len - DA_BLOB_TAIL;
  *owner = da_slice_make(key.ptr, key.len - DA_BLOB_TAIL);
  *which = (uint8_t)tail[1];
  *piece = da_get_u16(tail + 2);
  return tail[0] == '\0';
}

void da_key_bundle_owner(da_key *key, const da_digest *hash)
{
  key->len = da_varint_put(key->bytes, 0); /* no root has the number 0 */
  da_key_add(key, hash->bytes, sizeof hash->bytes);
}

void da_key_due(da_key *key, da_due_class class_, int64_t at, uint64_t root, da_slice rest, uint64_t seed)
{
  DA_ASSERT_OP(at, >=, 0);
  key->len = 0;
  if (class_ != DA_DUE_DEADLINE) da_key_add_byte(key, (uint8_t)class_);
  da_key_add_number(key, (uint64_t)at);
  if (root == 0) return;
  da_key_add_number(key, root);
  da_key_add_rest(key, rest, seed);
}

bool da_key_due_get(da_slice key, bool in_timer, da_due_class *class_, int64_t *at, da_id_key *id)
{
  reader r = reader_of(key);
  uint8_t class_byte = DA_DUE_DEADLINE;
  uint64_t instant;
  *id = (da_id_key){0};
  if (in_timer && !read_byte(&r, &class_byte)) return false;
  if (class_byte > DA_DUE_QUEUE || in_timer != (class_byte != DA_DUE_DEADLINE)) return false;
  if (!da_varint_get(&r.at, r.end, &instant) || instant > INT64_MAX) return false;
  *class_ = (da_due_class)class_byte;
  *at = (int64_t)instant;
  return read_root(&r, &id->root) && id->root != 0 && read_rest(&r, left(&r), id);
}

/* ---- keys that go on behind an id ---------------------------------------------------------------------- */

static void add_ended_id(da_key *key, uint64_t root, da_slice rest, uint64_t seed)
{
  bool is_long = da_rest_is_long(rest);
  da_key_add_number(key, root);
  da_key_add(key, rest.ptr, is_long ? (size_t)DA_ID_REST_KEY_HEAD : rest.len);
  da_key_add_byte(key, 0);
  da_key_add_byte(key, is_long ? DA_REST_HASH : DA_REST_ENDS);
  if (is_long) da_key_add_hash(key, rest, seed);
}

/* `joined` holds a long rest in the form in which it is a key by itself. */
static bool read_ended_id(reader *r, da_id_key *out, char joined[DA_REST_LONG_LEN])
{
  if (!read_root(r, &out->root) || out->root == 0) return false;
  const uint8_t *end = left(r) == 0 ? NULL : memchr(r->at, 0, left(r));
  if (end == NULL || end + 1 >= r->end) return false;
  size_t len = (size_t)(end - r->at);
  reader short_rest = {r->at, end};
  r->at = end + 2;
  if (end[1] == DA_REST_ENDS) return read_rest(&short_rest, len, out);
  if (end[1] != DA_REST_HASH || len != DA_ID_REST_KEY_HEAD || left(r) < sizeof(da_digest)) return false;
  memcpy(joined, short_rest.at, len);
  joined[len] = '\0';
  memcpy(joined + len + 1, r->at, sizeof(da_digest));
  r->at += sizeof(da_digest);
  reader long_rest = {(const uint8_t *)joined, (const uint8_t *)joined + DA_REST_LONG_LEN};
  return read_rest(&long_rest, DA_REST_LONG_LEN, out);
}

static bool is_in_wait(da_wait_kind kind)
{
  return kind == DA_WAIT_RESUME || kind == DA_WAIT_LISTENER;
}

void da_key_wait_first(da_key *key, da_wait_kind kind, uint64_t root, da_slice rest, uint64_t seed)
{
  key->len = 0;
  if (is_in_wait(kind)) da_key_add_byte(key, (uint8_t)kind);
  add_ended_id(key, root, rest, seed);
}

void da_key_wait_second(da_key *key, uint64_t first_root, uint64_t root, da_slice rest, uint64_t seed)
{
  da_key_add_number(key, root == first_root ? 0 : root);
  da_key_add_rest(key, rest, seed);
}

void da_key_wait_address(da_key *key, da_slice address, uint64_t seed)
{
  da_key_add_hash(key, address, seed);
}

bool da_key_wait_get(da_slice key, bool in_wait, da_wait_kind kind, da_wait_key *out)
{
  reader r = reader_of(key);
  uint8_t kind_byte = (uint8_t)kind;
  if (in_wait && !read_byte(&r, &kind_byte)) return false;
  if (kind_byte > DA_WAIT_LISTENER || is_in_wait((da_wait_kind)kind_byte) != in_wait) return false;
  out->kind = (da_wait_kind)kind_byte;
  out->first = (da_id_key){0};
  out->second = (da_id_key){0};
  if (!read_ended_id(&r, &out->first, out->long_first)) return false;
  if (out->kind == DA_WAIT_LISTENER) return left(&r) == sizeof(da_digest);
  if (!read_root(&r, &out->second.root)) return false;
  if (out->second.root == out->first.root) return false; /* is written as 0 */
  if (out->second.root == 0) out->second.root = out->first.root;
  return read_rest(&r, left(&r), &out->second);
}

void da_key_out(da_key *key, da_message_kind kind, uint64_t root, da_slice rest, da_slice address, uint64_t seed)
{
  key->len = 0;
  da_key_add_byte(key, (uint8_t)kind);
  add_ended_id(key, root, rest, seed);
  if (kind == DA_UNBLOCK) da_key_add_hash(key, address, seed);
}

bool da_key_out_get(da_slice key, da_out_key *out)
{
  reader r = reader_of(key);
  uint8_t kind_byte;
  out->id = (da_id_key){0};
  if (!read_byte(&r, &kind_byte) || kind_byte > DA_UNBLOCK) return false;
  out->kind = (da_message_kind)kind_byte;
  if (!read_ended_id(&r, &out->id, out->long_id)) return false;
  return left(&r) == (out->kind == DA_UNBLOCK ? sizeof(da_digest) : 0);
}

bool da_key_ends_in_hash(da_slice key, da_slice text, uint64_t seed)
{
  da_digest hash = da_hash128_seeded(text, seed);
  return key.len >= sizeof hash && memcmp(key.ptr + key.len - sizeof hash, hash.bytes, sizeof hash) == 0;
}

void da_key_live(da_key *key, uint64_t root, da_slice rest, da_slice name, uint64_t seed)
{
  key->len = 0;
  add_ended_id(key, root, rest, seed);
  da_key_add(key, name.ptr, name.len);
}

bool da_key_live_get(da_slice key, da_live_key *out)
{
  reader r = reader_of(key);
  out->id = (da_id_key){0};
  if (!read_ended_id(&r, &out->id, out->long_id)) return false;
  out->name = da_slice_make((const char *)r.at, left(&r));
  return out->name.len > 0 && out->name.len <= DA_LIVE_KEY_MAX;
}

void da_key_queue(da_key *key, unsigned kind, da_slice name, uint64_t seed)
{
  key->len = 0;
  da_key_add_byte(key, (uint8_t)kind);
  da_key_add_hash(key, name, seed);
}

static bool read_hash(reader *r, da_slice *out)
{
  if (left(r) < sizeof(da_digest)) return false;
  *out = da_slice_make((const char *)r->at, sizeof(da_digest));
  r->at += sizeof(da_digest);
  return true;
}

bool da_key_queue_get(da_slice key, da_queue_key *out)
{
  reader r = reader_of(key);
  uint8_t kind;
  *out = (da_queue_key){0};
  if (!read_byte(&r, &kind) || kind > DA_QUEUE_HOLD || !read_hash(&r, &out->first)) return false;
  out->kind = kind;
  bool whole = true;
  if (kind == DA_QUEUE_HOLD)
    whole = read_hash(&r, &out->second);
  else if (kind != DA_QUEUE_SELF)
    whole = da_varint_get(&r.at, r.end, &out->seq);
  return whole && left(&r) == 0;
}

bool da_key_after_prefix(da_key *key)
{
  while (key->len > 0 && key->bytes[key->len - 1] == 0xff) key->len--;
  if (key->len == 0) return false;
  key->bytes[key->len - 1]++;
  return true;
}
