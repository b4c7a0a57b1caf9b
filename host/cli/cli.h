/* cli.h - the command line: argv to one verb, and what every verb shares.
 *
 * Here:     the list of flags, a parsed command, the exit codes, the verbs' entry points.
 * Rule:     results go to stdout, everything else to stderr; a flag stands before or after operands and has an
 *           environment variable (--step-threads: DAHOST_STEP_THREADS).
 * Walk:     cli.c parses; a verb's file (cli_*.c) asks reach.c to have a request answered, by the process that holds
 *           the store or, when nobody does, here (host.c); either way service*.c answers it, and the verb shows the
 *           answer.
 * To add a verb: its line and help in verbs.c, its function here, its handler in service.c if it touches the store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_CLI_H
#define DA_CLI_CLI_H

#include "../base/json.h"
#include "settings.h"

#define DA_VERSION "0.1.0"

enum {
  CLI_EXIT_OK = 0,       /* done; of an execution: resolved */
  CLI_EXIT_REJECTED = 1, /* rejected; of other verbs: the answer is no */
  CLI_EXIT_USAGE = 2,    /* the command line or the script is wrong */
  CLI_EXIT_PARKED = 3,
  CLI_EXIT_ENDED = 4,   /* timed out or cancelled */
  CLI_EXIT_FAILED = 74, /* the store, or stdout, failed (EX_IOERR of sysexits.h, as the store thread ends with) */
  CLI_EXIT_INTERRUPTED = 130
};

/* X(NAME, "name", "METAVAR" or NULL for a switch, "help"); those that are settings of a server: settings.h */
#define CLI_FLAG_MAP(X)                                                                                     \
  X(JSON, "json", NULL, "print JSON instead of the human view")                                             \
  X(QUIET, "quiet", NULL, "no progress on stderr (errors and the script's output stay); -q")                \
  X(HELP, "help", NULL, "this text")                                                                        \
  X(ID, "id", "ID", "id of the execution (default: FUNCTION and four random characters)")                   \
  X(ARGS, "args", "JSON", "all arguments as one JSON array")                                                \
  X(STR, "str", NULL, "every ARG is a string")                                                              \
  X(ALL, "all", NULL, "everything that is not finished")                                                    \
  X(STATE, "state", "S", "running, suspended, completed, parked, or all")                                   \
  X(STEPS, "steps", NULL, "steps under way: on threads, queued, to be tried again")                         \
  X(PARKED, "parked", NULL, "parked functions at any depth, and why they are parked")                       \
  X(CUT, "cut", NULL, "ended from outside with calls still to be undone, and which")                        \
  X(HARD, "hard", NULL, "end it now, and all that is pending below it; nothing is undone")                  \
  X(FORCE, "force", NULL, "migrate it though the new code would park it")                                   \
  X(DRY_RUN, "dry-run", NULL, "change nothing; tell what would come of it")                                 \
  X(HISTORY, "history", NULL, "all it and what is below it recorded, as one JSON document")                 \
  X(LIMIT, "limit", "N", "at most N rows (default 1000)")                                                   \
  X(TIMEOUT, "timeout", "D", "deadline from now: 90, 250ms, 1h30m, 3d (default: none)")                     \
  X(PARAM, "param", "JSON", "what the promise is about")                                                    \
  X(WHERE, "where", "COND", "conditions, joined by commas: func=order, state=parked, id=order-*, older=1h") \
  X(TAG, "tag", "KEY=VALUE", "with this tag, or with this published; may be given several times")           \
  X(CURSOR, "cursor", "ID", "only ids behind this one")                                                     \
  X(TAGS, "tags", "JSON", "an object of strings")                                                           \
  X(TZ, "tz", "ZONE", "time zone, as Europe/Vienna (default: UTC)")                                         \
  X(CATCH_UP, "catch-up", "HOW", "what was missed: all (default), last or none")                            \
  X(SERVER, "server", "URL", "ask this Resonate server, not a store: http://localhost:8001; -S")            \
  X(TOKEN, "token", "JWT", "what the server lets in; -T")                                                   \
  X(REQUEST_TIMEOUT, "request-timeout", "D", "how long a server may take to answer (default 10s)")          \
  X(VALUE, "value", "JSON", "a value of the protocol: {\"data\":..., \"headers\":{...}}")                   \
  X(PID, "pid", "ID", "id of the process that holds the task")                                              \
  X(TTL, "ttl", "D", "how long it holds the task without a heartbeat")                                      \
  X(VERSION, "version", "N", "version of the task; of invoke: of the function (default 1)")                 \
  X(ACTION, "action", "JSON", "a request of the protocol: {\"kind\":..., \"head\":{}, \"data\":{...}}")     \
  X(ACTIONS, "actions", "JSON", "an array of such requests")                                                \
  X(TASKS, "tasks", "JSON", "an array of {\"id\":..., \"version\":...}")                                    \
  X(CRON, "cron", "CRON", "minute hour day month weekday")                                                  \
  X(PROMISE_ID, "promise-id", "ID", "of the promises it makes: {{.id}} and {{.timestamp}} are filled in")   \
  X(PROMISE_TIMEOUT, "promise-timeout", "D", "their deadline, from their creation")                         \
  X(PROMISE_PARAM, "promise-param", "JSON", "their param, a value of the protocol")                         \
  X(PROMISE_TAGS, "promise-tags", "JSON", "their tags: an object of strings")                               \
  X(FUNC, "func", "NAME", "the function; -f")                                                               \
  X(ARG, "arg", "X", "an argument: JSON, else a string; may be given several times")                        \
  X(JSON_ARGS, "json-args", "JSON", "all arguments as one JSON array")                                      \
  X(TARGET, "target", "ADDRESS", "who is to run it (default poll://any@default)")                           \
  X(DELAY, "delay", "D", "not before this has passed")                                                      \
  X(GROUP, "group", "NAME", "group of the files that name none (default: default)")                         \
  X(LEASE, "lease", "D", "how long the server waits for a worker that is silent (default 30s)")             \
  X(AT_ONCE, "at-once", "N", "executions that run at a time; more are left to other workers")               \
  X(AT_ONCE_OF, "at-once-of", "FUNC=N", "the same of one function; several: joined by commas")              \
  X(IDS, "ids", "WORD", "how calls get their ids: colon, or dot for older servers (default colon)")         \
  X(CONFIG, "config", "FILE", "settings, as --print-config prints them")                                    \
  X(PRINT_CONFIG, "print-config", NULL, "print the settings and where each comes from, and end")

typedef enum cli_flag_id {
#define X(name, text, metavar, help) CLI_##name,
  CLI_FLAG_MAP(X)
#undef X
#define X(name, ...) CLI_##name,
      CLI_SETTING_MAP(X)
#undef X
          CLI_FLAG_COUNT
} cli_flag_id;

/* Settings are the last flags. */
typedef enum cli_setting_id {
#define X(name, ...) CLI_NTH_##name,
  CLI_SETTING_MAP(X)
#undef X
      CLI_SETTING_COUNT
} cli_setting_id;
enum { CLI_SETTING_FIRST = CLI_FLAG_COUNT - CLI_SETTING_COUNT };

enum { CLI_OPERANDS_MAX = 256, CLI_REPEATED_MAX = 256 };

/* A set of flags, a bit each. */
__extension__ typedef unsigned __int128 cli_flag_set;
#define CLI_BIT(flag) ((cli_flag_set)1 << (flag))
_Static_assert(CLI_FLAG_COUNT <= 128, "a flag has a bit");

typedef struct cli_verb cli_verb;

typedef struct cli_command {
  const cli_verb *verb;
  const char *operands[CLI_OPERANDS_MAX]; /* borrowed from argv */
  size_t operand_count;
  const char *flags[CLI_FLAG_COUNT]; /* borrowed from argv, environment, config; NULL: not given; a switch: "" */
  cli_flag_set from_variable;        /* those given by DAHOST_* */
  const struct cli_config *config;   /* what became of those that are settings: config.h */
  struct {
    cli_flag_id flag;
    const char *value;
  } repeated[CLI_REPEATED_MAX]; /* each time that a flag was given which may be given several times */
  size_t repeated_count;
} cli_command;

/* Two rows of the same name: what the verb is with a store, and, with --server among its flags, with a server. */
struct cli_verb {
  const char *name; /* "run", "promise create" */
  const char *operands;
  const char *brief;
  const char *help;
  cli_flag_set flags;
  size_t operands_min;
  size_t operands_max;
  int (*run)(const cli_command *command); /* returns the exit code */
};

/* The whole program behind main(). */
int da_cli_main(int argc, char **argv);

static inline bool cli_has(const cli_command *command, cli_flag_id flag)
{
  return command->flags[flag] != NULL;
}
static inline da_slice cli_text(const cli_command *command, cli_flag_id flag)
{
  return da_slice_of(command->flags[flag]);
}

/* "timeout"; "D". */
const char *cli_flag_name(cli_flag_id flag);
const char *cli_flag_metavar(cli_flag_id flag);
/* The next value of a flag that may be given several times, or NULL; *at is 0 for the first. */
const char *cli_each(const cli_command *command, cli_flag_id flag, size_t *at);

/* Prints "dahost: words" on stderr and returns code, so that a verb can `return cli_fail(CLI_EXIT_USAGE, ...)`. */
int cli_fail(int code, const char *format, ...) DA_PRINTF(2, 3);
/* The same for a server's answer: "Error: words". */
void cli_refused(const char *format, ...) DA_PRINTF(1, 2);
/* A line for people on stderr, unless --quiet. */
void cli_note(const cli_command *command, const char *format, ...) DA_PRINTF(2, 3);
/* Of a row {"unserved":[groups]}, or NULL: which groups are missing. */
void cli_say_unserved(const cli_command *command, const cJSON *row);
/* Prints the bytes on stdout, a line end behind them. */
void cli_print(da_slice line);
/* The same for people: control characters in what a script or a store brought are made harmless. */
void cli_print_text(da_slice text);
/* The same for a row of a table: a line end in a name makes no row of its own. */
void cli_print_row(da_slice row);
/* The file descriptor behind cli_print(); `run` moves it so that a step's io.write cannot reach it. */
void cli_print_to(int fd);
/* At the start: no standard stream is closed from here on, and a broken pipe is an error of the write. */
void cli_open_streams(void);
/* At the end: the exit code, or that of an answer which could not be written. May end the process by SIGPIPE. */
int cli_printed(int code);

int cli_run(const cli_command *command);
int cli_serve(const cli_command *command);
int cli_start(const cli_command *command);
int cli_resume(const cli_command *command);
int cli_ps(const cli_command *command);
int cli_tree(const cli_command *command);
int cli_get(const cli_command *command);
int cli_promise_create(const cli_command *command);
int cli_promise_get(const cli_command *command);
int cli_promise_search(const cli_command *command);
int cli_promise_resolve(const cli_command *command);
int cli_promise_reject(const cli_command *command);
int cli_promise_cancel(const cli_command *command);
/* Of the protocol. remote: with a server only; else with a store, too. */
int cli_remote_tree(const cli_command *command);
int cli_remote_promise_create(const cli_command *command);
int cli_remote_promise_get(const cli_command *command);
int cli_remote_promise_search(const cli_command *command);
int cli_remote_promise_resolve(const cli_command *command);
int cli_remote_promise_reject(const cli_command *command);
int cli_remote_promise_cancel(const cli_command *command);
int cli_promise_register_callback(const cli_command *command);
int cli_promise_register_listener(const cli_command *command);
int cli_invoke(const cli_command *command);
int cli_task_get(const cli_command *command);
int cli_task_create(const cli_command *command);
int cli_task_claim(const cli_command *command);
int cli_task_fence(const cli_command *command);
int cli_task_heartbeat(const cli_command *command);
int cli_task_suspend(const cli_command *command);
int cli_task_complete(const cli_command *command);
int cli_task_release(const cli_command *command);
int cli_task_halt(const cli_command *command);
int cli_task_continue(const cli_command *command);
int cli_task_search(const cli_command *command);
int cli_remote_schedule_create(const cli_command *command);
int cli_remote_schedule_get(const cli_command *command);
int cli_remote_schedule_delete(const cli_command *command);
int cli_remote_schedule_search(const cli_command *command);
int cli_send(const cli_command *command);
int cli_queue(const cli_command *command);
int cli_schedule_create(const cli_command *command);
int cli_schedule_get(const cli_command *command);
int cli_schedule_delete(const cli_command *command);
int cli_schedule_search(const cli_command *command);
int cli_schedule_next(const cli_command *command);
int cli_cancel(const cli_command *command);
int cli_continue(const cli_command *command);
int cli_migrate(const cli_command *command);
/* What migrate does for one execution, with the flags of the command. Returns the exit code. */
struct da_bundle;
int cli_migrate_one(const cli_command *command, const char *id, struct da_bundle *bundle);
/* Calls `inspect` with a worker over a store in memory, for looking into bundles. Returns what that returns. */
struct da_worker;
typedef int cli_inspector(struct da_worker *worker, const cli_command *command, void *user);
int cli_inspect(const cli_command *command, cli_inspector *inspect, void *user);
int cli_check(const cli_command *command);
int cli_stubs(const cli_command *command);
int cli_remote_stubs(const cli_command *command);
int cli_worker(const cli_command *command);
int cli_test(const cli_command *command);
int cli_replay(const cli_command *command);
int cli_repl(const cli_command *command);
int cli_verify(const cli_command *command);
int cli_version(const cli_command *command);
int cli_help(const cli_command *command);

#endif
