/* status.h - how an operation says that it could not be done.
 *
 * Here:     the list of operating failures (one X-list makes enum, short name and sentence) and da_err, the words.
 * Not here: answers. A 404 or a 409 is data in a da_reply, decided by the engine; see engine/record.h.
 * Errors:   a function that can fail returns da_status (0 or negative) and takes `da_err *err` last; err may be NULL.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_STATUS_H
#define DA_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#define DA_STATUS_MAP(X)                               \
  X(-1, ENOMEM, "out of memory")                       \
  X(-2, EIO, "input/output error")                     \
  X(-3, EFULL, "storage full")                         \
  X(-4, EBUSY, "held by another process")              \
  X(-5, EVERSION, "written by another format version") \
  X(-6, ECORRUPT, "damaged data")                      \
  X(-7, EINVAL, "invalid argument")                    \
  X(-8, ENOTFOUND, "not found")                        \
  X(-9, EQUEUE, "queue full")                          \
  X(-10, ECANCELED, "canceled")                        \
  X(-11, ELUA, "script error")                         \
  X(-12, ETOOBIG, "too large")                         \
  X(-13, EACCES, "permission denied")                  \
  X(-14, ECLOSED, "closed")

typedef enum da_status {
  DA_OK = 0,
#define X(value, name, text) DA_##name = (value),
  DA_STATUS_MAP(X)
#undef X
} da_status;

#define DA_MUST_USE __attribute__((warn_unused_result))
#define DA_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* The words of a failure, for a person: what was tried, on what, and the mend. Never parsed. */
typedef struct da_err {
  char text[1024];
} da_err;

/* The sentence and the short name ("EFULL") of a status. Static strings. */
const char *da_status_text(da_status status);
const char *da_status_name(da_status status);

/* Writes the words into err (cut to fit; err may be NULL) and returns status, so that a caller can
 * `return da_fail(err, DA_EINVAL, "...")`. */
da_status da_fail(da_err *err, da_status status, const char *format, ...) DA_PRINTF(3, 4);

/* A programmer's mistake. On in every build: prints where, what and both values, then aborts. */
_Noreturn void da_assert_failed(const char *file, int line, const char *what, long long a, long long b);
#define DA_ASSERT(cond)                                             \
  do {                                                              \
    if (!(cond)) da_assert_failed(__FILE__, __LINE__, #cond, 0, 0); \
  } while (0)
#define DA_ASSERT_OP(a, op, b)                                                                                \
  do {                                                                                                        \
    if (!((a)op(b))) da_assert_failed(__FILE__, __LINE__, #a " " #op " " #b, (long long)(a), (long long)(b)); \
  } while (0)

#endif
