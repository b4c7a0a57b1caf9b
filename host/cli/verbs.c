/* verbs.c - the verb table and the flag table, and what they say of themselves.
 *
 * To add a flag: its line in cli.h, its bit in the rows of the verbs that have it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdio.h>

#include "config.h"
#include "text.h"

#define F(name) CLI_BIT(CLI_##name)
#define F_COMMON (F(DATA) | F(HELP) | F(QUIET))
/* All from the first one on. */
#define F_SETTINGS ((CLI_BIT(CLI_FLAG_COUNT) - 1) & ~(CLI_BIT(CLI_SETTING_FIRST) - 1))
#define F_REMOTE (F(SERVER) | F(TOKEN) | F(REQUEST_TIMEOUT) | F(HELP) | F(QUIET) | F(JSON))
#define F_BOTH (F_REMOTE | F(DATA)) /* works the same way with a store */
#define F_WORKER \
  (F(WARM) | F(IMAGES) | F(IMAGE_AFTER) | F(IMAGE_EVERY) | F(STEP_THREADS) | F(SPAN_LIMIT) | F(DEATHS) | F(PLUGIN))

const cli_flag cli_flags[CLI_FLAG_COUNT] = {
#define X(name, text, metavar, help) {text, metavar, help},
    CLI_FLAG_MAP(X)
#undef X
#define X(name, flag, key, shared, type, text, least, most, words, metavar, help) {flag, metavar, help},
        CLI_SETTING_MAP(X)
#undef X
};

const cli_flag_set cli_repeated = F(TAG) | F(ARG) | F(LISTEN) | F(CORS) | F(PLUGIN);
/* What is asked, and of what, that lies in the environment would be forgotten there. */
const cli_flag_set cli_only_words = F(HELP) | F(PRINT_CONFIG) | F(WHERE) | F(VALUE) | F(VERSION) | F(ACTION) |
                                    F(ACTIONS) | F(TASKS) | F(CRON) | F(PROMISE_ID) | F(PROMISE_PARAM) |
                                    F(PROMISE_TAGS) | F(FUNC) | F(ARG) | F(JSON_ARGS) | F(DELAY);

const char *cli_flag_name(cli_flag_id flag)
{
  return cli_flags[flag].name;
}

const char *cli_flag_metavar(cli_flag_id flag)
{
  return cli_flags[flag].metavar;
}

const char *cli_also_variable(cli_flag_id which)
{
  return which == CLI_SERVER ? "RESONATE_URL" : which == CLI_TOKEN ? "RESONATE_TOKEN" : NULL;
}

/* ---- verbs --------------------------------------------------------------------------------------------- */

static const char run_help[] =
    "run = one execution, here, until it ends.\n"
    "\n"
    "Starts execution ID of FUNCTION in FILE, or attaches to it if it exists, drives it to its end and prints its\n"
    "result as one line of JSON (several results: a JSON array). What it did is kept: after a kill, a crash or Ctrl-C\n"
    "the same command, or `dahost resume ID`, goes on where it stopped. No recorded step runs again; a step in flight\n"
    "at the kill may.\n"
    "\n"
    "FUNCTION may be left out when FILE defines one workflow, or one named main, and the first ARG does not look like "
    "a\n"
    "name. Each ARG is JSON if it parses as JSON, else a string; a number only in its plain form (007 and 123e4567 "
    "are\n"
    "strings). Words behind -- are operands whatever they look like. If another process holds the store, that process\n"
    "runs it and this one follows; if that process goes away, this one goes on with it.\n"
    "\n"
    "--timeout counts from the start and holds for what it calls, too: once it has passed, `timedout` is raised at "
    "what\n"
    "is awaited, so that it can undo what it did; a minute later its promise is cut off.\n"
    "\n"
    "Exit code: 0 resolved, 1 rejected, 2 usage or script error, 3 parked, 4 timed out or cancelled, 74 the store\n"
    "failed or stdout takes no result, 130 interrupted (SIGINT or SIGTERM; of one that only follows: detached).\n";
static const char serve_help[] =
    "serve = stay up: hold the store, run its executions and what other processes ask for.\n"
    "\n"
    "Loads each FILE and goes on with every execution of the store that is not finished. FILE is for calls of the\n"
    "group `default`, GROUP=FILE for those of another one (f:at \"GROUP\", da.service \"GROUP\"). `dahost run`, "
    "`start`,\n"
    "`resume`, `promise resolve` and the other verbs, given the same --data, reach it and are answered by it.\n"
    "Schedules fire while it is up, and what they missed before is made up for. On stderr: what it listens on, what "
    "it\n"
    "serves, one line for each execution that ends, parks or tries a step again, what scripts print.\n"
    "\n"
    "It answers the Resonate protocol over HTTP, at --listen ADDR: 127.0.0.1:8001, [::1]:0 (any free port),\n"
    "unix:/path, several of them, or none. A socket that systemd opened for it takes the place of the default. Where\n"
    "others can reach it, it warns as long as anybody may ask and read.\n"
    "\n"
    "SIGHUP reads the files again: what begins from then on takes the new code, what is under way keeps its own\n"
    "(steps are taken from the new one); the certificate, its key and the key of tokens are read again, too. What "
    "does\n"
    "not load is refused in words and changes nothing.\n"
    "\n"
    "SIGINT and SIGTERM end it: streams, then requests under way, for at most --shutdown-timeout, then the process,\n"
    "whatever executions are at: nothing is lost by it, the next one goes on where this one stopped. A second signal:\n"
    "at once.\n"
    "\n"
    "Exit code: 0 it was told to end; 2 usage or script error; 74 the store failed, or another process holds it or "
    "the\n"
    "address.\n";
static const char worker_help[] =
    "worker = run scripts for a server elsewhere: a `dahost serve`, or a Resonate server.\n"
    "\n"
    "Loads each FILE and takes up what is called in its group: FILE is of --group NAME, GROUP=FILE of another one. "
    "The\n"
    "server holds promises and tasks, this process nothing: kill it, and another worker of the group goes on. Several\n"
    "servers (--server URL,URL): the first that can be reached, in this order.\n"
    "\n"
    "SIGHUP reads the files again. SIGINT and SIGTERM end it: nothing new is taken up, what waits is suspended, what\n"
    "runs is given back once its steps under way are recorded, all of it within --shutdown-timeout. A second signal:\n"
    "at once; the server gives its tasks to others when their --lease is over.\n"
    "\n"
    "Channels, semaphores, limiters and da.publish are of `dahost serve`; a server of the protocol has none.\n"
    "\n"
    "Exit code: 0 it was told to end; 2 usage or script error; 74 the system failed.\n";
static const char start_help[] =
    "Like run, but only submits the execution and prints its id. It runs when a process drives the store: at once if\n"
    "one holds it now, else with `dahost resume ID` or `dahost serve`.\n";
static const char resume_help[] =
    "Goes on with executions where they stopped; no script file is needed, since the store keeps their code. One ID:\n"
    "prints its result and exits as run does. Several, or --all: one line {\"id\",\"state\",\"value\"} for each as it\n"
    "ends; the exit code is that of the worst end (parked, then ended, then rejected).\n";
static const char ps_help[] =
    "The executions that are not finished, oldest first. running: code runs or could run now; suspended: it waits for\n"
    "a promise, a timer or a group that nobody serves here, and costs nothing; parked: it cannot go on until somebody\n"
    "mends it; completed: it ended.\n"
    "--state S shows one of these (all: every one); --parked shows parked functions at any depth with the reason.\n"
    "\n"
    "--cut shows executions that were ended from outside (cancel --hard, a settled promise, the end of the minute "
    "after\n"
    "a deadline) while calls of a saga were still to be undone, and these calls, newest first. For that it runs them\n"
    "over their records in memory; nothing is carried out.\n"
    "\n"
    "--steps shows the steps under way in the process that drives this store: running (on a thread, since when, how "
    "far\n"
    "it says it is), abandoned (nobody waits for it any more, but it keeps its thread until it ends), queued (for a\n"
    "thread), retrying (when the next attempt begins, and how the last one failed).\n"
    "\n"
    "--where COND shows those for which all conditions hold, joined by commas or by `and`; NAME!=VALUE is the\n"
    "opposite, * stands for any text:\n"
    "  id=order-*, func=order       its id, its function\n"
    "  state=suspended              or running, parked, completed, all; resolved, rejected, canceled, timedout\n"
    "  parked=memory                why it is parked (its code; * is any); at any depth, as state=parked is\n"
    "  awaits=order-7:approval.1    a promise that it awaits\n"
    "  older=1h, younger=5m         the time since it was created\n"
    "  tag.customer=ada             a tag\n"
    "  published.phase=ship         what it published\n"
    "cancel, continue and migrate take the same conditions in place of an id.\n";
static const char where_help[] =
    "\n"
    "--where COND in place of ID: every unfinished execution that `dahost ps --where COND` lists, a line for each; "
    "one\n"
    "that is refused does not stop the others. Exit code: the highest of them, 0 if there is none. --dry-run changes\n"
    "nothing.\n";
static const char tree_help[] =
    "An execution and everything it invoked: indentation shows who called whom, an arrow what is awaited. Functions\n"
    "are running, suspended, completed or parked; promises are pending, resolved, rejected, canceled or timed out.\n"
    "What is awaited elsewhere (a shared id, da.get) stands below the one that waits, behind an arrow.\n";
static const char get_help[] =
    "One execution or promise: its function, arguments, state, result, times and tags. --history writes all that an\n"
    "execution and everything below it recorded as one JSON document, for `dahost replay` and for tests.\n";
static const char test_help[] =
    "Runs test files with Busted inside of this program: no store on disk, no server, virtual time. FILE is a spec "
    "file,\n"
    "or a folder in which *_spec.lua are looked for; in it, `local t = require \"da.test\"` runs workflows of a script "
    "in\n"
    "memory, with steps mocked as wanted and with deaths of the process wherever wanted. Words behind -- are options "
    "of\n"
    "Busted. It must be installed for Lua 5.4 (Debian: lua-busted); LUA_PATH and LUA_CPATH say where else to look.\n"
    "\n"
    "Exit code: 0 all passed, 1 some did not, 2 usage, or there is no Busted.\n";
static const char replay_help[] =
    "Runs the code of FILE over a history that `dahost get ID --history` wrote, in memory: does it do what was "
    "recorded?\n"
    "Nothing is carried out. Of each execution of the history is told what fits or the first difference, both sides\n"
    "named. HISTORY - is stdin. Exit code: 0 all of it fits, 3 something differs, 2 usage, a malformed history, or a\n"
    "script error.\n";
static const char promise_create_help[] =
    "Creates a promise that something outside settles. An existing one is left as it is.\n";
static const char promise_get_help[] = "Shows a promise. The same as `dahost get`.\n";
static const char promise_search_help[] =
    "All promises, those of executions and steps too, in the order of their ids: those that begin with PREFIX, are in\n"
    "state S (pending, resolved, rejected, canceled, timedout), and have every --tag KEY=VALUE, be it among their "
    "tags\n"
    "or published. At most N (default 100, at most 1000); if there are more, it tells the --cursor to go on with.\n";
static const char promise_resolve_help[] =
    "Resolves a pending promise with a value (JSON if it parses as JSON, else a string); whoever awaits it goes on.\n"
    "Exit code 1 if there is no such promise, or it was settled otherwise before.\n";
static const char promise_reject_help[] =
    "Rejects a pending promise: await raises an error with that text, or with the code, message and fields of a JSON\n"
    "object. Exit code 1 if there is no such promise, or it was settled otherwise before.\n";
static const char promise_cancel_help[] =
    "Settles a promise as canceled, at once: the raw settlement. If it is the promise of an execution, the execution\n"
    "is cut without a chance to undo anything; `dahost cancel` asks it to end by itself.\n";
static const char send_help[] =
    "Sends a message (JSON if it parses as JSON, else a string) to a channel, or to the inbox of an execution:\n"
    "`<execution id>/<name>`. It waits there until somebody receives it; the answer comes when it is on disk. An "
    "inbox\n"
    "takes messages from the start of its execution to its end. Exit code 1 if there is no such execution, if it has\n"
    "ended, or if the channel is full.\n";
static const char schedule_create_help[] =
    "Has workflow F called with ARGs at each instant that CRON allows, while `dahost serve` is up. CRON is minute\n"
    "hour day month weekday, with the seconds in front if wanted, or @daily, @every 10m; Sunday is 0 and 7. Each\n"
    "start is execution ID.<ms> of the newest code served that defines F. A schedule that is there already is left\n"
    "as it is. A script declares its own with da.schedule(...), which needs no command.\n";
static const char schedule_get_help[] =
    "Shows a schedule: its expression, what it starts, when it ran and runs next.\n";
static const char schedule_delete_help[] =
    "Deletes a schedule and prints what it was. What it started goes on. One that a served script declares comes back\n"
    "when the script is served again.\n";
static const char schedule_search_help[] = "The schedules of the store by id, with their next and last run.\n";
static const char schedule_next_help[] =
    "Prints the next instants that CRON allows (10, or --limit), as the clock of the zone shows them; no store is\n"
    "needed. A time that the clock leaves out in spring comes at the first moment after the gap, one that it shows\n"
    "twice in autumn comes once; an expression that allows every hour follows elapsed time. Exit code 1 if it never\n"
    "comes.\n";
static const char queue_help[] =
    "The channels, semaphores and limiters of the store: how many messages lie there, how many permits are held, how\n"
    "many wait. With NAME one of them, with the promises that wait, who holds permits, and the messages.\n";
static const char cancel_help[] =
    "Asks an execution to end: `canceled` is raised at what it awaits, undo calls run, then it ends. WHY is the\n"
    "error's message. Nothing is cut; a suspended execution ends when a process drives the store. What is parked can\n"
    "undo nothing: mend it and let it continue first, or use --hard, which settles it and all that is pending below "
    "it\n"
    "as canceled, at once. Exit code 1 if there is no such execution, if it is parked (without --hard), or ended "
    "otherwise.\n";
static const char continue_help[] =
    "Lets a parked execution try again, once what stopped it is mended. See `dahost ps --parked`.\n";
static const char migrate_help[] =
    "Pins an unfinished execution, and what it called and has not ended, to the code of FILE, and lets go on what of "
    "it\n"
    "was parked. Its records stay. First the new code runs over a copy of them, which carries out nothing new: where "
    "it\n"
    "wants something else than they hold the execution would be parked; then both sides are told, with file and "
    "line,\n"
    "and nothing is changed (exit code 3) without --force. da.patched(name) guards code that old executions must "
    "not\n"
    "take.\n"
    "\n"
    "--dry-run ends there: it tells of each execution which recorded calls it would meet again, which new ones it "
    "would\n"
    "make, and whether it would be parked, would end, or go on. Exit code then: 0 it takes to the code, 1 it would "
    "end\n"
    "rejected, 3 it would be parked.\n";
static const char repl_help[] =
    "A prompt in a workflow: each line is Lua, await works, and the functions of FILE are there by their names: "
    "foo(3)\n"
    "starts a child and shows its promise. A value is shown, a global stays, a local lasts for its line. Lines may "
    "also\n"
    "come from a pipe. `:help` at the prompt tells of :tree, :crash, :tick and :load. Ctrl-C cancels what a line\n"
    "awaits, Ctrl-D ends.\n"
    "\n"
    "The session is in memory, or with --data in a store, as one execution; --id goes on with an earlier session:\n"
    "its lines are run again from its records. Exit code: 0, or 2 if FILE cannot be read or loaded.\n";
static const char check_help[] =
    "Looks for the slips that a run would only meet by and by, in each script and the modules it requires, without\n"
    "running their functions: names that nobody sets, awaits that were forgotten, promises that are dropped, inline\n"
    "steps that change what lies around them, things of steps in workflows and of workflows in steps, locals that\n"
    "workflows and steps cannot share. Each finding is one line, `file:line: what; the mend`. The file is loaded, as\n"
    "run does. lua/README.md lists what is found. Exit code: 0 nothing, 1 findings, 2 a file cannot be read or "
    "loaded.\n";
static const char stubs_help[] =
    "Prints what other files may call of these, for the Lua language server: one class for each group, with the name,\n"
    "the parameters and the `doc` of each workflow. Put it into a folder of the workspace's library:\n"
    "dahost stubs gpu=render.lua > library/gpu.lua. Nothing of FILE runs but its top. Exit code: 0, or 2 if a FILE\n"
    "cannot be read or loaded.\n";
static const char remote_stubs_help[] =
    "The same of what GROUP serves at this moment: asked of whoever works for it, a dahost serve or a dahost worker,\n"
    "by a call of `~stubs` which leaves one settled promise on the server. A GROUP that is the name of a file is read\n"
    "as a file. Default of --timeout: 10s; then the call is withdrawn. Exit code: 0; 1 if the answer is a refusal; 4\n"
    "if nobody answered; 74 if the server did not.\n";
static const char verify_help[] =
    "Reads every row of the store and checks that records, indexes and references agree; prints each fault. Exit code\n"
    "1 if there is any. A store in use is read beside its holder, which delays the reuse of its free pages "
    "meanwhile.\n";
static const char version_help[] = "The version of this program and of what it is built from.\n";
static const char help_help[] = "This overview, or the help of one verb.\n";

/* ---- of servers ---------------------------------------------------------------------------------------- */

static const char remote_help[] =
    "\n"
    "It is a request of the Resonate protocol. Success: the data of the answer as JSON, indented (--json: on one\n"
    "line), exit code 0. An answer that says no: `Error: ` and its data on stderr, exit code 1. No answer, or none of\n"
    "the protocol: exit code 74; what was asked may have been done. Durations are 90 (seconds), 250ms, 1h30m, 3d.\n";
#define VALUES                                                                                              \
  "A value of the protocol is {\"data\":..., \"headers\":{...}}: data is sent as base64, of a string its\n" \
  "characters, of anything else its JSON text.\n"
static const char remote_create_help[] =
    "Creates a promise; an existing one is left as it is, and shown. Without --timeout it has no deadline.\n" VALUES;
static const char remote_get_help[] = "Shows a promise as the server has it.\n";
static const char remote_settle_help[] =
    "Settles a promise; one that is settled is left as it is, and shown. With JSON in place of --value: a result (or\n"
    "an error) as a workflow would give it.\n" VALUES;
static const char remote_search_help[] =
    "Promises in the order of their ids: in state S (pending, resolved, rejected, rejected_canceled,\n"
    "rejected_timedout), with all those tags. `cursor` in the answer: there are more, --cursor goes on behind it.\n";
static const char remote_schedule_create_help[] =
    "Has a promise created at each instant that CRON allows. Its id is made from --promise-id, in which {{.id}} is "
    "the\n"
    "id of the schedule and {{.timestamp}} the instant in ms; its tags need resonate:target, the address of who is to\n"
    "work on it. A schedule that is there already is left as it is, and shown.\n" VALUES;
static const char remote_schedule_get_help[] = "Shows a schedule as the server has it.\n";
static const char remote_schedule_delete_help[] = "Deletes a schedule. What it made stays.\n";
static const char remote_schedule_search_help[] = "Schedules in the order of their ids, with all those tags.\n";
static const char remote_tree_help[] =
    "The promises of ID's lineage (tag resonate:origin), each below the one that made it, in the order of their\n"
    "creation: yellow is pending, green resolved, red rejected.\n";
static const char callback_help[] = "Has the task of promise AWAITER resumed when AWAITED is settled.\n";
static const char listener_help[] = "Has ADDRESS (poll://uni@GROUP/ID, http://...) told when AWAITED is settled.\n";
static const char task_get_help[] = "Shows a task: its state, version and who holds it.\n";
static const char task_create_help[] =
    "Creates a promise and takes its task for --pid, for --ttl at a time. --tags needs resonate:target. --param is a\n"
    "value of the protocol that is sent as it is: its data must be a string.\n";
static const char task_claim_help[] = "Takes a pending task of this version for --pid, for --ttl at a time "
                                      "(task.acquire). Its version is one more then.\n";
static const char task_fence_help[] =
    "Creates or settles a promise, provided that the task is still held in this version.\n";
static const char task_heartbeat_help[] = "Goes on holding tasks: each for its own ttl from now on.\n";
static const char task_suspend_help[] =
    "Lets the task wait: each action is a promise.register_callback. If one of these promises is settled already, the\n"
    "task stays held, and the answer (300) is told as an error.\n";
static const char task_complete_help[] = "Settles the promise of a task that is held in this version (task.fulfill).\n";
static const char task_release_help[] = "Gives a task back: another process may take it at once.\n";
static const char task_halt_help[] = "Stops a task: nobody gets it until `task continue`.\n";
static const char task_continue_help[] = "Lets a halted task be taken again.\n";
static const char task_search_help[] =
    "Tasks in the order of their ids, in state S: pending, acquired, suspended, halted, fulfilled.\n";
static const char invoke_help[] =
    "Has function NAME called by whoever works for --target: creates promise ID with the call as its param and prints\n"
    "it; the result will be its value. Default of --timeout: 1h, behind --delay.\n";

const cli_verb cli_verbs[] = {
    {"run", "FILE [FUNCTION] [ARG...]", "one execution, here, until it ends", run_help,
     F_COMMON | F_WORKER | F(ID) | F(ARGS) | F(STR) | F(TIMEOUT) | F(TAGS), 1, CLI_OPERANDS_MAX, cli_run},
    {"start", "FILE [FUNCTION] [ARG...]", "submit an execution, do not wait for it", start_help,
     F_COMMON | F(JSON) | F(ID) | F(ARGS) | F(STR) | F(TIMEOUT) | F(TAGS), 1, CLI_OPERANDS_MAX, cli_start},
    {"resume", "[ID...]", "go on with executions where they stopped", resume_help, F_COMMON | F_WORKER | F(ALL), 0,
     CLI_OPERANDS_MAX, cli_resume},
    {"serve", "[[GROUP=]FILE...]", "stay up and run scripts for others", serve_help,
     F_COMMON | F_SETTINGS | F(CONFIG) | F(PRINT_CONFIG), 0, CLI_OPERANDS_MAX, cli_serve},
    {"worker", "[GROUP=]FILE...", "run scripts for a server elsewhere", worker_help,
     F(SERVER) | F(TOKEN) | F(REQUEST_TIMEOUT) | F(GROUP) | F(LEASE) | F(AT_ONCE) | F(AT_ONCE_OF) | F(PID) | F(IDS) |
         F_WORKER | F(LOG) | F(LOG_FORMAT) | F(SHUTDOWN_TIMEOUT) | F(QUIET) | F(HELP),
     1, CLI_OPERANDS_MAX, cli_worker},
    {"repl", "[FILE]", "a prompt in a workflow", repl_help, F_COMMON | F_WORKER | F(ID), 0, 1, cli_repl},
    {"ps", "", "list executions", ps_help,
     F_COMMON | F(JSON) | F(STATE) | F(STEPS) | F(PARKED) | F(CUT) | F(WHERE) | F(LIMIT), 0, 0, cli_ps},
    {"tree", "ID", "an execution and all it invoked", tree_help, F_COMMON | F(JSON) | F(LIMIT), 1, 1, cli_tree},
    {"tree", "ID", "", remote_tree_help, F_REMOTE, 1, 1, cli_remote_tree},
    {"get", "ID", "one execution or promise, with its value", get_help, F_COMMON | F(JSON) | F(HISTORY), 1, 1, cli_get},
    {"queue", "[NAME]", "channels, semaphores, limiters", queue_help, F_COMMON | F(JSON) | F(LIMIT), 0, 1, cli_queue},
    {"send", "CHANNEL JSON", "send a message to a channel or an inbox", send_help, F_COMMON | F(JSON) | F(STR), 2, 2,
     cli_send},
    {"cancel", "ID [WHY]", "ask an execution to end", cancel_help, F_COMMON | F(JSON) | F(HARD) | F(WHERE) | F(DRY_RUN),
     1, 2, cli_cancel},
    {"continue", "ID", "let a parked execution try again", continue_help, F_COMMON | F(JSON) | F(WHERE) | F(DRY_RUN), 1,
     1, cli_continue},
    {"migrate", "ID FILE", "move an unfinished execution to other code", migrate_help,
     F_COMMON | F(JSON) | F(WHERE) | F(DRY_RUN) | F(FORCE) | F(PLUGIN), 2, 2, cli_migrate},
    {"promise create", "ID", "make a promise to be settled from outside", promise_create_help,
     F_COMMON | F(JSON) | F(TIMEOUT) | F(PARAM) | F(TAGS), 1, 1, cli_promise_create},
    {"promise create", "ID", "", remote_create_help, F_REMOTE | F(TIMEOUT) | F(PARAM) | F(TAGS), 1, 1,
     cli_remote_promise_create},
    {"promise get", "ID", "show a promise", promise_get_help, F_COMMON | F(JSON), 1, 1, cli_promise_get},
    {"promise get", "ID", "", remote_get_help, F_REMOTE, 1, 1, cli_remote_promise_get},
    {"promise search", "[PREFIX]", "promises by id, state and tags", promise_search_help,
     F_COMMON | F(JSON) | F(STATE) | F(TAG) | F(LIMIT) | F(CURSOR), 0, 1, cli_promise_search},
    {"promise search", "", "", remote_search_help, F_REMOTE | F(STATE) | F(TAGS) | F(TAG) | F(LIMIT) | F(CURSOR), 0, 0,
     cli_remote_promise_search},
    {"promise resolve", "ID [JSON]", "resolve a promise", promise_resolve_help, F_COMMON | F(JSON) | F(STR), 1, 2,
     cli_promise_resolve},
    {"promise resolve", "ID [JSON]", "", remote_settle_help, F_REMOTE | F(VALUE) | F(STR), 1, 2,
     cli_remote_promise_resolve},
    {"promise reject", "ID [JSON]", "reject a promise", promise_reject_help, F_COMMON | F(JSON) | F(STR), 1, 2,
     cli_promise_reject},
    {"promise reject", "ID [JSON]", "", remote_settle_help, F_REMOTE | F(VALUE) | F(STR), 1, 2,
     cli_remote_promise_reject},
    {"promise cancel", "ID [WHY]", "settle a promise as canceled", promise_cancel_help, F_COMMON | F(JSON), 1, 2,
     cli_promise_cancel},
    {"promise cancel", "ID [WHY]", "", remote_settle_help, F_REMOTE | F(VALUE), 1, 2, cli_remote_promise_cancel},
    {"promise register-callback", "AWAITED AWAITER", "have a task resumed by a promise", callback_help, F_BOTH, 2, 2,
     cli_promise_register_callback},
    {"promise register-listener", "AWAITED ADDRESS", "have an address told of its end", listener_help, F_BOTH, 2, 2,
     cli_promise_register_listener},
    {"invoke", "ID --func NAME", "have a function called, by whoever serves it", invoke_help,
     F_BOTH | F(FUNC) | F(ARG) | F(JSON_ARGS) | F(VERSION) | F(TIMEOUT) | F(TARGET) | F(DELAY), 1, 1, cli_invoke},
    {"task get", "ID", "show a task", task_get_help, F_BOTH, 1, 1, cli_task_get},
    {"task create", "ID --pid ID --ttl D", "make a promise and take its task", task_create_help,
     F_BOTH | F(PID) | F(TTL) | F(TIMEOUT) | F(PARAM) | F(TAGS), 1, 1, cli_task_create},
    {"task claim", "ID --pid ID --version N --ttl D", "take a pending task", task_claim_help,
     F_BOTH | F(PID) | F(VERSION) | F(TTL), 1, 1, cli_task_claim},
    {"task fence", "ID --version N --action JSON", "create or settle while it is held", task_fence_help,
     F_BOTH | F(VERSION) | F(ACTION), 1, 1, cli_task_fence},
    {"task heartbeat", "--pid ID --tasks JSON", "go on holding tasks", task_heartbeat_help, F_BOTH | F(PID) | F(TASKS),
     0, 0, cli_task_heartbeat},
    {"task suspend", "ID --version N --actions JSON", "let a task wait for promises", task_suspend_help,
     F_BOTH | F(VERSION) | F(ACTIONS), 1, 1, cli_task_suspend},
    {"task complete", "ID --version N --action JSON", "settle the promise of a held task", task_complete_help,
     F_BOTH | F(VERSION) | F(ACTION), 1, 1, cli_task_complete},
    {"task release", "ID --version N", "give a held task back", task_release_help, F_BOTH | F(VERSION), 1, 1,
     cli_task_release},
    {"task halt", "ID", "stop a task", task_halt_help, F_BOTH, 1, 1, cli_task_halt},
    {"task continue", "ID", "let a halted task go on", task_continue_help, F_BOTH, 1, 1, cli_task_continue},
    {"task search", "", "list tasks", task_search_help, F_BOTH | F(STATE) | F(LIMIT) | F(CURSOR), 0, 0,
     cli_task_search},
    {"schedule create", "ID CRON F [ARG...]", "start a function by the clock", schedule_create_help,
     F_COMMON | F(JSON) | F(TZ) | F(CATCH_UP) | F(ARGS) | F(STR), 3, CLI_OPERANDS_MAX, cli_schedule_create},
    {"schedule create", "ID --cron CRON --promise-id ID --promise-timeout D", "", remote_schedule_create_help,
     F_REMOTE | F(CRON) | F(PROMISE_ID) | F(PROMISE_TIMEOUT) | F(PROMISE_PARAM) | F(PROMISE_TAGS), 1, 1,
     cli_remote_schedule_create},
    {"schedule get", "ID", "show a schedule", schedule_get_help, F_COMMON | F(JSON), 1, 1, cli_schedule_get},
    {"schedule get", "ID", "", remote_schedule_get_help, F_REMOTE, 1, 1, cli_remote_schedule_get},
    {"schedule delete", "ID", "delete a schedule", schedule_delete_help, F_COMMON | F(JSON), 1, 1, cli_schedule_delete},
    {"schedule delete", "ID", "", remote_schedule_delete_help, F_REMOTE, 1, 1, cli_remote_schedule_delete},
    {"schedule search", "", "list schedules", schedule_search_help, F_COMMON | F(JSON) | F(LIMIT), 0, 0,
     cli_schedule_search},
    {"schedule search", "", "", remote_schedule_search_help, F_REMOTE | F(TAGS) | F(LIMIT) | F(CURSOR), 0, 0,
     cli_remote_schedule_search},
    {"schedule next", "CRON", "when does an expression come?", schedule_next_help, F(HELP) | F(JSON) | F(TZ) | F(LIMIT),
     1, 1, cli_schedule_next},
    {"check", "FILE...", "look scripts over for slips", check_help, F(JSON) | F(QUIET) | F(HELP), 1, CLI_OPERANDS_MAX,
     cli_check},
    {"stubs", "[GROUP=]FILE...", "definitions for editors", stubs_help, F(QUIET) | F(HELP), 1, CLI_OPERANDS_MAX,
     cli_stubs},
    {"stubs", "GROUP...", "", remote_stubs_help,
     F(SERVER) | F(TOKEN) | F(REQUEST_TIMEOUT) | F(TIMEOUT) | F(QUIET) | F(HELP), 1, CLI_OPERANDS_MAX,
     cli_remote_stubs},
    {"test", "FILE... [-- BUSTED...]", "run tests of workflows", test_help, F(HELP) | F(PLUGIN), 1, CLI_OPERANDS_MAX,
     cli_test},
    {"replay", "HISTORY FILE", "does code still fit what was recorded?", replay_help,
     F(HELP) | F(QUIET) | F(JSON) | F(PLUGIN), 2, 2, cli_replay},
    {"verify", "", "check the whole store", verify_help, F_COMMON | F(JSON), 0, 0, cli_verify},
    {"version", "", "versions", version_help, F(HELP) | F(JSON), 0, 0, cli_version},
    {"help", "[VERB]", "this overview, or the help of a verb", help_help, F(HELP), 0, 2, cli_help},
};
const size_t cli_verb_count = sizeof cli_verbs / sizeof *cli_verbs;

/* ---- help ---------------------------------------------------------------------------------------------- */

enum { HELP_COLUMNS = 80 };

void cli_variable_name(cli_flag_id which, char out[CLI_VARIABLE_MAX])
{
  size_t len = (size_t)snprintf(out, CLI_VARIABLE_MAX, "DAHOST_%s", cli_flags[which].name);
  for (size_t i = 7; i < len; i++) out[i] = (char)(out[i] == '-' ? '_' : out[i] - ('a' - 'A'));
}

const cli_verb *cli_verb_twin(const cli_verb *verb)
{
  for (size_t i = 0; i < cli_verb_count; i++)
    if (&cli_verbs[i] != verb && strcmp(cli_verbs[i].name, verb->name) == 0) return &cli_verbs[i];
  return NULL;
}

/* "--port N", "--push=false": how it is given. */
static void flag_form(int i, char out[CLI_VARIABLE_MAX])
{
  const cli_flag *f = &cli_flags[i];
  const cli_setting *s = i >= CLI_SETTING_FIRST ? &cli_settings[i - CLI_SETTING_FIRST] : NULL;
  bool off = s != NULL && s->type == CLI_TYPE_SWITCH && strcmp(s->text, "true") == 0;
  (void)snprintf(out, CLI_VARIABLE_MAX, "--%s%s%s", f->name, f->metavar != NULL ? " " : "",
                 off                  ? "=false"
                 : f->metavar != NULL ? f->metavar
                                      : "");
}

/* " (any, colon, dot or off; default any)" */
static void add_choice(da_buf *out, const cli_setting *s)
{
  const char *between = "";
  bool takes_value = s->type != CLI_TYPE_SWITCH;
  if (!takes_value || (s->words == NULL && s->text == NULL)) return;
  da_buf_addf(out, " (");
  if (s->words != NULL) cli_setting_words(s, out);
  if (s->words != NULL) between = "; ";
  if (s->text != NULL) da_buf_addf(out, "%sdefault %s", between, s->text);
  da_buf_add_byte(out, ')');
}

static void add_flag(da_buf *out, int i, int width)
{
  char form[CLI_VARIABLE_MAX];
  char variable[CLI_VARIABLE_MAX];
  flag_form(i, form);
  da_buf_addf(out, "  %-*s  %s", width, form, cli_flags[i].help);
  if (i >= CLI_SETTING_FIRST) add_choice(out, &cli_settings[i - CLI_SETTING_FIRST]);
  const char *also = cli_also_variable((cli_flag_id)i);
  cli_variable_name((cli_flag_id)i, variable);
  if ((cli_only_words & CLI_BIT(i)) == 0)
    da_buf_addf(out, " [%s%s%s]", variable, also != NULL ? ", " : "", also != NULL ? also : "");
  da_buf_add_byte(out, '\n');
}

static void add_flags(da_buf *out, cli_flag_set wanted)
{
  int width = 17;
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    char form[CLI_VARIABLE_MAX];
    flag_form(i, form);
    if ((wanted & CLI_BIT(i)) != 0 && (int)strlen(form) > width) width = (int)strlen(form);
  }
  if ((wanted & CLI_BIT(CLI_DATA)) != 0) add_flag(out, CLI_DATA, width);
  for (int i = 0; i < CLI_FLAG_COUNT; i++)
    if ((wanted & CLI_BIT(i)) != 0 && i != CLI_DATA) add_flag(out, i, width);
}

static void add_usage(da_buf *out, const cli_verb *verb, const char *server)
{
  da_buf_addf(out, "usage: dahost %s%s%s%s [flags]\n\n%s", verb->name, *verb->operands != '\0' ? " " : "",
              verb->operands, server, verb->help);
}

static void print_wrapped(da_buf *text)
{
  da_buf out = {0};
  cli_wrap(&out, da_buf_slice(text), HELP_COLUMNS);
  out.len--; /* cli_print() ends the line */
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  da_buf_free(text);
}

void cli_print_help(const cli_verb *verb)
{
  static const char flags_line[] = "\nflags, before or after the operands [environment variable]:\n";
  const cli_verb *twin = cli_verb_twin(verb);
  bool many = (verb->flags & F(WHERE)) != 0 && verb->operands_min > 0;
  da_buf out = {0};
  add_usage(&out, verb, "");
  if (many) da_buf_addf(&out, "%s", where_help);
  if (twin == NULL && (verb->flags & F(SERVER)) != 0) da_buf_addf(&out, "%s", remote_help);
  da_buf_addf(&out, "%s", flags_line);
  add_flags(&out, verb->flags);
  if (twin != NULL) {
    da_buf_addf(&out, "\n");
    add_usage(&out, twin, " --server URL");
    da_buf_addf(&out, "%s%s", (twin->flags & F(JSON)) != 0 ? remote_help : "", flags_line);
    add_flags(&out, twin->flags);
  }
  print_wrapped(&out);
}

/* The first verb of each group in the overview. */
static const struct {
  const char *verb;
  const char *title;
} headings[] = {
    {"run", "executions"},
    {"ps", "what there is"},
    {"send", "what is under way"},
    {"promise create", "promises"},
    {"invoke", "tasks of promises, by hand"},
    {"schedule create", "functions by the clock"},
    {"check", "scripts"},
    {"verify", "the rest"},
};

void cli_print_overview(void)
{
  da_buf out = {0};
  da_buf_addf(&out, "dahost: functions and promises whose identity and state outlive the process\n\n"
                    "usage: dahost VERB [operands] [flags]\n");
  for (size_t i = 0; i < cli_verb_count; i++) {
    char left[64];
    const char *operands = cli_verbs[i].operands; /* without the flags that it needs: --help has them */
    const char *flag = strncmp(operands, "--", 2) == 0 ? operands : strstr(operands, " --");
    int width = flag != NULL ? (int)(flag - operands) : (int)strlen(operands);
    if (i > 0 && cli_verb_twin(&cli_verbs[i]) == &cli_verbs[i - 1]) continue;
    for (size_t k = 0; k < sizeof headings / sizeof *headings; k++)
      if (strcmp(headings[k].verb, cli_verbs[i].name) == 0) da_buf_addf(&out, "\n%s\n", headings[k].title);
    (void)snprintf(left, sizeof left, "%s %.*s", cli_verbs[i].name, width, operands);
    da_buf_addf(&out, "  %-42s %s\n", left, cli_verbs[i].brief);
  }
  da_buf_addf(
      &out,
      "\n`dahost help VERB` or `dahost VERB --help` tells more. Results go to stdout, the rest to stderr.\n"
      "The store is ./.dahost, or --data DIR, or DAHOST_DATA. What stands under promises, tasks, and functions by\n"
      "the clock, and tree, asks a Resonate server instead with --server URL (or DAHOST_SERVER, RESONATE_URL).\n\n"
      "exit codes: 0 done, or resolved; 1 rejected, or no; 2 usage or script error; 3 parked; 4 timed out or\n"
      "cancelled; 74 the store, the server or stdout failed; 130 interrupted\n");
  print_wrapped(&out);
}
