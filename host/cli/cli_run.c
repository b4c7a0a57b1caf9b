/* cli_run.c - run, start, resume: asking for it, showing it, its exit code, its interruption.
 *
 * Interruption: the first SIGINT or SIGTERM stops the loop, tells how to go on and ends the process without waiting for
 * anything; a second one, or a loop that does not stop within a second, does the same from the signal handler. Nothing
 * is lost by that: what was told is flushed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "cli.h"
#include "plugins.h"
#include "reach.h"
#include "show.h"
#include "text.h"
#include "value.h"
#include "view.h"

/* ---- interruption -------------------------------------------------------------------------------------- */

static char resume_line[8192]; /* with its line end; complete before resume_len says so */
static volatile sig_atomic_t resume_len;
static volatile sig_atomic_t interrupted;
static cli_host *volatile running; /* NULL: another process runs it, this one only looks on */

static sigset_t interrupts(void)
{
  sigset_t set;
  (void)sigemptyset(&set);
  (void)sigaddset(&set, SIGINT);
  (void)sigaddset(&set, SIGTERM);
  (void)sigaddset(&set, SIGALRM);
  return set;
}

/* fresh: the cursor stands at the beginning of a line. Another signal must not say it again. */
static _Noreturn void leave(bool fresh)
{
  sigset_t set = interrupts();
  (void)sigprocmask(SIG_BLOCK, &set, NULL);
  size_t skip = fresh && resume_len > 0 ? 1 : 0;
  ssize_t done = write(STDERR_FILENO, resume_line + skip, (size_t)resume_len - skip);
  (void)done;
  cli_plugins_leave(CLI_EXIT_INTERRUPTED);
}

static void on_interrupt(int number)
{
  cli_host *host = running;
  if (number == SIGALRM || interrupted || host == NULL) leave(false);
  interrupted = 1;
  (void)alarm(1);
  cli_host_stop(host);
}

static void watch_interrupts(void)
{
  struct sigaction action = {.sa_handler = on_interrupt, .sa_mask = interrupts()};
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)sigaction(SIGALRM, &action, NULL);
}

/* ---- the asker's ears ---------------------------------------------------------------------------------- */

typedef struct looker {
  const cli_command *command;
  cli_ask ask;
  cli_view *view;
  char *place;
  bool several;     /* a line {"id",...} for each end */
  const char *what; /* resume: the id, or what else to put into the resume line */
  int64_t holder;   /* the process that runs it instead of this one; 0: none */
  da_buf early;     /* what the script printed while it loaded: the id comes first */
  bool told_id;
  bool told_parked;
  int64_t begun_ms;
  size_t ended;
  int code; /* the worst end */
} looker;

/* What a signal handler will print. */
static void set_resume_line(const looker *l)
{
  da_buf line = {0};
  if (l->holder != 0)
    da_buf_addf(&line, "\ndetached; process %lld goes on with it; to follow it again: dahost resume ",
                (long long)l->holder);
  else
    da_buf_addf(&line, "\ninterrupted; to go on: dahost resume ");
  cli_shell_word(&line, da_slice_of(l->what));
  if (cli_has(l->command, CLI_DATA)) {
    da_buf_addf(&line, " --data ");
    cli_shell_word(&line, da_slice_of(l->place));
  }
  da_buf_add_byte(&line, '\n');
  resume_len = 0;
  if (line.len <= sizeof resume_line) {
    memcpy(resume_line, line.ptr, line.len);
    resume_len = (sig_atomic_t)line.len;
  }
  da_buf_free(&line);
}

/* What was held back so that the id is the first line. */
static void tell_early(void *user)
{
  looker *l = user;
  if (l->early.len > 0) cli_view_print(l->view, da_slice_make(l->early.ptr, l->early.len - 1));
  da_buf_free(&l->early);
}

static void say_holder(const looker *l)
{
  if (l->holder != 0)
    cli_view_say(l->view, false, "process %lld holds the store; following it there", (long long)l->holder);
}

static void hear_id(looker *l, const char *id)
{
  /* If the holder goes away, the same id is asked for again: never a second execution. */
  cJSON_DeleteItemFromObjectCaseSensitive(l->ask.json, "id");
  da_json_put_text(l->ask.json, "id", da_slice_of(id));
  l->what = cJSON_GetStringValue(da_json_get(l->ask.json, "id"));
  set_resume_line(l);
  cli_view_root(l->view, da_slice_of(id));
  if (!l->told_id) {
    cli_view_say(l->view, false, "id %s (store %s)", id, l->place);
    say_holder(l);
  }
  l->told_id = true;
  tell_early(l);
}

static int exit_of(da_slice end)
{
  if (da_slice_eq(end, DA_LIT("resolved"))) return CLI_EXIT_OK;
  if (da_slice_eq(end, DA_LIT("rejected"))) return CLI_EXIT_REJECTED;
  if (da_slice_eq(end, DA_LIT("parked"))) return CLI_EXIT_PARKED;
  return CLI_EXIT_ENDED;
}

/* parked, then ended, then rejected, then resolved */
static int worse(int a, int b)
{
  static const int order[] = {CLI_EXIT_OK, CLI_EXIT_REJECTED, CLI_EXIT_ENDED, CLI_EXIT_PARKED};
  for (size_t i = sizeof order / sizeof *order; i-- > 0;)
    if (a == order[i] || b == order[i]) return order[i];
  return a;
}

static void say_failure(looker *l, const cJSON *row, da_slice end)
{
  da_buf text = {0};
  da_buf code = {0};
  da_slice id = da_json_text(row, "id");
  if (da_slice_eq(end, DA_LIT("parked"))) {
    da_slice who = da_json_text(row, "parked");
    if (!l->told_parked)
      cli_view_say(l->view, true, "%.*s is parked: %.*s", DA_FMT(who), DA_FMT(da_json_text(row, "text")));
  } else {
    da_slice value = da_json_text(row, "$value");
    if (da_slice_eq(value, DA_LIT("null"))) value = DA_NONE;
    if (value.len > 0)
      cli_value_error_text(value, &text, &code);
    else
      da_buf_addf(&text, "[%.*s] %.*s", DA_FMT(end), DA_FMT(id));
    cli_view_say(l->view, true, "%.*s", DA_FMT(da_buf_slice(&text)));
  }
  da_buf_free(&text);
  da_buf_free(&code);
}

static void print_one_of_many(const cJSON *row, da_slice end)
{
  cJSON *line = da_json_object();
  da_json_put_text(line, "id", da_json_text(row, "id"));
  da_json_put_text(line, "state", end);
  da_slice value = da_json_text(row, "$value");
  if (value.len > 0) da_json_put_raw(line, "value", value);
  da_buf out = {0};
  da_json_print(line, &out);
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  cJSON_Delete(line);
}

/* What goes on though the execution that began it has ended. */
static void say_detached(looker *l, const cJSON *row)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, da_json_get(row, "detached"))
  {
    const char *id = cJSON_GetStringValue(item);
    cli_view_say(l->view, false, "detached, and not ended yet: %s (dahost resume %s)", id, id);
  }
}

static void hear_end(looker *l, const cJSON *row, da_slice end)
{
  int64_t settled_at = 0;
  char ago[32];
  l->ended++;
  l->code = l->ended == 1 ? exit_of(end) : worse(l->code, exit_of(end));
  if (!l->several) cli_view_over(l->view);
  if (da_json_int(row, "settledAt", &settled_at) && settled_at < l->begun_ms) {
    cli_duration_text(da_clock_now_ms() - settled_at, ago);
    cli_view_say(l->view, false, "%.*s finished %s ago", DA_FMT(da_json_text(row, "id")), ago);
  }
  say_detached(l, row);
  if (l->several)
    print_one_of_many(row, end);
  else if (da_slice_eq(end, DA_LIT("resolved")))
    cli_print(da_json_text(row, "$value"));
  else
    say_failure(l, row, end);
}

static void hear_resting(looker *l, const cJSON *row)
{
  const cJSON *ids = da_json_get(row, "resting");
  da_buf text = {0};
  const cJSON *item;
  cJSON_ArrayForEach(item, ids)
  {
    da_buf_addf(&text, "%s%s", text.len > 0 ? ", " : "", cJSON_GetStringValue(item));
  }
  cli_view_say(l->view, false, "resting here: %.*s%s (dahost resume ID)", DA_FMT(da_buf_slice(&text)),
               da_json_flag(row, "more") ? " and more" : "");
  da_buf_free(&text);
}

static void hear_row(void *user, const cJSON *row)
{
  looker *l = user;
  const char *id = cJSON_GetStringValue(da_json_get(row, "id"));
  da_slice end = da_json_text(row, "end");
  if (end.len > 0)
    hear_end(l, row, end);
  else if (id != NULL)
    hear_id(l, id);
  else if (da_json_get(row, "resting") != NULL)
    hear_resting(l, row);
  else if (da_json_get(row, "note") != NULL)
    cli_view_say(l->view, false, "%.*s", DA_FMT(da_json_text(row, "note")));
}

static void hear_event(void *user, const da_event *event, const cli_model *model)
{
  looker *l = user;
  if (event->kind == DA_EVENT_PARKED) l->told_parked = true;
  if (event->kind == DA_EVENT_OUTPUT && !l->told_id && l->what == NULL) {
    da_buf_add_slice(&l->early, event->text);
    da_buf_add_byte(&l->early, '\n');
    return;
  }
  cli_view_event(l->view, event, model);
}

static void hear_tick(void *user)
{
  looker *l = user;
  cli_view_tick(l->view);
}

static void hear_here(void *user, cli_host *host)
{
  looker *l = user;
  l->holder = 0;
  if (l->what != NULL) set_resume_line(l);
  if (host == NULL) {
    cli_view_over(l->view);
    cli_view_attach(l->view, NULL);
    if (interrupted) leave(true);
    running = NULL;
  } else {
    cli_view_attach(l->view, cli_host_loop(host));
    running = host;
  }
}

static void hear_elsewhere(void *user, int64_t pid)
{
  looker *l = user;
  l->holder = pid;
  if (l->what == NULL) return; /* said behind the id */
  set_resume_line(l);
  say_holder(l);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static int look_on(looker *l)
{
  cli_client client = {.row = hear_row,
                       .event = hear_event,
                       .tick = hear_tick,
                       .refused = tell_early,
                       .elsewhere = hear_elsewhere,
                       .here = hear_here,
                       .user = l};
  l->begun_ms = da_clock_now_ms();
  l->place = cli_store_place(l->command);
  l->view = cli_view_new(l->command);
  if (l->what != NULL) set_resume_line(l);
  if (l->what != NULL && !l->several) cli_view_root(l->view, da_slice_of(l->what));
  if (getenv("DAHOST_LOG") == NULL) da_log_set_level(DA_LOG_ERROR); /* the view tells what the log would warn of */
  watch_interrupts();
  int code = cli_reach(&l->ask, &client);
  tell_early(l);
  cli_view_over(l->view);
  cli_view_delete(l->view);
  free(l->place);
  return code != CLI_EXIT_OK ? code : l->code;
}

static void make_suffix(char out[5])
{
  static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's base 32 */
  uint8_t random[4] = {0};
  (void)getrandom(random, sizeof random, 0);
  for (int i = 0; i < 4; i++) out[i] = letters[random[i] % 32];
  out[4] = '\0';
}

/* NULL: refused. */
static cJSON *run_request(const cli_command *command, const da_bundle *bundle, bool start)
{
  int64_t timeout = 0;
  if (cli_has(command, CLI_TIMEOUT) && !cli_duration_read(command->flags[CLI_TIMEOUT], &timeout)) {
    cli_fail(CLI_EXIT_USAGE, "--timeout wants a duration: 90, 250ms, 1h30m, 3d; not '%s'", command->flags[CLI_TIMEOUT]);
    return NULL;
  }
  cJSON *json = da_json_object();
  char suffix[5];
  make_suffix(suffix);
  da_json_put_text(json, "verb", DA_LIT("run"));
  da_json_put_text(json, "file", bundle->modules[0].file);
  da_json_put_text(json, "suffix", da_slice_of(suffix));
  if (cli_has(command, CLI_ID)) da_json_put_text(json, "id", cli_text(command, CLI_ID));
  if (cli_has(command, CLI_ARGS)) da_json_put_text(json, "args", cli_text(command, CLI_ARGS));
  if (cli_has(command, CLI_STR)) da_json_put_flag(json, "str", true);
  if (cli_has(command, CLI_QUIET)) da_json_put_flag(json, "quiet", true);
  if (start) da_json_put_flag(json, "start", true);
  if (cli_has(command, CLI_TIMEOUT)) da_json_put_int(json, "timeout", timeout);
  cJSON *operands = da_json_array();
  for (size_t i = 1; i < command->operand_count; i++)
    da_json_add(operands, da_json_string(da_slice_of(command->operands[i])));
  da_json_put(json, "operands", operands);
  if (cli_add_tags(command, json)) return json;
  cJSON_Delete(json);
  return NULL;
}

int cli_run(const cli_command *command)
{
  da_bundle *bundle = NULL;
  da_err err = {{0}};
  if (da_bundle_read(command->operands[0], &bundle, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  looker l = {.command = command};
  l.ask = (cli_ask){.command = command,
                    .json = run_request(command, bundle, false),
                    .bundle = bundle,
                    .create = true,
                    .worker = true,
                    .drive = true};
  int code = l.ask.json != NULL ? look_on(&l) : CLI_EXIT_USAGE;
  cJSON_Delete(l.ask.json);
  da_bundle_unref(bundle);
  return code;
}

/* ---- start --------------------------------------------------------------------------------------------- */

typedef struct starter {
  const cli_command *command;
  bool here;
} starter;

static void start_row(void *user, const cJSON *row)
{
  const starter *s = user;
  da_slice id = da_json_text(row, "started");
  if (id.len == 0) return;
  bool created = da_json_flag(row, "created");
  if (cli_has(s->command, CLI_JSON)) {
    cJSON *line = da_json_object();
    da_buf out = {0};
    da_json_put_text(line, "id", id);
    da_json_put_flag(line, "created", created);
    da_json_print(line, &out);
    cli_print(da_buf_slice(&out));
    da_buf_free(&out);
    cJSON_Delete(line);
  } else {
    cli_print(id);
  }
  if (!created) cli_note(s->command, "%.*s was there already", DA_FMT(id));
  if (s->here) cli_note(s->command, "it rests until a process drives it: dahost resume %.*s", DA_FMT(id));
}

static void start_event(void *user, const da_event *event, const cli_model *model)
{
  (void)user;
  (void)model;
  if (event->kind == DA_EVENT_OUTPUT) (void)fprintf(stderr, "%.*s\n", DA_FMT(event->text));
}

static void start_here(void *user, cli_host *host)
{
  starter *s = user;
  if (host != NULL) s->here = true;
}

int cli_start(const cli_command *command)
{
  da_bundle *bundle = NULL;
  da_err err = {{0}};
  if (da_bundle_read(command->operands[0], &bundle, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  starter s = {.command = command};
  cli_client client = {.row = start_row, .event = start_event, .here = start_here, .user = &s};
  cli_ask ask = {
      .command = command, .json = run_request(command, bundle, true), .bundle = bundle, .create = true, .worker = true};
  int code = ask.json != NULL ? cli_reach(&ask, &client) : CLI_EXIT_USAGE;
  cJSON_Delete(ask.json);
  da_bundle_unref(bundle);
  return code;
}

/* ---- resume -------------------------------------------------------------------------------------------- */

/* `dahost resume` alone: says what could be meant. */
static void which_row(void *user, const cJSON *row)
{
  const cJSON *ids = da_json_get(row, "resting");
  int count = cJSON_GetArraySize(ids);
  (void)user;
  if (count == 0) cli_fail(CLI_EXIT_USAGE, "nothing rests here");
  da_buf text = {0};
  for (int i = 0; i < count && i < 10; i++)
    da_buf_addf(&text, "%s%s", i > 0 ? ", " : "", cJSON_GetStringValue(cJSON_GetArrayItem(ids, i)));
  if (count > 0)
    cli_fail(CLI_EXIT_USAGE, "resume wants an ID or --all; not finished here: %.*s%s", DA_FMT(da_buf_slice(&text)),
             count > 10 ? " and more" : "");
  da_buf_free(&text);
}

static int ask_which(const cli_command *command, cJSON *json)
{
  cli_client client = {.row = which_row};
  cli_ask ask = {.command = command, .json = json, .worker = true};
  int code = cli_reach(&ask, &client);
  return code != CLI_EXIT_OK ? code : CLI_EXIT_USAGE;
}

int cli_resume(const cli_command *command)
{
  bool all = cli_has(command, CLI_ALL);
  if (all && command->operand_count > 0) return cli_fail(CLI_EXIT_USAGE, "resume wants IDs or --all, not both");
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("resume"));
  if (!all && command->operand_count == 0) {
    int code = ask_which(command, json);
    cJSON_Delete(json);
    return code;
  }
  looker l = {.command = command, .several = all || command->operand_count > 1};
  l.what = l.several ? "--all" : command->operands[0];
  l.ask = (cli_ask){.command = command, .json = json, .worker = true, .drive = true};
  if (all) {
    da_json_put_flag(json, "all", true);
  } else {
    cJSON *ids = da_json_array();
    for (size_t i = 0; i < command->operand_count; i++)
      da_json_add(ids, da_json_string(da_slice_of(command->operands[i])));
    da_json_put(json, "ids", ids);
  }
  int code = look_on(&l);
  if (all && code == CLI_EXIT_OK && l.ended == 0) cli_note(command, "nothing rests here");
  cJSON_Delete(json);
  return code;
}
