/* bind_native.c - libraries of natives: what a plugin or a program adds, by library and name.
 *
 * A registry belongs to a host; a library lives until the registry is gone and none of its natives runs. A plugin is
 * never unloaded: threads, handlers at exit and static strings of its own may outlive its last call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_native.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../host/base/table.h"
#include "battery.h"

enum { WHY_MAX = 256, WORDS_MAX = 400 };

struct dahost_library {
  atomic_int refs;       /* the registry, and each call under way */
  bind_natives *natives; /* while it is being opened */
  const dahost_library_info *info;
  void *user;
  char fault[WHY_MAX];
  bind_native **list;
  size_t count;
  dahost_library *next;
};

struct bind_natives {
  da_table by_name;
  dahost_library *libraries;
};

void bind_library_ref(dahost_library *library)
{
  (void)atomic_fetch_add(&library->refs, 1);
}

void bind_library_unref(dahost_library *library)
{
  if (atomic_fetch_sub(&library->refs, 1) > 1) return;
  if (library->info->close != NULL) library->info->close(library->user);
  for (size_t i = 0; i < library->count; i++) {
    char *name;
    memcpy(&name, &library->list[i]->native.name.ptr, sizeof name); /* made by dahost_add() */
    free(name);
    free(library->list[i]);
  }
  free(library->list);
  free(library);
}

void bind_natives_delete(bind_natives *natives)
{
  if (natives == NULL) return;
  for (dahost_library *library = natives->libraries, *next; library != NULL; library = next) {
    next = library->next;
    bind_library_unref(library);
  }
  da_table_free(&natives->by_name);
  free(natives);
}

void bind_natives_end(void)
{
  battery_exec_end();
}

const da_native *bind_natives_find(void *natives, da_slice name)
{
  const bind_native *native = natives != NULL ? da_table_get(&((bind_natives *)natives)->by_name, name) : NULL;
  return native != NULL ? &native->native : NULL;
}

static bool is_battery(const dahost_library *library)
{
  for (const dahost_library_info *const *each = battery_libraries; *each != NULL; each++)
    if (library->info == *each) return true;
  return false;
}

/* Whose library is it? NULL: there is none. */
static const dahost_library *library_of(const bind_natives *natives, da_slice name)
{
  ptrdiff_t dot = da_slice_find(name, '.');
  da_slice word = da_slice_make(name.ptr, dot < 0 ? name.len : (size_t)dot);
  const dahost_library *library = natives != NULL ? natives->libraries : NULL;
  while (library != NULL && !da_slice_eq(da_slice_of(library->info->name), word)) library = library->next;
  return library;
}

const char *bind_natives_words(const bind_natives *natives, da_slice name)
{
  static _Thread_local char words[WORDS_MAX];
  size_t len = 0;
  const dahost_library *meant = library_of(natives, name);
  for (const dahost_library *library = natives != NULL ? natives->libraries : NULL; library != NULL;
       library = library->next)
    for (size_t i = 0;
         (meant != NULL ? library == meant : !is_battery(library)) && i < library->count && len < WORDS_MAX; i++)
      len += (size_t)snprintf(words + len, WORDS_MAX - len, "%s%.*s", len == 0 ? "there are " : ", ",
                              DA_FMT(library->list[i]->native.name));
  if (len == 0) (void)snprintf(words, WORDS_MAX, "there are none: --plugin FILE brings some");
  return words;
}

/* ---- adding --------------------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
  if (name == NULL || name[0] == 0 || isdigit((unsigned char)name[0]) != 0) return false;
  for (const char *at = name; *at != 0; at++)
    if (isalnum((unsigned char)*at) == 0 && *at != '_') return false;
  return strlen(name) <= 64;
}

static bool add_fault(dahost_library *library, const char *name, const char *words)
{
  (void)snprintf(library->fault, sizeof library->fault, "'%s' %s", name != NULL ? name : "(null)", words);
  return false;
}

bool dahost_add(dahost_library *library, const char *name, dahost_kind kind, dahost_fn fn, void *user)
{
  if (library->natives == NULL) return add_fault(library, name, "is added too late: only while the library is opened");
  if (!is_name(name)) return add_fault(library, name, "cannot be the name of a native: letters, digits and '_'");
  if (fn == NULL || (int)kind < DAHOST_SYNC || kind > DAHOST_PURE)
    return add_fault(library, name, "needs a function and one of the four kinds");
  bind_native *native = da_xcalloc(1, sizeof *native);
  size_t size = strlen(library->info->name) + strlen(name) + 2;
  char *full = da_xcalloc(size, 1);
  (void)snprintf(full, size, "%s.%s", library->info->name, name);
  *native = (bind_native){.native = {.name = da_slice_of(full),
                                     .kind = (da_native_kind)kind,
                                     .run = bind_call_run,
                                     .cancel = bind_call_cancel,
                                     .let_go = bind_call_let_go},
                          .fn = fn,
                          .user = user,
                          .library = library};
  if (da_table_get(&library->natives->by_name, native->native.name) != NULL) {
    free(full);
    free(native);
    return add_fault(library, name, "is added twice");
  }
  library->list = da_xrealloc(library->list, (library->count + 1) * sizeof(bind_native *));
  library->list[library->count++] = native;
  (void)da_table_put(&library->natives->by_name, native->native.name, native);
  return true;
}

const char *dahost_library_error(const dahost_library *library)
{
  return library->fault;
}

static da_status check_info(const dahost_library_info *info, const char *who, da_err *err)
{
  if (info->abi != DAHOST_ABI)
    return da_fail(
        err, DA_EINVAL,
        "%s: built for version %u of dahost.h, and this dahost has version %d; build it again with its header", who,
        (unsigned)info->abi, DAHOST_ABI);
  if (info->size < sizeof *info)
    return da_fail(err, DA_EINVAL,
                   "%s: its description has %u bytes, and version %d has %u; fill in `size` by DAHOST_PLUGIN", who,
                   (unsigned)info->size, DAHOST_ABI, (unsigned)sizeof *info);
  if (!is_name(info->name) || info->open == NULL)
    return da_fail(err, DA_EINVAL, "%s: needs a name of letters, digits and '_', and a function `open`", who);
  return DA_OK;
}

static da_status open_library(bind_natives *natives, const dahost_library_info *info, const char *who, da_err *err)
{
  for (const dahost_library *there = natives->libraries; there != NULL; there = there->next)
    if (strcmp(there->info->name, info->name) == 0)
      return da_fail(err, DA_EINVAL, "%s: there is a library '%s' already", who, info->name);
  dahost_library *library = da_xcalloc(1, sizeof *library);
  library->refs = 1;
  library->natives = natives;
  library->info = info;
  char why[WHY_MAX] = "";
  int refused = info->open(library, &library->user, why, sizeof why);
  library->natives = NULL;
  library->next = natives->libraries;
  natives->libraries = library;
  if (refused == 0 && library->fault[0] == 0) return DA_OK;
  why[WHY_MAX - 1] = 0;
  return da_fail(err, DA_EINVAL, "%s: library '%s' cannot be used: %s", who, info->name,
                 why[0] != 0              ? why
                 : library->fault[0] != 0 ? library->fault
                                          : "it does not say why");
}

da_status bind_natives_add(bind_natives *natives, const dahost_library_info *info, da_err *err)
{
  const char *who = info->name != NULL ? info->name : "a library";
  da_status status = check_info(info, who, err);
  return status != DA_OK ? status : open_library(natives, info, who, err);
}

bind_natives *bind_natives_new(void)
{
  bind_natives *natives = da_xcalloc(1, sizeof *natives);
  for (const dahost_library_info *const *each = battery_libraries; *each != NULL; each++) {
    da_status status = bind_natives_add(natives, *each, NULL);
    DA_ASSERT(status == DA_OK);
  }
  return natives;
}

da_status bind_natives_load(bind_natives *natives, const char *path, da_err *err)
{
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (object == NULL) return da_fail(err, DA_EINVAL, "plugin %s: %s", path, dlerror());
  const dahost_library_info *info = dlsym(object, "dahost_plugin");
  char who[WHY_MAX];
  (void)snprintf(who, sizeof who, "plugin %s", path);
  if (info == NULL)
    return da_fail(err, DA_EINVAL,
                   "%s: it exports no `dahost_plugin`, so it is no plugin of dahost; write DAHOST_PLUGIN(\"name\", "
                   "open, close) in it",
                   who);
  da_status status = check_info(info, who, err);
  return status != DA_OK ? status : open_library(natives, info, who, err);
}
