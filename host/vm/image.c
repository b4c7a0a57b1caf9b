/* image.c - images as bytes: mac | head | packed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <elf.h>
#include <link.h>
#include <lz4.h>
#include <stdlib.h>

enum {
  FORMAT = 1,
  HAS_BASE = 1,
  HEAD = 4 + 3 * (int)sizeof(da_digest) + 5 * 4,
  PLAIN_MAX = 64 << 20 /* before compression */
};

/* ---- the ABI id ---------------------------------------------------------------------------------------- */

typedef struct program {
  bool fixed; /* the program lies where it was linked to, with Lua in it */
  da_slice build;
} program;

static void read_notes(const char *at, size_t size, program *out)
{
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    memcpy(&note, at, sizeof note);
    size_t name = (note.n_namesz + 3U) & ~3U, whole = sizeof note + name + ((note.n_descsz + 3U) & ~3U);
    if (whole > size) return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at + sizeof note, "GNU", 4) == 0)
      out->build = da_slice_make(at + sizeof note + name, note.n_descsz);
    at += whole;
    size -= whole;
  }
}

/* Of the program, which comes first. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *user)
{
  program *out = user;
  lua_State *(*function)(lua_Alloc, void *) = lua_newstate;
  uintptr_t lua = 0;
  (void)size;
  memcpy(&lua, &function, sizeof lua);
  for (size_t i = 0; i < info->dlpi_phnum && info->dlpi_addr == 0; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type == PT_LOAD && lua >= part->p_vaddr && lua - part->p_vaddr < part->p_memsz) out->fixed = true;
    if (part->p_type != PT_NOTE) continue;
    const char *at = NULL;
    memcpy(&at, &part->p_vaddr, sizeof at);
    read_notes(at, part->p_memsz, out);
  }
  return 1;
}

static program find_program(void)
{
  program p = {0};
  (void)dl_iterate_phdr(look_at_program, &p);
  return p;
}

bool da_image_possible(void)
{
  program p = find_program();
  return p.fixed && p.build.len > 0;
}

bool da_image_abi(const da_region *region, da_digest *out)
{
  program p = find_program();
  da_region_stats stats = da_region_stat(region);
  if (!p.fixed || p.build.len == 0 || !stats.fixed) return false;
  da_buf all = {0};
  da_buf_add_slice(&all, p.build);
  da_buf_add_u32(&all, FORMAT);
  da_buf_add_u32(&all, (uint32_t)(stats.slot_size >> 12));
  da_buf_add_u32(&all, stats.seed);
  *out = da_hash128(da_buf_slice(&all));
  da_buf_free(&all);
  return true;
}

/* ---- sealing ------------------------------------------------------------------------------------------- */

/* Each execution has a key of its own, so that no image is another's. */
static bool mac_of(const da_mac *key, da_slice id, da_slice bytes, da_mac *out)
{
  da_mac own;
  return da_hmac(key, id, &own) && da_hmac(&own, bytes, out);
}

static void add_digest(da_buf *out, const da_digest *digest)
{
  da_buf_add(out, digest->bytes, sizeof digest->bytes);
}

static void add_head(da_buf *out, const da_digest *abi, const da_image *image, size_t packed)
{
  const da_isolate_image *isolate = &image->isolate;
  const uint8_t first[4] = {'d', 'a', FORMAT, isolate->has_base ? HAS_BASE : 0};
  da_buf_add(out, first, sizeof first);
  add_digest(out, abi);
  add_digest(out, &image->bundle);
  add_digest(out, &isolate->base);
  da_buf_add_u32(out, image->generation);
  da_buf_add_u32(out, isolate->slot);
  da_buf_add_u32(out, (uint32_t)image->state.len);
  da_buf_add_u32(out, (uint32_t)isolate->size);
  da_buf_add_u32(out, (uint32_t)packed);
}

/* Packs both parts as one. NULL: it cannot be. */
static char *pack(const da_image *image, size_t *packed)
{
  size_t size = image->state.len + image->isolate.size;
  if (size > PLAIN_MAX) return NULL;
  char *plain = da_xmalloc(size);
  if (image->state.len > 0) memcpy(plain, image->state.ptr, image->state.len);
  memcpy(plain + image->state.len, image->isolate.bytes, image->isolate.size);
  int bound = LZ4_compressBound((int)size);
  char *out = da_xmalloc((size_t)bound);
  *packed = (size_t)LZ4_compress_default(plain, out, (int)size, bound);
  free(plain);
  return out;
}

bool da_image_seal(const da_mac *key, const da_digest *abi, da_slice id, const da_image *image, da_buf *out)
{
  da_mac mac = {{0}};
  size_t packed;
  char *bytes = pack(image, &packed);
  if (bytes == NULL) return false;
  size_t from = out->len;
  da_buf_add(out, mac.bytes, sizeof mac.bytes);
  add_head(out, abi, image, packed);
  da_buf_add(out, bytes, packed);
  free(bytes);
  da_slice sealed = da_slice_make(out->ptr + from + sizeof mac, out->len - from - sizeof mac);
  bool done = mac_of(key, id, sealed, &mac);
  memcpy(out->ptr + from, mac.bytes, sizeof mac);
  return done;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static const char *get_digest(const char *at, da_digest *out)
{
  memcpy(out->bytes, at, sizeof out->bytes);
  return at + sizeof out->bytes;
}

static const char *unpack(const char *head, da_slice packed, da_arena *arena, da_image *out)
{
  const char *at = head + 4 + sizeof(da_digest); /* the abi was looked at */
  out->isolate.has_base = (head[3] & HAS_BASE) != 0;
  at = get_digest(at, &out->bundle);
  at = get_digest(at, &out->isolate.base);
  out->generation = da_get_u32(at);
  out->isolate.slot = da_get_u32(at + 4);
  size_t state = da_get_u32(at + 8), isolate = da_get_u32(at + 12);
  if (state + isolate > PLAIN_MAX || da_get_u32(at + 16) != packed.len) return "damaged";
  char *plain = da_arena_alloc(arena, state + isolate + 16);
  if (LZ4_decompress_safe(packed.ptr, plain, (int)packed.len, (int)(state + isolate)) != (int)(state + isolate))
    return "damaged";
  out->state = da_slice_make(plain, state);
  out->isolate.bytes = plain + state;
  out->isolate.size = isolate;
  return NULL;
}

const char *da_image_open(const da_mac *key, const da_digest *abi, da_slice id, da_slice bytes, da_arena *arena,
                          da_image *out)
{
  da_mac mac, wanted;
  *out = (da_image){.generation = 0};
  if (bytes.len < sizeof mac + HEAD) return "damaged";
  memcpy(mac.bytes, bytes.ptr, sizeof mac);
  da_slice sealed = da_slice_make(bytes.ptr + sizeof mac, bytes.len - sizeof mac);
  if (!mac_of(key, id, sealed, &wanted) || !da_mac_eq(&mac, &wanted)) return "seal";
  if (sealed.ptr[0] != 'd' || sealed.ptr[1] != 'a' || sealed.ptr[2] != FORMAT) return "format";
  if (memcmp(sealed.ptr + 4, abi->bytes, sizeof abi->bytes) != 0) return "build";
  return unpack(sealed.ptr, da_slice_make(sealed.ptr + HEAD, sealed.len - HEAD), arena, out);
}
