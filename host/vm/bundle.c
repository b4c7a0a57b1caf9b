/* bundle.c - the code an execution is pinned to.
 *
 * Modules are found by reading the text for `require "name"`, so that all of an execution's code is known before any of
 * it runs. A name that is not beside the script is left to step states, where `require` is Lua's own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../base/limits.h"

typedef struct found_module {
  char *file;
  char *module;
  da_buf text;
} found_module;

typedef struct finder {
  char *directory;
  found_module *items;
  size_t count;
} finder;

static da_status read_file(const char *path, da_buf *out, da_err *err)
{
  FILE *file = fopen(path, "rb");
  struct stat st;
  if (file == NULL || fstat(fileno(file), &st) != 0) {
    int why = errno;
    if (file != NULL) (void)fclose(file);
    bool absent = why == ENOENT || why == ENOTDIR;
    return da_fail(err, absent ? DA_ENOTFOUND : DA_EIO, "cannot read %s: %s", path, strerror(why));
  }
  if (S_ISDIR(st.st_mode)) {
    (void)fclose(file);
    return da_fail(err, DA_EIO, "cannot read %s: it is a directory; name a Lua file", path);
  }
  char piece[16384];
  size_t n;
  while ((n = fread(piece, 1, sizeof piece, file)) > 0 && out->len <= DA_VALUE_MAX) da_buf_add(out, piece, n);
  bool failed = ferror(file) != 0;
  (void)fclose(file);
  if (failed) return da_fail(err, DA_EIO, "cannot read %s", path);
  if (out->len > DA_VALUE_MAX) return da_fail(err, DA_ETOOBIG, "%s is larger than 16 MiB", path);
  if (out->len > 0 && out->ptr[0] == '\x1b')
    return da_fail(err, DA_EINVAL, "%s is compiled Lua; name the source text, which is what an execution is pinned to",
                   path);
  return DA_OK;
}

static found_module *known(finder *find, da_slice module)
{
  for (size_t i = 0; i < find->count; i++)
    if (da_slice_eq(da_slice_of(find->items[i].module), module)) return &find->items[i];
  return NULL;
}

static void keep(finder *find, da_slice file, da_slice module, da_buf text)
{
  find->items = da_xrealloc(find->items, (find->count + 1) * sizeof *find->items);
  find->items[find->count++] = (found_module){da_xstrndup(file), da_xstrndup(module), text};
}

/* Tries <directory>/<name with dots as slashes><tail>: DA_ENOTFOUND if nothing is there. One that is there and cannot
 * be read is a fault: without it the script would be another. */
static da_status try_module(finder *find, da_slice module, const char *tail, da_err *err)
{
  da_buf file = {0};
  for (size_t i = 0; i < module.len; i++) da_buf_add_byte(&file, module.ptr[i] == '.' ? '/' : (uint8_t)module.ptr[i]);
  da_buf_addf(&file, "%s", tail);
  da_buf path = {0};
  da_buf_addf(&path, "%s/%.*s", find->directory, DA_FMT(da_buf_slice(&file)));
  da_buf_add_byte(&path, '\0');
  da_buf text = {0};
  da_status status = read_file(path.ptr, &text, err);
  if (status == DA_OK)
    keep(find, da_buf_slice(&file), module, text);
  else
    da_buf_free(&text);
  da_buf_free(&path);
  da_buf_free(&file);
  return status;
}

static bool word_char(char c)
{
  return isalnum((unsigned char)c) || c == '_' || c == '.' || c == ':';
}

/* The literal behind `require` at text[at], or an empty slice. */
static da_slice required_name(da_slice text, size_t at)
{
  at += 7;
  while (at < text.len && (isspace((unsigned char)text.ptr[at]) || text.ptr[at] == '(')) at++;
  if (at >= text.len || (text.ptr[at] != '"' && text.ptr[at] != '\'')) return DA_NONE;
  char quote = text.ptr[at++];
  size_t end = at;
  while (end < text.len && (word_char(text.ptr[end]) || text.ptr[end] == '-')) end++;
  if (end >= text.len || text.ptr[end] != quote || end == at) return DA_NONE;
  return da_slice_make(text.ptr + at, end - at);
}

static da_status find_modules(finder *find, da_err *err)
{
  for (size_t i = 0; i < find->count; i++) {
    da_slice text = da_buf_slice(&find->items[i].text);
    for (size_t at = 0; at + 7 < text.len; at++) {
      if (memcmp(text.ptr + at, "require", 7) != 0) continue;
      if (at > 0 && word_char(text.ptr[at - 1])) continue;
      da_slice name = required_name(text, at);
      if (name.len == 0 || known(find, name) != NULL) continue;
      if (da_slice_eq(name, DA_LIT("da")) || da_slice_starts(name, DA_LIT("da."))) continue;
      da_status status = try_module(find, name, ".lua", err);
      if (status == DA_ENOTFOUND) status = try_module(find, name, "/init.lua", err);
      if (status != DA_OK && status != DA_ENOTFOUND) return status;
    }
  }
  return DA_OK;
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const found_module *)a)->file, ((const found_module *)b)->file);
}

static void free_finder(finder *find)
{
  for (size_t i = 0; i < find->count; i++) {
    free(find->items[i].file);
    free(find->items[i].module);
    da_buf_free(&find->items[i].text);
  }
  free(find->items);
}

/* Splits the encoding into modules; false when it is cut short. */
static bool split(da_bundle *bundle)
{
  const char *p = bundle->bytes.ptr;
  size_t left = bundle->bytes.len;
  while (left > 0) {
    da_slice part[3];
    for (int i = 0; i < 3; i++) {
      if (left < 4) return false;
      size_t len = da_get_u32(p);
      if (left - 4 < len) return false;
      part[i] = da_slice_make(p + 4, len);
      p += 4 + len;
      left -= 4 + len;
    }
    bundle->modules = da_xrealloc(bundle->modules, (bundle->module_count + 1) * sizeof *bundle->modules);
    bundle->modules[bundle->module_count++] = (da_module){part[0], part[1], part[2]};
  }
  return bundle->module_count > 0;
}

da_status da_bundle_decode(da_slice bytes, da_bundle **out, da_err *err)
{
  da_bundle *bundle = da_xcalloc(1, sizeof *bundle);
  bundle->refs = 1;
  bundle->bytes = da_slice_make(da_xstrndup(bytes), bytes.len);
  bundle->hash = da_hash128(bundle->bytes);
  if (!split(bundle)) {
    da_bundle_unref(bundle);
    return da_fail(err, DA_ECORRUPT, "a stored bundle is damaged");
  }
  *out = bundle;
  return DA_OK;
}

static void add_part(da_buf *out, const char *text, size_t len)
{
  da_buf_add_u32(out, (uint32_t)len);
  da_buf_add(out, text, len);
}

da_status da_bundle_read(const char *path, da_bundle **out, da_err *err)
{
  da_buf text = {0};
  da_status status = read_file(path, &text, err);
  if (status != DA_OK) {
    da_buf_free(&text);
    return status;
  }
  const char *slash = strrchr(path, '/');
  const char *file = slash != NULL ? slash + 1 : path;
  size_t stem = strlen(file);
  if (stem > 4 && strcmp(file + stem - 4, ".lua") == 0) stem -= 4;
  finder find = {.directory = slash == NULL ? da_xstrndup(DA_LIT("."))
                                            : da_xstrndup(da_slice_make(path, (size_t)(slash - path)))};
  if (slash == path) find.directory[0] = '\0'; /* "/x.lua": modules lie at "/name.lua" */
  keep(&find, da_slice_of(file), da_slice_make(file, stem), text);
  status = find_modules(&find, err);
  qsort(find.items + 1, find.count - 1, sizeof *find.items, by_name);
  da_buf bytes = {0};
  for (size_t i = 0; i < find.count; i++) {
    add_part(&bytes, find.items[i].file, strlen(find.items[i].file));
    add_part(&bytes, find.items[i].module, strlen(find.items[i].module));
    add_part(&bytes, find.items[i].text.ptr, find.items[i].text.len);
  }
  if (status == DA_OK) status = da_bundle_decode(da_buf_slice(&bytes), out, err);
  if (status == DA_OK)
    (*out)->directory = find.directory;
  else
    free(find.directory);
  da_buf_free(&bytes);
  free_finder(&find);
  return status;
}

static void add_module(da_buf *out, da_slice file, da_slice module, da_slice text)
{
  add_part(out, file.ptr, file.len);
  add_part(out, module.ptr, module.len);
  add_part(out, text.ptr, text.len);
}

da_status da_bundle_around(const char *file, da_slice text, const char *name, const da_bundle *inner, da_bundle **out,
                           da_err *err)
{
  da_buf bytes = {0};
  add_module(&bytes, da_slice_of(file), da_slice_of(file), text);
  if (inner == NULL) add_module(&bytes, da_slice_of(name), da_slice_of(name), DA_LIT(""));
  for (size_t i = 0; inner != NULL && i < inner->module_count; i++)
    add_module(&bytes, inner->modules[i].file, i == 0 ? da_slice_of(name) : inner->modules[i].module,
               inner->modules[i].text);
  da_status status = da_bundle_decode(da_buf_slice(&bytes), out, err);
  if (status == DA_OK && inner != NULL && inner->directory != NULL)
    (*out)->directory = da_xstrndup(da_slice_of(inner->directory));
  da_buf_free(&bytes);
  return status;
}

const da_module *da_bundle_find(const da_bundle *bundle, da_slice module)
{
  for (size_t i = 0; i < bundle->module_count; i++)
    if (da_slice_eq(bundle->modules[i].module, module)) return &bundle->modules[i];
  return NULL;
}

da_bundle *da_bundle_ref(da_bundle *bundle)
{
  __atomic_add_fetch(&bundle->refs, 1, __ATOMIC_RELAXED);
  return bundle;
}

void da_bundle_unref(da_bundle *bundle)
{
  if (bundle == NULL || __atomic_sub_fetch(&bundle->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
  char *owned;
  memcpy(&owned, &bundle->bytes.ptr, sizeof owned); /* made by da_bundle_decode() */
  free(owned);
  free(bundle->modules);
  free(bundle->directory);
  free(bundle);
}
