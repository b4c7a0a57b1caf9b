/* battery_http.c - da.http: requests over HTTP, by libcurl.
 *
 * libcurl is loaded at the first request, so a process that makes none has neither it nor its TLS. Each step thread has
 * a handle of its own, which keeps connections open between requests. What comes is read in pieces, up to a bound; into
 * a file it goes by way of a temporary one beside it, so that the file is whole or as it was.
 *
 * A request that changes something carries an `Idempotency-Key` made of the call's id and of what is sent: the same in
 * each attempt, and in a process that takes over.
 *
 * Threads:  a step thread (POOL). It waits at most a second before it looks whether it still should.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../host/base/bytes.h"
#include "../host/base/hash.h"
#include "battery.h"

enum {
  BODY_MAX = 1 << 20, /* of an answer, if it is not said otherwise */
  TIMEOUT_MS = 60000, /* for all of it, likewise */
  CONNECT_MS = 10000,
  REDIRECTS_MAX = 5,
  SHOWN_MAX = 1000, /* bytes of an answer within an error */
};

/* ---- libcurl -------------------------------------------------------------------------------------------- */

/* Its header hides two functions behind macros of their names. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define CURL_FUNCTIONS(X) \
  X(curl_global_init)     \
  X(curl_easy_init)       \
  X(curl_easy_reset)      \
  X(curl_easy_setopt)     \
  X(curl_easy_perform)    \
  X(curl_easy_getinfo)    \
  X(curl_easy_cleanup)    \
  X(curl_easy_strerror)   \
  X(curl_slist_append)    \
  X(curl_slist_free_all)

#define X(name) __typeof__(name) *(name);
static struct {
  CURL_FUNCTIONS(X)
} lib;
#undef X

static const struct {
  const char *name;
  size_t at;
} symbols[] = {
#define X(name) {#name, offsetof(__typeof__(lib), name)},
    CURL_FUNCTIONS(X)
#undef X
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t handle_key;
static const char *lack; /* why it cannot be used */

static void free_handle(void *handle)
{
  lib.curl_easy_cleanup(handle);
}

/* Never closed: its TLS ends itself when the process does. */
static void load(void)
{
  void *object = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (object == NULL) {
    lack = "da.http needs libcurl (Debian's package libcurl4)";
    return;
  }
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *function = dlsym(object, symbols[i].name);
    if (function == NULL) lack = "this libcurl.so.4 is too old for da.http";
    memcpy((char *)&lib + symbols[i].at, &function, sizeof function); /* as dlsym(3) has it */
  }
  if (lack == NULL && lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) lack = "libcurl cannot be started";
  if (lack == NULL && pthread_key_create(&handle_key, free_handle) != 0) lack = "no key for the handles of libcurl";
}

/* This thread's handle, without any option; or NULL, with the call failed. */
static CURL *take_handle(dahost_call *call)
{
  (void)pthread_once(&once, load);
  CURL *handle = lack == NULL ? pthread_getspecific(handle_key) : NULL;
  if (lack == NULL && handle == NULL) {
    handle = lib.curl_easy_init();
    if (handle != NULL) (void)pthread_setspecific(handle_key, handle);
  } else if (handle != NULL) {
    lib.curl_easy_reset(handle);
  }
  if (handle != NULL) return handle;
  dahost_fail(call, "no_http", "%s", lack != NULL ? lack : "libcurl gives no handle");
  if (lack != NULL) dahost_fail_fatal(call);
  return NULL;
}

/* ---- a request ------------------------------------------------------------------------------------------- */

typedef struct request {
  dahost_call *call;
  const char *what; /* "http.get" */
  const char *method, *url, *ca, *to;
  da_slice body;
  bool has_body, check, follow;
  int64_t body_max, timeout_ms;
  da_buf json;
  struct curl_slist *headers;
  bool has_type, has_key;
} request;

typedef struct answer {
  const request *to;
  CURL *handle;
  dahost_value headers; /* of the last answer: redirects have some, too */
  da_buf body;
  FILE *file;
  char *file_name;
  int64_t size;
  int file_error;
  bool too_large, stopped;
} answer;

static bool is_token(const char *text)
{
  for (const char *at = text; *at != '\0'; at++)
    if (isgraph((unsigned char)*at) == 0 || strchr("\"(),/:;<=>?@[\\]{}", *at) != NULL) return false;
  return text[0] != '\0';
}

static void add_header(request *r, const char *name, const char *text)
{
  size_t size = strlen(name) + strlen(text) + 3;
  char *line = da_xcalloc(size, 1);
  (void)snprintf(line, size, text[0] != '\0' ? "%s: %s" : "%s;", name, text); /* libcurl's way to send an empty one */
  r->headers = lib.curl_slist_append(r->headers, line);
  free(line);
}

static bool read_headers(request *r, dahost_value options)
{
  dahost_value table = options != 0 ? dahost_field(r->call, options, "headers") : 0;
  if (dahost_type_of(r->call, table) <= DAHOST_NIL) return true;
  if (dahost_type_of(r->call, table) != DAHOST_TABLE)
    return battery_refuse(r->call, "option 'headers' of %s must be a table of name = \"text\"", r->what);
  for (dahost_value key = 0, value = 0; dahost_next(r->call, table, &key, &value);) {
    size_t len = 0;
    const char *name = dahost_to_string(r->call, key, NULL), *text = dahost_to_string(r->call, value, &len);
    if (name == NULL || !is_token(name) || text == NULL || strlen(text) != len || strpbrk(text, "\r\n") != NULL)
      return battery_refuse(r->call, "option 'headers' of %s must be a table of name = \"text\"; '%.60s' is no header",
                            r->what, name != NULL ? name : "[...]");
    r->has_type = r->has_type || strcasecmp(name, "content-type") == 0;
    r->has_key = r->has_key || strcasecmp(name, "idempotency-key") == 0;
    add_header(r, name, text);
  }
  return true;
}

static bool read_body(request *r, dahost_value options)
{
  dahost_value body = options != 0 ? dahost_field(r->call, options, "body") : 0;
  dahost_value json = options != 0 ? dahost_field(r->call, options, "json") : 0;
  bool has_text = dahost_type_of(r->call, body) > DAHOST_NIL, has_json = json != 0;
  if (has_text && has_json) return battery_refuse(r->call, "give %s body or json, not both", r->what);
  r->has_body = has_text || has_json;
  if (has_text) {
    r->body.ptr = dahost_to_string(r->call, body, &r->body.len);
    if (r->body.ptr == NULL) return battery_refuse(r->call, "option 'body' of %s must be a string", r->what);
  }
  if (has_json) {
    const char *why = battery_json_put(r->call, json, &r->json);
    if (why != NULL) return battery_refuse(r->call, "option 'json' of %s: %s", r->what, why);
    r->body = da_buf_slice(&r->json);
    if (!r->has_type) add_header(r, "Content-Type", "application/json");
  } else if (has_text && !r->has_type) {
    add_header(r, "Content-Type", "application/octet-stream");
  } else if (!r->has_type) {
    r->headers = lib.curl_slist_append(r->headers, "Content-Type:"); /* else libcurl says that it is a form */
  }
  bool empty_handed = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
  return !(r->has_body && empty_handed) || battery_refuse(r->call, "a %s has no body", r->method);
}

static bool read_options(request *r, int at)
{
  static const char *const names[] = {"body", "ca", "check", "follow", "headers", "json", "max", "timeout", "to", NULL};
  dahost_call *call = r->call;
  dahost_value options;
  r->follow = true;
  r->timeout_ms = TIMEOUT_MS;
  r->body_max = -1;
  bool good = battery_options(call, at, r->what, names, &options) &&
              battery_option_flag(call, options, r->what, "check", &r->check) &&
              battery_option_flag(call, options, r->what, "follow", &r->follow) &&
              battery_option_text(call, options, r->what, "ca", &r->ca) &&
              battery_option_text(call, options, r->what, "to", &r->to) &&
              battery_option_integer(call, options, r->what, "max", (int64_t)1 << 50, &r->body_max) &&
              battery_duration_ms(call, options != 0 ? dahost_field(call, options, "timeout") : 0, "option 'timeout'",
                                  &r->timeout_ms) &&
              read_headers(r, options) && read_body(r, options);
  if (!good) return false;
  if (r->body_max < 0) r->body_max = r->to != NULL ? (int64_t)1 << 50 : BODY_MAX;
  return r->to != NULL || r->body_max <= BATTERY_BYTES_MAX ||
         battery_refuse(call, "option 'max' of %s must be an integer from 0 to %d, or stream to a file: to = PATH",
                        r->what, BATTERY_BYTES_MAX);
}

/* The same for the same request of the same call; several requests of one step are told apart. */
static void add_key(request *r)
{
  char text[400];
  uint64_t hash = da_hash64(da_slice_of(r->method)) * 31 + da_hash64(da_slice_of(r->url));
  if (r->has_key || strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0) return;
  hash = hash * 31 + da_hash64(r->body);
  (void)snprintf(text, sizeof text, "%s/%016llx", dahost_call_id(r->call), (unsigned long long)hash);
  add_header(r, "Idempotency-Key", text);
}

/* ---- what comes ------------------------------------------------------------------------------------------ */

static size_t on_header(char *bytes, size_t one, size_t count, void *user)
{
  answer *a = user;
  dahost_call *call = a->to->call;
  size_t len = one * count, name_len = 0;
  char name[128];
  if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* of a redirect, or of 100 Continue: those before count no more */
    a->headers = dahost_new_table(call);
    return len;
  }
  while (name_len < len && bytes[name_len] != ':') name_len++;
  if (name_len == len || name_len >= sizeof name) return len;
  for (size_t i = 0; i < name_len; i++) name[i] = (char)tolower((unsigned char)bytes[i]);
  name[name_len] = '\0';
  const char *text = bytes + name_len + 1, *end = bytes + len;
  while (text < end && (*text == ' ' || *text == '\t')) text++;
  while (end > text && isspace((unsigned char)end[-1]) != 0) end--;
  int mark = dahost_mark(call);
  da_buf joined = {0};
  size_t there_len = 0;
  const char *there = dahost_to_string(call, dahost_field(call, a->headers, name), &there_len);
  if (there != NULL) da_buf_addf(&joined, "%.*s, ", (int)there_len, there);
  da_buf_add(&joined, text, (size_t)(end - text));
  dahost_set(call, a->headers, name, dahost_new_string(call, joined.ptr, joined.len));
  da_buf_free(&joined);
  dahost_release(call, mark);
  return len;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *user)
{
  answer *a = user;
  size_t len = one * count;
  a->size += (int64_t)len;
  a->too_large = a->size > a->to->body_max;
  if (a->too_large) return 0;
  if (a->file == NULL) {
    da_buf_add(&a->body, bytes, len);
  } else if (fwrite(bytes, 1, len, a->file) != len) {
    a->file_error = errno;
    return 0;
  }
  return len;
}

static int on_progress(void *user, curl_off_t a1, curl_off_t a2, curl_off_t a3, curl_off_t a4)
{
  answer *a = user;
  (void)a1, (void)a2, (void)a3, (void)a4;
  a->stopped = battery_stopped(a->to->call);
  return a->stopped;
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static bool open_file(answer *a)
{
  const char *path = a->to->to;
  int fd = battery_open_temporary(path, &a->file_name);
  a->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
  if (a->file != NULL) return true;
  battery_fail_errno(a->to->call, errno, "cannot write %s", path);
  return false;
}

/* keep: it takes the place of the file that was asked for. */
static void close_file(answer *a, bool keep)
{
  if (a->file == NULL) return;
  int error = fflush(a->file) == 0 && fsync(fileno(a->file)) == 0 ? 0 : errno;
  if (fclose(a->file) != 0 && error == 0) error = errno;
  a->file = NULL;
  bool renamed = keep && error == 0 && rename(a->file_name, a->to->to) == 0;
  if (keep && error == 0) error = renamed ? battery_flush_folder(a->to->to) : errno;
  if (!renamed) (void)unlink(a->file_name);
  if (keep && error != 0) battery_fail_errno(a->to->call, error, "cannot write %s", a->to->to);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static bool is_of_tls(CURLcode code)
{
  static const CURLcode codes[] = {CURLE_SSL_CONNECT_ERROR,        CURLE_SSL_CERTPROBLEM,      CURLE_SSL_CIPHER,
                                   CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE,   CURLE_SSL_ISSUER_ERROR,
                                   CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i] == code) return true;
  return false;
}

static void fail_transfer(answer *a, CURLcode code, const char *words)
{
  const request *r = a->to;
  const char *name = "http";
  bool fatal = false;
  if (code == CURLE_OPERATION_TIMEDOUT) name = "timedout";
  if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT)
    name = "unreachable";
  if (is_of_tls(code)) name = "tls";
  if (code == CURLE_TOO_MANY_REDIRECTS) name = "redirects";
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) name = "bad_argument";
  fatal =
      code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_TOO_MANY_REDIRECTS || strcmp(name, "bad_argument") == 0;
  /* Those of the first two tell milliseconds, which would make each record another. */
  bool plain = strcmp(name, "timedout") == 0 || strcmp(name, "unreachable") == 0 || words[0] == '\0';
  dahost_fail(r->call, name, "%s %s: %s", r->method, r->url, plain ? lib.curl_easy_strerror(code) : words);
  if (fatal) dahost_fail_fatal(r->call);
}

/* Will another attempt be answered otherwise, perhaps? */
static bool may_pass(long status)
{
  return status >= 500 || status == 408 || status == 425 || status == 429;
}

static void fail_status(answer *a, long status)
{
  dahost_call *call = a->to->call;
  char code[16];
  (void)snprintf(code, sizeof code, "http_%ld", status);
  dahost_fail(call, code, "%s %s was answered with %ld", a->to->method, a->to->url, status);
  dahost_fail_field(call, "status", dahost_new_integer(call, status));
  dahost_fail_field(call, "headers", a->headers);
  size_t shown = a->body.len < SHOWN_MAX ? a->body.len : SHOWN_MAX;
  dahost_fail_field(call, "body", dahost_new_string(call, a->body.ptr, shown));
  if (!may_pass(status)) dahost_fail_fatal(call);
}

static void return_answer(answer *a, long status)
{
  dahost_call *call = a->to->call;
  dahost_value table = dahost_new_table(call);
  dahost_set(call, table, "status", dahost_new_integer(call, status));
  if (a->headers != 0) dahost_set(call, table, "headers", a->headers);
  if (a->to->to != NULL)
    dahost_set(call, table, "size", dahost_new_integer(call, a->size));
  else
    dahost_set(call, table, "body", dahost_new_string(call, a->body.ptr, a->body.len));
  dahost_return(call, table);
}

static void conclude(answer *a, CURLcode code, const char *words)
{
  const request *r = a->to;
  long status = 0;
  (void)lib.curl_easy_getinfo(a->handle, CURLINFO_RESPONSE_CODE, &status);
  bool refused = code == CURLE_OK && r->check && status >= 400;
  close_file(a, code == CURLE_OK && !refused);
  if (a->stopped) return; /* the call has failed */
  if (a->too_large) {
    dahost_fail(r->call, "too_large", "the answer to %s %s is larger than %lld bytes", r->method, r->url,
                (long long)r->body_max);
    dahost_fail_fatal(r->call);
  } else if (a->file_error != 0) {
    battery_fail_errno(r->call, a->file_error, "cannot write %s", r->to);
  } else if (code != CURLE_OK) {
    fail_transfer(a, code, words);
  } else if (refused) {
    fail_status(a, status);
  } else {
    return_answer(a, status);
  }
}

static void set_method(CURL *h, const request *r)
{
  if (strcmp(r->method, "HEAD") == 0) {
    (void)lib.curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    return;
  }
  if (strcmp(r->method, "GET") == 0) return;
  if (r->has_body || strcmp(r->method, "POST") == 0) {
    (void)lib.curl_easy_setopt(h, CURLOPT_POST, 1L);
    (void)lib.curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    (void)lib.curl_easy_setopt(h, CURLOPT_POSTFIELDS, r->body.len > 0 ? r->body.ptr : "");
  }
  if (strcmp(r->method, "POST") != 0) (void)lib.curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, r->method);
}

static void carry_out(request *r)
{
  char words[CURL_ERROR_SIZE] = "";
  answer a = {.to = r, .handle = take_handle(r->call)};
  CURL *h = a.handle;
  if (h == NULL || (r->to != NULL && !open_file(&a))) {
    free(a.file_name);
    return;
  }
  r->headers = lib.curl_slist_append(r->headers, "Expect:"); /* it waits a second where nobody knows it */
  (void)lib.curl_easy_setopt(h, CURLOPT_URL, r->url);
  set_method(h, r);
  (void)lib.curl_easy_setopt(h, CURLOPT_HTTPHEADER, r->headers);
  (void)lib.curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  (void)lib.curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  (void)lib.curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, r->follow ? 1L : 0L);
  (void)lib.curl_easy_setopt(h, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
  (void)lib.curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, r->timeout_ms > 0 ? (long)r->timeout_ms : 1L); /* 0: for ever */
  (void)lib.curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
  (void)lib.curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  (void)lib.curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "");
  (void)lib.curl_easy_setopt(h, CURLOPT_USERAGENT, "dahost");
  (void)lib.curl_easy_setopt(h, CURLOPT_ERRORBUFFER, words);
  (void)lib.curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
  (void)lib.curl_easy_setopt(h, CURLOPT_HEADERDATA, &a);
  (void)lib.curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
  (void)lib.curl_easy_setopt(h, CURLOPT_WRITEDATA, &a);
  (void)lib.curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
  (void)lib.curl_easy_setopt(h, CURLOPT_XFERINFODATA, &a);
  (void)lib.curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
  if (r->ca != NULL) (void)lib.curl_easy_setopt(h, CURLOPT_CAINFO, r->ca);
  CURLcode code = lib.curl_easy_perform(h);
  conclude(&a, code, words);
  (void)lib.curl_easy_setopt(h, CURLOPT_ERRORBUFFER, (char *)NULL);
  da_buf_free(&a.body);
  free(a.file_name);
}

static void ask(dahost_call *call, const char *what, const char *method, int at)
{
  request r = {.call = call, .what = what, .method = method};
  (void)pthread_once(&once, load); /* the list of headers is libcurl's */
  if (lack != NULL) {
    (void)take_handle(call);
    return;
  }
  if (dahost_arg_string(call, at, &r.url, NULL) && read_options(&r, at + 1)) {
    add_key(&r);
    carry_out(&r);
  }
  lib.curl_slist_free_all(r.headers);
  da_buf_free(&r.json);
}

static void http_get(dahost_call *call, void *user)
{
  (void)user;
  ask(call, "http.get", "GET", 1);
}

static void http_post(dahost_call *call, void *user)
{
  (void)user;
  ask(call, "http.post", "POST", 1);
}

/* request(method, url, options) */
static void http_request(dahost_call *call, void *user)
{
  const char *method;
  (void)user;
  if (!dahost_arg_string(call, 1, &method, NULL)) return;
  if (!is_token(method)) {
    (void)battery_refuse(call, "argument 1 of http.request must be a method, \"PUT\"");
    return;
  }
  ask(call, "http.request", method, 2);
}

static int open_http(dahost_library *library, void **user, char *why, size_t why_size)
{
  static const battery_native natives[] = {{"get", DAHOST_POOL, http_get},
                                           {"post", DAHOST_POOL, http_post},
                                           {"request", DAHOST_POOL, http_request},
                                           {NULL, DAHOST_POOL, NULL}};
  (void)user;
  return battery_add(library, natives, why, why_size);
}

const dahost_library_info battery_http = {DAHOST_ABI, sizeof(dahost_library_info), "http", open_http, NULL};
