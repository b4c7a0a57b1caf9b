/* battery_exec.c - da.exec: other programs, without a shell.
 *
 * A program is begun in a process group of its own. The call is over when the program has ended; what is left of its
 * group then, and the whole group when nobody waits for the call any more, when its time is over or its output too
 * large, is killed; so are all groups when this process ends. One that is killed itself leaves them alone.
 *
 * Threads:  a step thread (POOL). Others may kill the group as long as the program is not waited for: the loop thread,
 *           and the one on which the process ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../host/base/bytes.h"
#include "battery.h"

enum {
  PIECE = 64 * 1024,
  OUTPUT_MAX = 1 << 20, /* of both outputs together, if it is not said otherwise */
  SHOWN_MAX = 200,      /* bytes of stderr within the message of an error */
  UNDER_WAY_MAX = 1024, /* programs at a time; far more than there are step threads */
};

typedef struct command {
  dahost_call *call;
  char **argv, **env; /* the texts of argv belong to the call; env: those behind env_own are ours */
  size_t argc, env_own;
  da_slice input;
  const char *cwd;
  int64_t timeout_ms; /* below 0: none */
  int64_t output_max;
  bool check;
} command;

typedef struct run {
  const command *what;
  pid_t pid;
  size_t place;     /* among those under way */
  int in, out, err; /* our ends; -1: closed */
  da_slice input;   /* what is left of it */
  da_buf text_out, text_err;
  int64_t until; /* battery_tick_ms() */
  siginfo_t end;
  bool ended;
} run;

/* ---- arguments ------------------------------------------------------------------------------------------ */

static bool add_word(command *c, dahost_value value)
{
  size_t len = 0;
  dahost_type type = dahost_type_of(c->call, value);
  char number[24];
  if (type == DAHOST_INTEGER) {
    (void)snprintf(number, sizeof number, "%lld", (long long)dahost_to_integer(c->call, value));
    value = dahost_new_string(c->call, number, strlen(number));
  }
  const char *text = dahost_to_string(c->call, value, &len);
  if (text == NULL || strlen(text) != len)
    return battery_refuse(c->call, "word %zu of exec.run must be a string without a zero byte, or an integer",
                          c->argc + 1);
  c->argv = da_xrealloc(c->argv, (c->argc + 2) * sizeof *c->argv);
  memcpy(&c->argv[c->argc++], &text, sizeof text); /* posix_spawn() does not change them */
  c->argv[c->argc] = NULL;
  return true;
}

/* ({"ls", "-l"}, options) or ("ls", "-l", options); *options: the argument that they are. */
static bool read_words(command *c, int *options)
{
  dahost_value first = dahost_arg(c->call, 1);
  int count = dahost_arg_count(c->call);
  *options = 2;
  if (dahost_type_of(c->call, first) == DAHOST_TABLE) {
    for (size_t i = 1; i <= dahost_count(c->call, first); i++)
      if (!add_word(c, dahost_at(c->call, first, i))) return false;
    if (count > 2) return battery_refuse(c->call, "exec.run takes a list of words and options, got more");
  } else {
    int i = 1;
    for (; i <= count && dahost_type_of(c->call, dahost_arg(c->call, i)) > DAHOST_NIL; i++) {
      if (i == count && dahost_type_of(c->call, dahost_arg(c->call, i)) == DAHOST_TABLE) break;
      if (!add_word(c, dahost_arg(c->call, i))) return false;
    }
    *options = i;
    if (i < count) return battery_refuse(c->call, "argument %d of exec.run must be a word, got nil", i);
  }
  return c->argc > 0 || battery_refuse(c->call, "exec.run needs a program");
}

static bool is_set_by(const char *text, const char *name, size_t len)
{
  return strncmp(text, name, len) == 0 && text[len] == '=';
}

/* What is in the environment but for the names in `table`. */
static void keep_env(command *c, dahost_value table, size_t more)
{
  size_t count = 0, kept = 0;
  while (environ[count] != NULL) count++;
  c->env = da_xcalloc(count + more + 1, sizeof *c->env);
  for (size_t i = 0; i < count; i++) {
    bool stays = true;
    for (dahost_value key = 0, value = 0; dahost_next(c->call, table, &key, &value);) {
      size_t len;
      const char *name = dahost_to_string(c->call, key, &len);
      if (is_set_by(environ[i], name, len)) stays = false;
    }
    if (stays) c->env[kept++] = environ[i];
  }
  c->env_own = kept;
}

static bool is_env_pair(dahost_call *call, dahost_value key, dahost_value value)
{
  size_t len = 0, value_len = 0;
  if (dahost_type_of(call, key) != DAHOST_STRING) return false;
  const char *name = dahost_to_string(call, key, &len);
  if (len == 0 || strlen(name) != len || strchr(name, '=') != NULL) return false;
  if (dahost_type_of(call, value) == DAHOST_BOOLEAN) return !dahost_to_boolean(call, value);
  const char *text = dahost_to_string(call, value, &value_len);
  return text != NULL && strlen(text) == value_len;
}

static bool read_env(command *c, dahost_value options)
{
  dahost_value table = options != 0 ? dahost_field(c->call, options, "env") : 0;
  if (dahost_type_of(c->call, table) <= DAHOST_NIL) return true;
  size_t more = 0;
  bool good = dahost_type_of(c->call, table) == DAHOST_TABLE;
  for (dahost_value key = 0, value = 0; good && dahost_next(c->call, table, &key, &value); more++)
    good = is_env_pair(c->call, key, value);
  if (!good)
    return battery_refuse(c->call, "option 'env' of exec.run must be a table of NAME = \"text\", or NAME = false");
  keep_env(c, table, more);
  size_t at = c->env_own;
  for (dahost_value key = 0, value = 0; dahost_next(c->call, table, &key, &value);) {
    const char *text = dahost_to_string(c->call, value, NULL);
    if (text == NULL) continue; /* false: it is not there */
    const char *name = dahost_to_string(c->call, key, NULL);
    size_t size = strlen(name) + strlen(text) + 2;
    c->env[at] = da_xcalloc(size, 1);
    (void)snprintf(c->env[at++], size, "%s=%s", name, text);
  }
  return true;
}

static bool read_stdin(command *c, dahost_value options)
{
  dahost_value value = options != 0 ? dahost_field(c->call, options, "stdin") : 0;
  if (dahost_type_of(c->call, value) <= DAHOST_NIL) return true;
  c->input.ptr = dahost_to_string(c->call, value, &c->input.len);
  return c->input.ptr != NULL || battery_refuse(c->call, "option 'stdin' of exec.run must be a string");
}

static bool read_command(command *c)
{
  static const char *const names[] = {"check", "cwd", "env", "max_output", "stdin", "timeout", NULL};
  int at;
  dahost_value options;
  return read_words(c, &at) && battery_options(c->call, at, "exec.run", names, &options) &&
         battery_option_flag(c->call, options, "exec.run", "check", &c->check) &&
         battery_option_text(c->call, options, "exec.run", "cwd", &c->cwd) &&
         battery_option_integer(c->call, options, "exec.run", "max_output", BATTERY_BYTES_MAX, &c->output_max) &&
         battery_duration_ms(c->call, options != 0 ? dahost_field(c->call, options, "timeout") : 0,
                             "option 'timeout' of exec.run", &c->timeout_ms) &&
         read_stdin(c, options) && read_env(c, options);
}

static void free_command(command *c)
{
  for (size_t i = c->env_own; c->env != NULL && c->env[i] != NULL; i++) free(c->env[i]);
  free(c->env);
  free(c->argv);
}

/* ---- beginning ------------------------------------------------------------------------------------------ */

static void close_end(int *fd)
{
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
}

/* Signals as a program expects them, whatever this one and its threads do with theirs. */
static int set_attributes(posix_spawnattr_t *attributes)
{
  sigset_t none, all;
  (void)sigemptyset(&none);
  (void)sigfillset(&all);
  (void)sigdelset(&all, SIGKILL);
  (void)sigdelset(&all, SIGSTOP);
  int error =
      posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (error == 0) error = posix_spawnattr_setpgroup(attributes, 0);
  if (error == 0) error = posix_spawnattr_setsigmask(attributes, &none);
  return error != 0 ? error : posix_spawnattr_setsigdefault(attributes, &all);
}

/* theirs: the program's ends; theirs[0] below 0: nothing to read. */
static int set_files(posix_spawn_file_actions_t *files, const int theirs[3], const char *cwd)
{
  int error = theirs[0] >= 0 ? posix_spawn_file_actions_adddup2(files, theirs[0], 0)
                             : posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_adddup2(files, theirs[1], 1);
  if (error == 0) error = posix_spawn_file_actions_adddup2(files, theirs[2], 2);
  if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(files, 3);
  if (error == 0 && cwd != NULL) error = posix_spawn_file_actions_addchdir_np(files, cwd);
  return error;
}

static int spawn(run *r, const int theirs[3])
{
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  int error = posix_spawnattr_init(&attributes);
  if (error != 0) return error;
  error = posix_spawn_file_actions_init(&files);
  if (error == 0) {
    error = set_attributes(&attributes);
    if (error == 0) error = set_files(&files, theirs, r->what->cwd);
    char **env = r->what->env != NULL ? r->what->env : environ;
    if (error == 0) error = posix_spawnp(&r->pid, r->what->argv[0], &files, &attributes, r->what->argv, env);
    (void)posix_spawn_file_actions_destroy(&files);
  }
  (void)posix_spawnattr_destroy(&attributes);
  return error;
}

/* A pipe, of which ours does not block. */
static int open_pipe(int *theirs, int *ours, bool we_write)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  *ours = ends[we_write ? 1 : 0];
  *theirs = ends[we_write ? 0 : 1];
  return fcntl(*ours, F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

/* 0, or errno's number. Our ends stay open, also on failure. */
static int begin(run *r)
{
  int theirs[3] = {-1, -1, -1};
  int error = r->input.ptr != NULL ? open_pipe(&theirs[0], &r->in, true) : 0;
  if (error == 0) error = open_pipe(&theirs[1], &r->out, false);
  if (error == 0) error = open_pipe(&theirs[2], &r->err, false);
  if (error == 0) error = spawn(r, theirs);
  for (int i = 0; i < 3; i++) close_end(&theirs[i]);
  return error;
}

/* ---- while it runs -------------------------------------------------------------------------------------- */

/* Of the programs under way, each in a place of its own, so that a signal handler may look; 0: a free place. */
static _Atomic pid_t under_way[UNDER_WAY_MAX];
static atomic_bool process_ends;

static void kill_group(void *data)
{
  const run *r = data;
  (void)kill(-r->pid, SIGKILL);
}

static void put_in(run *r)
{
  for (r->place = 0; r->place < UNDER_WAY_MAX; r->place++) {
    pid_t none = 0;
    if (atomic_compare_exchange_strong(&under_way[r->place], &none, r->pid)) break;
  }
  if (atomic_load(&process_ends)) kill_group(r);
}

static void take_out(const run *r)
{
  if (r->place < UNDER_WAY_MAX) atomic_store(&under_way[r->place], 0);
}

__attribute__((destructor)) void battery_exec_end(void)
{
  atomic_store(&process_ends, true);
  for (size_t i = 0; i < UNDER_WAY_MAX; i++) {
    pid_t pid = atomic_load(&under_way[i]);
    if (pid > 0) (void)kill(-pid, SIGKILL);
  }
}

/* The thread's SIGPIPE is blocked; one that this write has sent is taken back. */
static void write_input(run *r)
{
  ssize_t done = write(r->in, r->input.ptr, r->input.len < PIECE ? r->input.len : PIECE);
  if (done > 0) r->input = da_slice_make(r->input.ptr + done, r->input.len - (size_t)done);
  if (done < 0 && errno == EPIPE) { /* it reads no more, as it likes */
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)sigtimedwait(&set, NULL, &(struct timespec){0});
    r->input.len = 0;
  }
  if (r->input.len == 0) close_end(&r->in);
}

/* False: there is nothing more for now. */
static bool read_output(int *fd, da_buf *text)
{
  if (*fd < 0) return false;
  da_buf_reserve(text, PIECE);
  ssize_t got = read(*fd, text->ptr + text->len, PIECE);
  if (got > 0) text->len += (size_t)got;
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) close_end(fd);
  return got > 0;
}

static bool is_too_large(const run *r)
{
  return (int64_t)(r->text_out.len + r->text_err.len) > r->what->output_max;
}

/* Moves what can be moved; waits at most so long for it. True: something was. */
static bool pump(run *r, int wait_ms)
{
  struct pollfd ends[3] = {
      {.fd = r->in, .events = POLLOUT}, {.fd = r->out, .events = POLLIN}, {.fd = r->err, .events = POLLIN}};
  if (poll(ends, 3, wait_ms) <= 0) return false;
  if (ends[0].revents != 0) write_input(r);
  if (ends[1].revents != 0) (void)read_output(&r->out, &r->text_out);
  if (ends[2].revents != 0) (void)read_output(&r->err, &r->text_err);
  return true;
}

/* Has it ended? It is not waited for yet, so nobody else has its number. */
static bool has_ended(run *r)
{
  siginfo_t end = {0};
  if (waitid(P_PID, (id_t)r->pid, &end, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno == EINTR) return false;
    r->ended = true; /* somebody has waited for it; how it ended is not known */
  } else if (end.si_pid == r->pid) {
    r->ended = true;
    r->end = end;
  }
  return r->ended;
}

/* Until the program has ended, or has to: then the call has failed. */
static void attend(run *r)
{
  dahost_call *call = r->what->call;
  int wait_ms = 1;
  while (!has_ended(r)) {
    wait_ms = pump(r, wait_ms) ? 1 : wait_ms * 2 < BATTERY_LOOK_MS ? wait_ms * 2 : BATTERY_LOOK_MS;
    if (is_too_large(r) || battery_stopped(call)) return;
    if (battery_tick_ms() >= r->until) {
      dahost_fail(call, "timedout", "%s did not end in time", r->what->argv[0]);
      return;
    }
  }
  while (!is_too_large(r) && (read_output(&r->out, &r->text_out) || read_output(&r->err, &r->text_err))) continue;
}

/* Nothing of the group is left, and the program is waited for. */
static void end(run *r)
{
  kill_group(r);
  dahost_on_cancel(r->what->call, NULL, NULL); /* its number may be another's from here on */
  take_out(r);
  while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) continue;
}

/* ---- what came of it ------------------------------------------------------------------------------------ */

static dahost_value new_bytes(dahost_call *call, const da_buf *bytes)
{
  return dahost_new_string(call, bytes->ptr, bytes->len);
}

static dahost_value new_signal(dahost_call *call, int number)
{
  char name[24] = "";
  const char *word = sigabbrev_np(number);
  (void)snprintf(name, sizeof name, "SIG%s", word != NULL ? word : "RT");
  return dahost_new_string(call, name, strlen(name));
}

static void fail_with_output(run *r)
{
  dahost_call *call = r->what->call;
  dahost_fail_field(call, "out", new_bytes(call, &r->text_out));
  dahost_fail_field(call, "err", new_bytes(call, &r->text_err));
}

/* "tar ended with code 2: tar: nothing there" */
static void fail_check(run *r, bool exited)
{
  dahost_call *call = r->what->call;
  const da_buf *said = &r->text_err;
  int len = 0;
  while ((size_t)len < said->len && len < SHOWN_MAX && said->ptr[len] != '\n' && said->ptr[len] != '\0') len++;
  dahost_fail(call, "exit", "%s ended %s %d%s%.*s", r->what->argv[0], exited ? "with code" : "by signal",
              r->end.si_status, len > 0 ? ": " : "", len, len > 0 ? said->ptr : "");
  dahost_fail_field(call, exited ? "exit" : "signal",
                    exited ? dahost_new_integer(call, r->end.si_status) : new_signal(call, r->end.si_status));
  fail_with_output(r);
}

static void return_result(run *r)
{
  dahost_call *call = r->what->call;
  bool exited = r->end.si_code == CLD_EXITED;
  if (r->end.si_pid == 0) {
    dahost_fail(call, "lost", "how %s ended is not known: somebody else has waited for it", r->what->argv[0]);
    return;
  }
  if (r->what->check && (!exited || r->end.si_status != 0)) {
    fail_check(r, exited);
    return;
  }
  dahost_value table = dahost_new_table(call);
  if (exited)
    dahost_set(call, table, "code", dahost_new_integer(call, r->end.si_status));
  else
    dahost_set(call, table, "signal", new_signal(call, r->end.si_status));
  dahost_set(call, table, "out", new_bytes(call, &r->text_out));
  dahost_set(call, table, "err", new_bytes(call, &r->text_err));
  dahost_return(call, table);
}

static void conclude(run *r)
{
  dahost_call *call = r->what->call;
  if (is_too_large(r)) {
    dahost_fail(call, "too_large", "%s wrote more than %lld bytes", r->what->argv[0], (long long)r->what->output_max);
    dahost_fail_fatal(call);
  } else if (r->ended && (r->end.si_code == CLD_EXITED || !battery_stopped(call))) {
    return_result(r);
  } else {
    fail_with_output(r); /* it was stopped */
  }
}

static void carry_out(run *r)
{
  const command *c = r->what;
  int error = begin(r);
  if (error != 0) {
    battery_fail_errno(c->call, error, c->cwd != NULL ? "cannot run %s in %s" : "cannot run %s", c->argv[0], c->cwd);
  } else {
    put_in(r);
    dahost_on_cancel(c->call, kill_group, r);
    attend(r);
    end(r);
    conclude(r);
  }
  close_end(&r->in);
  close_end(&r->out);
  close_end(&r->err);
  da_buf_free(&r->text_out);
  da_buf_free(&r->text_err);
}

static void exec_run(dahost_call *call, void *user)
{
  command c = {.call = call, .timeout_ms = -1, .output_max = OUTPUT_MAX};
  (void)user;
  if (read_command(&c)) {
    sigset_t pipe, before;
    run r = {.what = &c, .in = -1, .out = -1, .err = -1, .input = c.input};
    r.until = c.timeout_ms >= 0 ? battery_tick_ms() + c.timeout_ms : INT64_MAX;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
    carry_out(&r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  free_command(&c);
}

static int open_exec(dahost_library *library, void **user, char *why, size_t why_size)
{
  static const battery_native natives[] = {{"run", DAHOST_POOL, exec_run}, {NULL, DAHOST_POOL, NULL}};
  (void)user;
  return battery_add(library, natives, why, why_size);
}

const dahost_library_info battery_exec = {DAHOST_ABI, sizeof(dahost_library_info), "exec", open_exec, NULL};
