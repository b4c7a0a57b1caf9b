/* cli_repl.c - dahost repl: lines in, a session that runs them, commands of the prompt.
 *
 * The session is an execution of lua/tool/session.lua over the user's script: line n is the promise ID:line.<n>, which
 * is settled here with what was typed. That the session calls for the next one says that the line has run. So nothing
 * of the session lives outside its records, and a death is what it is elsewhere: `:crash` drops sched and worker, which
 * then begin anew over the same store, and the session is replayed.
 *
 *     ASKING --a line--> BUSY --the next one is called for--> ASKING       either --:quit, end of input--> over
 *        +--:crash--> host dropped, opened again --> BUSY
 *
 * Threads: the loop thread; lines come from the reader's by a post.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "../base/clock.h"
#include "../base/embed.h"
#include "../base/log.h"
#include "../base/text.h"
#include "../sched/kill.h"
#include "cli.h"
#include "host.h"
#include "line.h"
#include "reach.h"
#include "show.h"
#include "text.h"
#include "value.h"

extern const da_embedded da_tool_files[];

#define SESSION_FILE "dahost-session.lua"
#define SESSION_NAME "repl.session" /* of its workflow */
#define SCRIPT_MODULE "dahost.script"

typedef struct repl {
  const cli_command *command;
  char *place; /* NULL: in memory */
  da_store *store;
  cli_host *host;
  cli_lines *lines;
  lua_State *syntax; /* compiles, runs nothing */
  da_bundle *bundle;
  da_buf id;
  unsigned sessions;
  int64_t line; /* that is wanted, or runs */
  bool busy, interrupted, over;
  bool again; /* it has died: what the script prints while it loads was told */
  bool muted;
  bool returning;   /* a session that was there before: until it calls for a new line */
  bool looking;     /* found_pending() is to come; until then nobody is asked for a line */
  bool called;      /* ... though the session called for one */
  int64_t asked;    /* the last line that somebody was asked for, or that found_pending() gave */
  da_buf entry;     /* lines of one entry */
  da_buf words;     /* what Tab completes: a name, a line end, ... */
  cJSON *rows;      /* of :tree */
  cli_line_how how; /* from the reader's thread, until on_line() */
  char *text;
  uv_signal_t interrupt;
  int code;
} repl;

static void ask(repl *r);

static da_slice session_id(const repl *r)
{
  return da_buf_slice(&r->id);
}

static da_sched *sched_of(const repl *r)
{
  return cli_host_service(r->host)->sched;
}

static void stop(repl *r, int code)
{
  r->over = true;
  r->code = code;
  if (r->place != NULL)
    cli_host_stop(r->host);
  else
    da_sched_stop(sched_of(r));
}

/* ---- promises of the session ----------------------------------------------------------------------------- */

static void settled(da_op *op)
{
  repl *r = op->user;
  if (op->status != DA_OK) {
    (void)cli_fail(0, "%s", op->err.text[0] != '\0' ? op->err.text : da_status_text(op->status));
    stop(r, CLI_EXIT_FAILED);
  }
  da_op_delete(op);
}

static void settle(repl *r, const char *kind, int64_t number, cJSON *given)
{
  da_op *op = da_op_new();
  da_buf json = {0}, id = {0};
  da_json_print(given, &json);
  cJSON_Delete(given);
  da_buf_addf(&id, "%.*s:%s%lld", DA_FMT(session_id(r)), kind, (long long)number);
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = da_arena_dup(&op->arena, da_buf_slice(&id));
  request->state = DA_RESOLVED;
  request->value =
      (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, da_buf_slice(&json))};
  op->user = r;
  op->done = settled;
  da_sched_submit(sched_of(r), op, false);
  da_buf_free(&json);
  da_buf_free(&id);
}

static void give_line(repl *r, da_slice text)
{
  cJSON *value = da_json_object();
  da_json_put_text(value, "text", text);
  r->busy = true;
  r->interrupted = false;
  settle(r, "line.", r->line, value);
}

/* ---- the session ----------------------------------------------------------------------------------------- */

typedef struct pending_call {
  da_slice id;
  int64_t line; /* 0: none */
} pending_call;

/* On the store thread: the line that is waited for. */
static da_status find_pending(da_store *store, da_op *op, da_err *err)
{
  pending_call *call = op->call_argument;
  da_view *view = da_store_view(store);
  for (int64_t line = 1;; line++) {
    da_promise promise;
    da_slice id = da_arena_printf(&op->arena, "%.*s:line.%lld", DA_FMT(call->id), (long long)line);
    int found = view->ops->promise(view, id, &op->arena, &promise);
    if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
    if (found == 0) return DA_OK;
    if (promise.state != DA_PENDING) continue;
    call->line = line;
    return DA_OK;
  }
}

/* An empty line has a session that was left run again. One that was left in the middle of a line runs anyway. */
static void found_pending(da_op *op)
{
  repl *r = op->user;
  const pending_call *call = op->call_argument;
  r->looking = false;
  if (op->status != DA_OK) {
    stop(r, cli_fail(CLI_EXIT_FAILED, "%s", op->err.text));
  } else if (call->line > 0) {
    r->line = r->asked = call->line;
    give_line(r, DA_NONE);
  } else if (r->called) {
    r->asked = r->line;
    ask(r);
  }
  da_op_delete(op);
}

static void go_on(repl *r)
{
  r->returning = r->looking = true;
  r->called = false;
  da_op *op = da_op_new();
  pending_call *call = da_arena_zalloc(&op->arena, sizeof *call);
  call->id = da_arena_dup(&op->arena, session_id(r));
  op->call = find_pending;
  op->call_argument = call;
  op->user = r;
  op->done = found_pending;
  da_worker_dispatch(cli_host_service(r->host)->worker, session_id(r));
  da_sched_submit(sched_of(r), op, false);
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  repl *r = user;
  if (status != DA_OK) {
    stop(r, cli_fail(CLI_EXIT_FAILED, "%s", err->text));
  } else if (!created && !da_slice_eq(promise->call.func, DA_LIT(SESSION_NAME))) {
    stop(r, cli_fail(CLI_EXIT_USAGE, "'%.*s' is no session of a repl, but an execution of '%.*s'",
                     DA_FMT(session_id(r)), DA_FMT(promise->call.func)));
  } else if (!created && promise->state != DA_PENDING) {
    stop(r, cli_fail(CLI_EXIT_USAGE, "session '%.*s' has ended; another --id begins a new one", DA_FMT(session_id(r))));
  } else if (!created) {
    if (!r->again && r->command->operand_count > 0 && !da_digest_eq(&promise->call.bundle, &r->bundle->hash))
      cli_note(r->command, "session %.*s keeps the code that it began with; :load begins one over the file",
               DA_FMT(session_id(r)));
    go_on(r);
  }
}

static void make_id(repl *r)
{
  r->sessions++;
  da_buf_clear(&r->id);
  if (cli_has(r->command, CLI_ID) && r->sessions == 1) {
    da_buf_add_slice(&r->id, cli_text(r->command, CLI_ID));
    return;
  }
  da_buf_addf(&r->id, "repl");
  if (r->place != NULL)
    da_buf_addf(&r->id, "-%llx", (unsigned long long)da_clock_now_ms());
  else if (r->sessions > 1)
    da_buf_addf(&r->id, "-%u", r->sessions);
}

static void add_word(repl *r, const char *before, da_slice word)
{
  da_buf_addf(&r->words, "%s%.*s\n", before, DA_FMT(word));
}

static void learn_words(repl *r, da_worker *worker);

static bool begin(repl *r)
{
  da_err err = {{0}};
  da_worker *worker = cli_host_service(r->host)->worker;
  r->muted = r->again;
  da_status status = da_worker_serve(worker, r->bundle, &err);
  r->muted = false;
  if (status != DA_OK) {
    (void)cli_fail(0, "%s", err.text);
    return false;
  }
  learn_words(r, worker);
  r->busy = true;
  r->asked = 0;
  da_worker_start(worker, session_id(r), DA_LIT(SESSION_NAME), 0, DA_LIT("[]"), r->bundle, started, r);
  return true;
}

/* The session's script over the one at path (NULL: none). */
static da_bundle *read_bundle(const char *path)
{
  da_err err = {{0}};
  da_bundle *script = NULL, *bundle = NULL;
  const da_embedded *file = da_tool_files;
  while (strcmp(file->name, "session.lua") != 0) file++;
  da_status status = path != NULL ? da_bundle_read(path, &script, &err) : DA_OK;
  if (status == DA_OK)
    status = da_bundle_around(SESSION_FILE, da_slice_make(file->begin, (size_t)(file->end - file->begin)),
                              SCRIPT_MODULE, script, &bundle, &err);
  if (status != DA_OK) (void)cli_fail(0, "%s", err.text);
  da_bundle_unref(script);
  return bundle;
}

/* ---- what Tab completes ---------------------------------------------------------------------------------- */

static const char words_chunk[] =
    "local list = {}\n"
    "local function add(before, t)\n"
    "  for name, value in pairs(t) do\n"
    "    if before .. name ~= 'async." SESSION_NAME "' then list[#list + 1] = before .. name end\n"
    "    if type(value) == 'table' and before == '' and name ~= '_G' then add(name .. '.', value) end\n"
    "  end\n"
    "end\n"
    "add('', _G)\n"
    "add('', { da = require 'da', await = 1, pawait = 1, async = 1, step = 1 })\n"
    "return table.concat(list, '\\n') .. '\\n'\n";

static da_status look_for_words(void *user, lua_State *L, da_err *err)
{
  repl *r = user;
  size_t len;
  if (luaL_dostring(L, words_chunk) != LUA_OK) return da_fail(err, DA_ELUA, "%s", lua_tostring(L, -1));
  const char *text = lua_tolstring(L, -1, &len);
  da_buf_add(&r->words, text, len);
  lua_settop(L, 0);
  return DA_OK;
}

static void learn_words(repl *r, da_worker *worker)
{
  da_err err;
  size_t count;
  if (!isatty(STDIN_FILENO)) return;
  da_buf_clear(&r->words);
  if (da_worker_inspect(worker, r->bundle, look_for_words, r, &err) != DA_OK) return;
  const da_function *functions = da_worker_functions(worker, r->bundle, &count);
  for (size_t i = 0; i < count; i++) {
    add_word(r, functions[i].workflow ? "async." : "step.", functions[i].name);
    add_word(r, "", functions[i].name);
  }
}

/* `name = ...` makes a global. */
static void learn_name(repl *r, da_slice text)
{
  size_t len = 0;
  while (len < text.len && (text.ptr[len] == '_' || (text.ptr[len] | 32) >= 'a') && (text.ptr[len] | 32) <= 'z') len++;
  size_t at = len;
  while (at < text.len && text.ptr[at] == ' ') at++;
  if (len > 0 && at < text.len && text.ptr[at] == '=') add_word(r, "", da_slice_make(text.ptr, len));
}

/* ---- commands -------------------------------------------------------------------------------------------- */

static const char help_text[] =
    "A line is Lua: an expression shows its values, a global stays, a local lasts for its line. await works here.\n"
    "Functions of the file are there by their names: foo(3) starts a child of this session and shows its promise.\n"
    "  :tree       the session and everything it invoked\n"
    "  :crash      dies, as by kill -9, and comes back: the session is replayed from its records\n"
    "  :tick 1h    moves the clock on; timers that fall due then fire (in memory only)\n"
    "  :load FILE  a new session, with the functions of FILE\n"
    "  :help       this text\n"
    "  :quit       ends; so does Ctrl-D. Ctrl-C gives up the line, or cancels what it awaits";

static void command_help(repl *r, da_slice rest)
{
  (void)rest;
  cli_print(da_slice_of(help_text));
  ask(r);
}

static void command_quit(repl *r, da_slice rest)
{
  (void)rest;
  stop(r, CLI_EXIT_OK);
}

static void command_crash(repl *r, da_slice rest)
{
  (void)rest;
  r->again = true;
  da_sched_stop(sched_of(r));
}

static void nothing(void *arg)
{
  (void)arg;
}

static void command_tick(repl *r, da_slice rest)
{
  int64_t ms;
  char *text = da_xstrndup(rest);
  if (r->place != NULL) {
    (void)cli_fail(0, ":tick is for sessions in memory; a store of its own goes by the machine's clock");
  } else if (!cli_duration_read(text, &ms)) {
    (void)cli_fail(0, ":tick wants a duration: :tick 90, :tick 250ms, :tick 1h30m");
  } else {
    da_clock_floor(da_clock_now_ms() + ms);
    (void)da_timer_start(sched_of(r), 0, nothing, NULL); /* the earliest timer has the others looked at */
  }
  free(text);
  ask(r);
}

static void command_load(repl *r, da_slice rest)
{
  char *path = da_xstrndup(rest);
  da_bundle *before = r->bundle;
  da_bundle *bundle = rest.len > 0 ? read_bundle(path) : NULL;
  if (rest.len == 0) (void)cli_fail(0, ":load wants the name of a file");
  free(path);
  if (bundle != NULL) {
    da_buf id = {0};
    da_buf_add_slice(&id, session_id(r));
    r->bundle = bundle;
    make_id(r);
    if (begin(r)) {
      da_bundle_unref(before);
      da_buf_free(&id);
      return;
    }
    r->bundle = before;
    r->busy = false;
    r->sessions--;
    da_bundle_unref(bundle);
    da_buf_clear(&r->id);
    da_buf_add_slice(&r->id, da_buf_slice(&id));
    da_buf_free(&id);
  }
  ask(r);
}

static void tree_row(void *user, const cJSON *row)
{
  repl *r = user;
  da_slice id = da_json_text(row, "id"), words = da_json_text(row, "error");
  size_t len = session_id(r).len;
  if (words.len > 0) (void)cli_fail(0, "%.*s", DA_FMT(words));
  if (id.len > len) { /* what the prompt itself is made of is no news */
    da_slice rest = da_slice_make(id.ptr + len, id.len - len);
    if (da_slice_starts(rest, DA_LIT(":line.")) || da_slice_starts(rest, DA_LIT(":interrupt="))) return;
  }
  if (id.len > 0) da_json_add(r->rows, cJSON_Duplicate(row, true));
}

static void tree_end(void *user)
{
  repl *r = user;
  cli_show_tree(r->rows);
  cJSON_Delete(r->rows);
  ask(r);
}

static void command_tree(repl *r, da_slice rest)
{
  (void)rest;
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("tree"));
  da_json_put_text(json, "id", session_id(r));
  da_json_put_int(json, "limit", 1000);
  r->rows = da_json_array();
  cli_sink sink = {.row = tree_row, .end = tree_end, .user = r};
  (void)cli_service_ask(cli_host_service(r->host), json, NULL, &sink);
}

static const struct {
  const char *name;
  void (*run)(repl *r, da_slice rest);
} commands[] = {{":help", command_help}, {":quit", command_quit}, {":crash", command_crash},
                {":tick", command_tick}, {":load", command_load}, {":tree", command_tree}};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static da_slice trimmed(da_slice text)
{
  while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) text = da_slice_make(text.ptr + 1, text.len - 1);
  while (text.len > 0 && strchr(" \t\r", text.ptr[text.len - 1]) != NULL) text.len--;
  return text;
}

static void run_command(repl *r, da_slice text)
{
  ptrdiff_t space = da_slice_find(text, ' ');
  da_slice name = space < 0 ? text : da_slice_make(text.ptr, (size_t)space);
  da_slice rest = space < 0 ? DA_NONE : trimmed(da_slice_make(text.ptr + space, text.len - (size_t)space));
  cli_nearest nearest = {.wanted = name};
  for (size_t i = 0; i < COMMANDS; i++) {
    if (da_slice_eq(name, da_slice_of(commands[i].name))) {
      commands[i].run(r, rest);
      return;
    }
    cli_nearest_offer(&nearest, da_slice_of(commands[i].name));
  }
  (void)cli_fail(0, "no command '%.*s'%s%.*s; :help lists them", DA_FMT(name),
                 nearest.best.len > 0 ? "; did you mean " : "", DA_FMT(nearest.best));
  ask(r);
}

/* ---- lines ------------------------------------------------------------------------------------------------- */

static void ask(repl *r)
{
  r->busy = false;
  if (r->over) return;
  da_buf words = {0};
  da_buf_add_slice(&words, da_buf_slice(&r->words));
  for (size_t i = 0; i < COMMANDS; i++) da_buf_addf(&words, "%s\n", commands[i].name);
  da_buf_add_byte(&words, '\0');
  cli_lines_want(r->lines, r->entry.len > 0 ? ">> " : "> ", words.ptr);
}

typedef enum syntax { SYNTAX_FINE, SYNTAX_OPEN, SYNTAX_WRONG } syntax;

/* As the stand-alone interpreter: an expression, else statements; what ends too early goes on in the next line. */
static syntax look_at(repl *r, da_slice text)
{
  lua_State *L = r->syntax;
  syntax found = SYNTAX_FINE;
  lua_settop(L, 0);
  if (text.len > 0 && text.ptr[0] == '=') text = da_slice_make(text.ptr + 1, text.len - 1);
  lua_pushliteral(L, "return ");
  lua_pushlstring(L, text.ptr, text.len);
  lua_concat(L, 2);
  size_t len;
  const char *whole = lua_tolstring(L, 1, &len);
  if (luaL_loadbufferx(L, whole, len, "@stdin", "t") != LUA_OK &&
      luaL_loadbufferx(L, text.ptr, text.len, "@stdin", "t") != LUA_OK) {
    const char *words = lua_tolstring(L, -1, &len);
    bool early = len >= 5 && strcmp(words + len - 5, "<eof>") == 0;
    found = early ? SYNTAX_OPEN : SYNTAX_WRONG;
    if (!early) cli_print_text(da_slice_make(words, len));
  }
  lua_settop(L, 0);
  return found;
}

static void take_line(repl *r, da_slice text)
{
  da_slice bare = trimmed(text);
  if (r->entry.len == 0 && bare.len == 0) {
    ask(r);
    return;
  }
  if (r->entry.len == 0 && bare.ptr[0] == ':' && (bare.len < 2 || bare.ptr[1] != ':')) {
    run_command(r, bare);
    return;
  }
  if (!da_text_utf8(text)) {
    (void)cli_fail(0, "the line is not UTF-8; write such bytes as \"\\xFF\"");
    ask(r);
    return;
  }
  if (r->entry.len + text.len > CLI_LINE_BYTES_MAX) {
    (void)cli_fail(0, "that is longer than %d bytes and was not run; put it into a file, then :load it",
                   (int)CLI_LINE_BYTES_MAX);
    da_buf_clear(&r->entry);
    ask(r);
    return;
  }
  if (r->entry.len > 0) da_buf_add_byte(&r->entry, '\n');
  da_buf_add_slice(&r->entry, text);
  syntax found = look_at(r, da_buf_slice(&r->entry));
  if (found == SYNTAX_FINE) {
    learn_name(r, da_buf_slice(&r->entry));
    give_line(r, da_buf_slice(&r->entry));
  }
  if (found != SYNTAX_OPEN) da_buf_clear(&r->entry);
  if (found != SYNTAX_FINE) ask(r);
}

static void on_line(void *user)
{
  repl *r = user;
  char *text = r->text;
  r->text = NULL;
  switch (r->how) {
  case CLI_LINE:
    take_line(r, da_slice_of(text));
    break;
  case CLI_LINE_GIVEN_UP:
    da_buf_clear(&r->entry);
    ask(r);
    break;
  case CLI_LINE_END:
    stop(r, CLI_EXIT_OK);
    break;
  }
  free(text);
}

static void got_line(void *user, cli_line_how how, char *text)
{
  repl *r = user;
  r->how = how;
  r->text = text;
  da_sched_post(sched_of(r), on_line, r); /* the host stays while a line is wanted */
}

/* ---- what happens ------------------------------------------------------------------------------------------- */

/* The number of the session's line that the call is for; 0: it is another call. */
static int64_t line_of(const repl *r, const da_event *event)
{
  da_slice id = session_id(r), mark = DA_LIT(":line.");
  if (!da_slice_eq(event->execution, id) || event->child.len <= id.len + mark.len) return 0;
  da_slice rest = da_slice_make(event->child.ptr + id.len, event->child.len - id.len);
  if (!da_slice_starts(rest, mark)) return 0;
  int64_t number = 0;
  for (size_t i = mark.len; i < rest.len; i++) {
    if (rest.ptr[i] < '0' || rest.ptr[i] > '9') return 0;
    number = number * 10 + (rest.ptr[i] - '0');
  }
  return number;
}

static void say_attempt(const repl *r, const da_event *event)
{
  da_buf words = {0}, code = {0};
  cli_value_error_text(event->text, &words, &code);
  da_slice line = da_buf_slice(&words);
  ptrdiff_t end = da_slice_find(line, '\n');
  if (end >= 0) line.len = (size_t)end;
  cli_note(r->command, "%.*s attempt %d failed: %.*s", DA_FMT(event->child), event->attempt, DA_FMT(line));
  da_buf_free(&words);
  da_buf_free(&code);
}

static void begin_anew(void *user)
{
  repl *r = user;
  make_id(r);
  cli_note(r->command, "a new session begins");
  if (!begin(r)) stop(r, CLI_EXIT_USAGE);
}

static void hear_ended(repl *r, const da_event *event)
{
  if (r->over) return;
  if (event->kind == DA_EVENT_PARKED)
    (void)cli_fail(0, "%.*s is parked: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
  if (!da_slice_eq(event->execution, session_id(r))) return;
  if (event->kind == DA_EVENT_PARKED)
    da_sched_post(sched_of(r), begin_anew, r);
  else
    stop(r, cli_fail(CLI_EXIT_ENDED, "the session was ended by somebody else"));
}

/* The session calls for a line, so the one before has run. One that was evicted calls again when something wakes it. */
static void hear_called(repl *r, int64_t line)
{
  r->line = line;
  r->called = true;
  if (r->looking) return;
  r->returning = false;
  r->asked = line;
  ask(r);
}

static void hear(void *user, const da_event *event)
{
  repl *r = user;
  int64_t line = 0;
  switch (event->kind) {
  case DA_EVENT_OUTPUT:
    if (!r->muted) cli_print_text(event->text);
    break;
  case DA_EVENT_RESTARTED:
    if (r->returning || !da_slice_eq(event->execution, session_id(r))) /* else it was evicted, which is no news */
      cli_note(r->command, "%.*s %s: %zu save point%s replayed", DA_FMT(event->execution),
               event->image ? "restored from its image" : "restarted", event->count, event->count == 1 ? "" : "s");
    break;
  case DA_EVENT_REPLAYED:
  case DA_EVENT_CALLED:
    if (event->kind == DA_EVENT_CALLED || event->state == DA_PENDING) line = line_of(r, event);
    if (line > r->asked) hear_called(r, line);
    break;
  case DA_EVENT_ATTEMPT:
    say_attempt(r, event);
    break;
  case DA_EVENT_PARKED:
  case DA_EVENT_COMPLETED:
    hear_ended(r, event);
    break;
  case DA_EVENT_UNSERVED:
    cli_note(r->command, "%.*s", DA_FMT(event->text));
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_AGAIN:
  case DA_EVENT_RESUMED:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_SETTLED:
  case DA_EVENT_SUSPENDED:
    break;
  }
}

/* Ctrl-C while a line runs; while one is edited it is a key. */
static void on_interrupt(uv_signal_t *handle, int number)
{
  repl *r = handle->data;
  (void)number;
  if (!r->busy && isatty(STDIN_FILENO)) return;
  if (!r->busy || r->interrupted) {
    stop(r, CLI_EXIT_INTERRUPTED);
    return;
  }
  r->interrupted = true;
  cli_note(r->command, "\ncancelling what the line awaits; Ctrl-C again ends the repl");
  settle(r, "interrupt=", r->line, cJSON_CreateTrue());
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static void ready(void *user)
{
  repl *r = user;
  (void)uv_signal_init(cli_host_loop(r->host), &r->interrupt);
  r->interrupt.data = r;
  (void)uv_signal_start(&r->interrupt, on_interrupt, SIGINT);
  if (!begin(r)) stop(r, CLI_EXIT_USAGE);
}

/* One life. False: it is over. */
static bool live(repl *r, const cli_host_options *sizes)
{
  da_err err = {{0}};
  cli_host_options options = *sizes;
  options.store = r->store;
  options.place = r->place;
  options.worker = options.drive = true;
  if (cli_host_open(&options, &r->host, &err) != DA_OK) {
    r->code = cli_fail(CLI_EXIT_FAILED, "%s", err.text);
    return false;
  }
  cli_service *service = cli_host_service(r->host);
  service->watch = hear;
  service->watch_user = r;
  cli_host_run(r->host, ready, r);
  uv_close((uv_handle_t *)&r->interrupt, NULL);
  if (!r->over || r->place == NULL) r->store = cli_host_drop(r->host);
  return !r->over;
}

static int open_store(repl *r)
{
  da_err err = {{0}};
  if (!cli_has(r->command, CLI_DATA)) {
    r->store = da_store_open_memory();
    return CLI_EXIT_OK;
  }
  r->place = cli_store_place(r->command);
  da_store_options options = {.create = true};
  da_status status = da_store_open(r->place, &options, &r->store, &err);
  if (status == DA_OK) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_FAILED, "%s%s", err.text,
                  status == DA_EBUSY ? "; a repl has its store for itself (without --data it is in memory)" : "");
}

static void say_end(const repl *r)
{
  if (r->place == NULL || r->code != CLI_EXIT_OK) return;
  cli_note(r->command, "the session rests; to go on: dahost repl --data %s --id %.*s", r->place, DA_FMT(session_id(r)));
}

int cli_repl(const cli_command *command)
{
  repl r = {.command = command};
  cli_host_options sizes = {0};
  const char *fault = da_kill_setup();
  if (fault != NULL) return cli_fail(CLI_EXIT_USAGE, "%s", fault);
  int refused = cli_read_sizes(command, &sizes);
  if (refused != 0) return refused;
  if (cli_has(command, CLI_ID) && !cli_has(command, CLI_DATA))
    return cli_fail(CLI_EXIT_USAGE, "--id is the id of a session in a store: it wants --data DIR");
  r.bundle = read_bundle(command->operand_count > 0 ? command->operands[0] : NULL);
  if (r.bundle == NULL) return CLI_EXIT_USAGE;
  r.code = open_store(&r);
  if (r.code == CLI_EXIT_OK) {
    if (getenv("DAHOST_LOG") == NULL) da_log_set_level(DA_LOG_ERROR);
    if (isatty(STDIN_FILENO)) cli_note(command, "dahost %s; :help tells the commands", DA_VERSION);
    r.syntax = luaL_newstate();
    r.lines = cli_lines_new(got_line, &r);
    make_id(&r);
    while (live(&r, &sizes)) r.again = true;
    cli_lines_delete(r.lines);
    lua_close(r.syntax);
    say_end(&r);
    if (r.place != NULL)
      cli_host_close(r.host);
    else
      da_store_close(r.store);
  }
  da_bundle_unref(r.bundle);
  da_buf_free(&r.id);
  da_buf_free(&r.entry);
  da_buf_free(&r.words);
  free(r.place);
  return r.code;
}
