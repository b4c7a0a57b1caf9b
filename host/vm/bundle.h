/* bundle.h - the code an execution is pinned to: a script and the modules it requires, under one content hash.
 *
 * Here:     reading a script and its modules from disk, the bytes kept in the store, looking a module up.
 * May not:  run Lua, know a store.
 * Encoding: per module its file, its module name and its text, each behind a u32 length; the script first, the rest
 *           sorted by file. Files are bundle-relative ("order.lua", "lib/stock.lua"); the hash is over these bytes.
 * Threads:  immutable once made; shared by reference count.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_BUNDLE_H
#define DA_VM_BUNDLE_H

#include "../base/hash.h"

typedef struct da_module {
  da_slice file;   /* "lib/stock.lua" */
  da_slice module; /* "lib.stock"; of the script: its file name without ".lua" */
  da_slice text;
} da_module;

typedef struct da_bundle {
  da_digest hash;
  da_slice bytes;     /* the encoding; owned */
  da_module *modules; /* slices into bytes */
  size_t module_count;
  char *directory; /* where the script was read from, for `require` of step states; NULL when it came from a store */
  int refs;        /* atomic */
} da_bundle;

/* Reads the script at path and every module it, or one of its modules, requires with a literal name and that lies
 * beside the script (name.lua or name/init.lua). Missing or unreadable: DA_ENOTFOUND or DA_EIO with the path. */
da_status DA_MUST_USE da_bundle_read(const char *path, da_bundle **out, da_err *err);
/* A bundle whose script is `text`, called `file`, beside the modules of `inner`, whose own script is the module `name`;
 * inner NULL: that module is empty. */
da_status DA_MUST_USE da_bundle_around(const char *file, da_slice text, const char *name, const da_bundle *inner,
                                       da_bundle **out, da_err *err);
/* From the bytes of a store. */
da_status DA_MUST_USE da_bundle_decode(da_slice bytes, da_bundle **out, da_err *err);
const da_module *da_bundle_find(const da_bundle *bundle, da_slice module); /* NULL if absent */
da_bundle *da_bundle_ref(da_bundle *bundle);
void da_bundle_unref(da_bundle *bundle);

#endif
