/* cli_stubs.c - dahost stubs: what other files may call of a file, or of a group that others serve, for editors.
 *
 * One class per group, with a field for each workflow. A script is loaded as `run` would load it; nothing of it runs. A
 * group is asked on a server, by a call of `~stubs`, which its worker answers itself (vm/builtin.c): a promise with a
 * deadline a little behind the end of the wait, so that nothing is offered for ever, whatever becomes of this process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "../../bindings/bind_stubs.h"
#include "../base/clock.h"
#include "../base/text.h"
#include "../vm/worker.h"
#include "cli.h"
#include "json_text.h"
#include "remote.h"
#include "text.h"

enum {
  WAIT_MS = 10000,   /* for an answer of the group */
  GRACE_MS = 10000,  /* behind that, if the call could not be withdrawn */
  LOOK_MS = 10,      /* to the first look */
  LOOK_MAX_MS = 250, /* between two */
};

static da_status write_stubs(void *user, lua_State *L, da_err *err)
{
  return bind_stubs_write(L, user, err);
}

/* "gpu=render.lua": the group ("" if none is named), and the file behind it. */
static const char *split(const char *operand, da_slice *group)
{
  const char *equals = strchr(operand, '=');
  const char *slash = strchr(operand, '/');
  if (equals == NULL || equals == operand || (slash != NULL && slash < equals)) {
    *group = DA_LIT("default");
    return operand;
  }
  *group = da_slice_make(operand, (size_t)(equals - operand));
  return equals + 1;
}

static void begin_class(da_buf *out, da_slice group)
{
  da_buf_addf(out, "\n---@class da.group.%.*s\n", DA_FMT(group));
}

static void end_class(da_buf *out, da_slice group)
{
  da_buf_addf(out, "\n---@class da\n---@field service fun(group: \"%.*s\"): da.group.%.*s\n", DA_FMT(group),
              DA_FMT(group));
}

static void begin_text(const cli_command *command, const char *server, da_buf *out)
{
  da_buf_addf(out, "---@meta\n-- Written by `dahost stubs");
  for (size_t i = 0; i < command->operand_count; i++) da_buf_addf(out, " %s", command->operands[i]);
  if (server != NULL) da_buf_addf(out, " --server %s", server);
  da_buf_addf(out, "`.\n");
}

/* A class for each group; of files of the same group the fields come together. */
static da_status add_file(da_worker *worker, const char *operand, da_buf *out, da_err *err)
{
  da_slice group;
  da_bundle *bundle = NULL;
  const char *path = split(operand, &group);
  da_status status = da_bundle_read(path, &bundle, err);
  if (status != DA_OK) return status;
  begin_class(out, group);
  status = da_worker_inspect(worker, bundle, write_stubs, out, err);
  da_bundle_unref(bundle);
  end_class(out, group);
  return status;
}

static int write_files(da_worker *worker, const cli_command *command, void *user)
{
  da_buf *out = user;
  begin_text(command, NULL, out);
  for (size_t i = 0; i < command->operand_count; i++) {
    da_err err = {{0}};
    if (add_file(worker, command->operands[i], out, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  }
  return CLI_EXIT_OK;
}

static int print(da_buf *out, int code)
{
  if (code == CLI_EXIT_OK) {
    out->len--; /* the line ends when it is printed */
    cli_print_text(da_buf_slice(out));
  }
  da_buf_free(out);
  return code;
}

int cli_stubs(const cli_command *command)
{
  da_buf out = {0};
  int code = cli_inspect(command, write_files, &out);
  return print(&out, code);
}

/* ---- of a group ---------------------------------------------------------------------------------------- */

/* One call of `~stubs`. */
typedef struct call {
  cli_remote *remote;
  const char *server;
  const char *group;
  char id[32];
  int64_t wait_ms;
  cli_answer answer;
  cJSON *tree; /* of the newest answer */
} call;

static const cJSON *promise_of(const call *c)
{
  return da_json_get(c->tree, "promise");
}

/* Asks, and keeps the answer's tree. Returns 0, or an exit code once it is said what is wrong. */
static int ask(call *c, const char *kind, da_buf *data)
{
  int code = cli_remote_ask(c->remote, kind, da_buf_slice(data), &c->answer);
  da_buf_free(data);
  if (code != CLI_EXIT_OK) return code;
  cJSON_Delete(c->tree);
  c->tree = da_json_parse(c->answer.data, NULL);
  if (c->answer.status == 200 && da_json_text(promise_of(c), "state").len > 0) return 0;
  return cli_fail(CLI_EXIT_FAILED, "%s answers to %s of '%s' with %d: %.*s", c->server, kind, c->id, c->answer.status,
                  DA_FMT(c->answer.data));
}

static void put_data(da_buf *out, const char *name, da_slice json)
{
  da_buf encoded = {0}, value = {0};
  da_text_base64(&encoded, json);
  da_buf_add_byte(&value, '{');
  (void)cli_put_text(&value, "data", da_buf_slice(&encoded)); /* ASCII */
  da_buf_add_byte(&value, '}');
  cli_put_json(out, name, da_buf_slice(&value));
  da_buf_free(&encoded);
  da_buf_free(&value);
}

static int create(call *c)
{
  uint64_t random = 0;
  da_buf data = {0}, tags = {0}, target = {0};
  (void)getrandom(&random, sizeof random, 0); /* 8 bytes are never refused once the system is up */
  (void)snprintf(c->id, sizeof c->id, "stubs-%016llx", (unsigned long long)random);
  da_buf_addf(&target, "poll://any@%s", c->group);
  da_buf_add_byte(&tags, '{');
  (void)cli_put_text(&tags, "resonate:target", da_buf_slice(&target));
  da_buf_add_byte(&tags, '}');
  da_buf_add_byte(&data, '{');
  (void)cli_put_text(&data, "id", da_slice_of(c->id));
  cli_put_int(&data, "timeoutAt", da_clock_now_ms() + c->wait_ms + GRACE_MS);
  put_data(&data, "param", DA_LIT("{\"func\":\"~stubs\",\"args\":[],\"version\":1}"));
  cli_put_json(&data, "tags", da_buf_slice(&tags));
  da_buf_add_byte(&data, '}');
  da_buf_free(&target);
  da_buf_free(&tags);
  return ask(c, "promise.create", &data);
}

static int look(call *c)
{
  da_buf data = {0};
  da_buf_addf(&data, "{\"id\":\"%s\"}", c->id);
  return ask(c, "promise.get", &data);
}

/* What was settled before that stays as it is, and is the answer. */
static int withdraw(call *c)
{
  da_buf data = {0};
  da_buf_addf(&data, "{\"id\":\"%s\",\"state\":\"rejected_canceled\"", c->id);
  put_data(&data, "value",
           DA_LIT("{\"__type\":\"error\",\"message\":\"nobody answered in time\",\"name\":\"canceled\"}"));
  da_buf_add_byte(&data, '}');
  return ask(c, "promise.settle", &data);
}

static bool is_state(const call *c, const char *state)
{
  return da_slice_eq(da_json_text(promise_of(c), "state"), da_slice_of(state));
}

static int wait_for(call *c)
{
  uint64_t end = da_clock_mono_ns() + (uint64_t)c->wait_ms * 1000000;
  int code = 0;
  for (long pause = LOOK_MS; code == 0 && is_state(c, "pending");
       pause = pause * 2 < LOOK_MAX_MS ? pause * 2 : LOOK_MAX_MS) {
    if (da_clock_mono_ns() >= end) return withdraw(c);
    (void)nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
    code = look(c);
  }
  return code;
}

/* The JSON behind the value of the promise; appends it. False: there is none. */
static bool read_value(const call *c, da_buf *json)
{
  da_slice encoded = da_json_text(da_json_get(promise_of(c), "value"), "data");
  ptrdiff_t len = da_text_base64_len(encoded);
  if (encoded.len == 0 || len < 0) return false;
  da_buf_reserve(json, (size_t)len);
  if (!da_text_base64_read(encoded, (char *)json->ptr)) return false;
  json->len = (size_t)len;
  return true;
}

/* Returns 0 once the fields are added, or an exit code once it is said why not. */
static int take_value(const call *c, da_buf *out)
{
  da_buf json = {0};
  bool data = read_value(c, &json);
  cJSON *value = data ? da_json_parse(da_buf_slice(&json), NULL) : NULL;
  int code = CLI_EXIT_OK;
  if (is_state(c, "resolved") && cJSON_IsString(value)) {
    da_buf_add_slice(out, da_slice_of(value->valuestring));
  } else if (is_state(c, "rejected_canceled") || is_state(c, "rejected_timedout")) {
    code = cli_fail(
        CLI_EXIT_ENDED,
        "nobody of group '%s' answered within %lld ms: a dahost serve or a dahost worker that serves it is to be up "
        "(workers of other kinds do not know this call; there is no file '%s' either)",
        c->group, (long long)c->wait_ms, c->group);
  } else {
    da_slice words = da_json_text(value, "message");
    code = cli_fail(CLI_EXIT_REJECTED, "a worker of group '%s' does not tell: %.*s (is it one of dahost?)", c->group,
                    DA_FMT(words.len > 0 ? words : da_json_text(promise_of(c), "state")));
  }
  cJSON_Delete(value);
  da_buf_free(&json);
  return code;
}

static int add_group(call *c, const char *group, da_buf *out)
{
  c->group = group;
  begin_class(out, da_slice_of(group));
  int code = create(c);
  if (code == 0) code = wait_for(c);
  if (code == 0) code = take_value(c, out);
  end_class(out, da_slice_of(group));
  cJSON_Delete(c->tree);
  c->tree = NULL;
  return code;
}

static bool is_file(const char *operand)
{
  da_slice group;
  const char *path = split(operand, &group);
  return path != operand || access(path, F_OK) == 0;
}

static bool is_group(const char *name)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return strspn(name, plain) == strlen(name) && *name != '\0';
}

static int check_groups(const cli_command *command, call *c)
{
  const char *given = command->flags[CLI_TIMEOUT];
  c->wait_ms = WAIT_MS;
  if (given != NULL && (!cli_duration_read(given, &c->wait_ms) || c->wait_ms <= 0 || c->wait_ms > CLI_MS_MAX))
    return cli_fail(CLI_EXIT_USAGE, "--timeout wants a duration (500ms, 30s, 5m), not '%s'", given);
  for (size_t i = 0; i < command->operand_count; i++)
    if (!is_group(command->operands[i]))
      return cli_fail(CLI_EXIT_USAGE, "'%s' is no file, and no group either: letters, digits, '_', '-' and '.'",
                      command->operands[i]);
  return 0;
}

int cli_remote_stubs(const cli_command *command)
{
  if (is_file(command->operands[0])) return cli_stubs(command);
  call c = {.server = command->flags[CLI_SERVER]};
  da_buf out = {0};
  int code = check_groups(command, &c);
  if (code != 0) return code;
  c.remote = cli_remote_new(command);
  if (c.remote == NULL) return CLI_EXIT_USAGE;
  begin_text(command, c.server, &out);
  for (size_t i = 0; code == 0 && i < command->operand_count; i++) code = add_group(&c, command->operands[i], &out);
  cli_remote_delete(c.remote);
  da_buf_free(&c.answer.text);
  return print(&out, code);
}
