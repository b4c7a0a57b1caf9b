/* battery.h - the libraries of natives that every host has: da.exec, da.fs, da.hash, da.http, da.json.
 *
 * Here:     the libraries, and what their files share: errors by errno, tables of options.
 * May not:  know calls but through dahost.h: a battery has what a plugin has, and base.
 * Threads:  as dahost.h says of the kinds. A POOL one waits in short pieces, and looks in between whether it still
 *           should (battery_stopped()).
 * To add:   the file of the library, its name below and in battery.c, and in lua/da/define.lua.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BATTERY_H
#define DA_BINDINGS_BATTERY_H

#include "../host/base/bytes.h"
#include "dahost.h"

extern const dahost_library_info battery_exec, battery_fs, battery_hash, battery_http, battery_json;
extern const dahost_library_info *const battery_libraries[]; /* NULL at the end */

/* Kills all that da.exec runs. For the end of the process; also from a signal handler. */
void battery_exec_end(void);

/* Appends the value as JSON on one line. NULL, or why it cannot be; static. */
const char *battery_json_put(dahost_call *call, dahost_value value, da_buf *out);

enum {
  BATTERY_LOOK_MS = 50,
  BATTERY_BYTES_MAX = 8 << 20, /* of a file or an output: as base64 it still is a value that can be recorded */
};

typedef struct battery_native {
  const char *name; /* NULL: the end */
  dahost_kind kind;
  dahost_fn fn;
} battery_native;

/* What `open` of a library returns. */
int battery_add(dahost_library *library, const battery_native *natives, char *why, size_t why_size);

/* The call fails with errno's name as its code ("enoent") and `format`: its words; for ever, unless another attempt may
 * find it otherwise (no space, too many open files). */
void battery_fail_errno(dahost_call *call, int error, const char *format, ...) DAHOST_PRINTF(3, 4);
/* The call fails with the code "bad_argument", for ever. Returns false. */
bool battery_refuse(dahost_call *call, const char *format, ...) DAHOST_PRINTF(2, 3);

/* A table of options as the argument i, or none (*out is 0). `names` ends with NULL; another name, and below a value of
 * another type, is refused: false. `what` is the native, "fs.read". */
bool battery_options(dahost_call *call, int i, const char *what, const char *const *names, dahost_value *out);
/* An option that is not given leaves *out as it is. */
bool battery_option_integer(dahost_call *call, dahost_value options, const char *what, const char *name, int64_t max,
                            int64_t *out);
bool battery_option_flag(dahost_call *call, dahost_value options, const char *what, const char *name, bool *out);
/* Without a zero byte. */
bool battery_option_text(dahost_call *call, dahost_value options, const char *what, const char *name, const char **out);
/* Seconds as a number, or "250ms", "1h30m". */
bool battery_duration_ms(dahost_call *call, dahost_value value, const char *what, int64_t *out);

/* A file that no other call has, beside the one at path: its descriptor, or -1 and errno. *name is the caller's to
 * free; it takes the name of the file by rename(2), or is removed. */
int battery_open_temporary(const char *path, char **name);
/* Names made, changed or taken away in the folder of a path reach the disk. 0, or errno's number. */
int battery_flush_folder(const char *path);

int64_t battery_tick_ms(void); /* a clock that only goes on */
/* Does nobody wait any more, or is its deadline over? Then the call has failed, with "canceled" or "timedout". */
bool battery_stopped(dahost_call *call);

#endif
