/* line.c - the reader's thread, and libedit as far as it is used.
 *
 * libedit is loaded by name at run time, so that the program neither needs nor carries it; the few names of its header
 * that are used stand here. It reads characters by the locale of its thread, which is C.UTF-8 for the reader alone: the
 * process stays in "C".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000, WORD_MAX = 200 };

/* ---- libedit ------------------------------------------------------------------------------------------- */

enum {
  EL_PROMPT = 0,
  EL_EDITOR = 2,
  EL_SIGNAL = 3,
  EL_BIND = 4,
  EL_SETTY = 8,
  EL_ADDFN = 9,
  EL_HIST = 10,
  EL_PREP_TERM = 16
};
enum { H_SETSIZE = 1, H_ENTER = 10, H_LOAD = 17, H_SAVE = 18, H_SETUNIQUE = 20 };
enum { CC_NEWLINE = 1, CC_REFRESH = 4, CC_REDISPLAY = 8, CC_REFRESH_BEEP = 9 };

typedef struct edit_line {
  const char *begin, *cursor, *end;
} edit_line;
typedef struct history_event {
  int number;
  const char *text;
} history_event;

typedef struct libedit {
  void *(*init)(const char *name, FILE *in, FILE *out, FILE *err);
  void (*end)(void *el);
  int (*set)(void *el, int op, ...);
  const char *(*gets)(void *el, int *count);
  const edit_line *(*line)(void *el);
  int (*insert)(void *el, const char *text);
  void *(*history_init)(void);
  void (*history_end)(void *history);
  int (*history)(void *history, history_event *event, int op, ...);
} libedit;

static bool load_libedit(libedit *lib)
{
  static const char *const names[] = {"el_init",      "el_end",       "el_set",      "el_gets", "el_line",
                                      "el_insertstr", "history_init", "history_end", "history"};
  void *handle = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
  void *found[sizeof names / sizeof names[0]];
  _Static_assert(sizeof found == sizeof *lib, "a pointer for each name");
  if (handle == NULL) return false;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    found[i] = dlsym(handle, names[i]);
    if (found[i] == NULL) return false;
  }
  memcpy(lib, found, sizeof *lib);
  return true;
}

/* ---- the reader ---------------------------------------------------------------------------------------- */

struct cli_lines {
  void (*got)(void *user, cli_line_how how, char *text);
  void *user;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool wanted, ending;
  char prompt[32];
  char *words;
  /* The reader's own. */
  libedit lib;
  void *el, *history;
  locale_t locale;    /* of the thread */
  char *history_path; /* NULL: none is kept */
  bool given_up;
};

/* libedit's callbacks tell which editor asks, and there is one. */
static cli_lines *reader;

static char *edit_prompt(void *el)
{
  (void)el;
  return reader->prompt;
}

static unsigned char give_up(void *el, int c)
{
  (void)el;
  (void)c;
  reader->given_up = true;
  (void)fputs("^C\n", stdout);
  return CC_NEWLINE;
}

static bool is_word(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':';
}

/* What all words with that beginning go on with; *count of them. */
static size_t common(const char *words, da_slice begun, char out[WORD_MAX], size_t *count)
{
  size_t len = 0;
  *count = 0;
  for (const char *word = words; word != NULL && *word != '\0';) {
    const char *end = strchr(word, '\n');
    size_t size = end != NULL ? (size_t)(end - word) : strlen(word);
    if (size >= begun.len && memcmp(word, begun.ptr, begun.len) == 0 && size - begun.len < WORD_MAX) {
      const char *rest = word + begun.len;
      size_t left = size - begun.len;
      if (*count == 0) {
        memcpy(out, rest, left);
        len = left;
      }
      size_t same = 0;
      while (same < len && same < left && out[same] == rest[same]) same++;
      len = same;
      (*count)++;
    }
    word = end != NULL ? end + 1 : NULL;
  }
  return len;
}

static void list_words(const char *words, da_slice begun)
{
  (void)fputc('\n', stdout);
  for (const char *word = words; word != NULL && *word != '\0';) {
    const char *end = strchr(word, '\n');
    size_t size = end != NULL ? (size_t)(end - word) : strlen(word);
    if (size >= begun.len && memcmp(word, begun.ptr, begun.len) == 0) (void)printf("%.*s  ", (int)size, word);
    word = end != NULL ? end + 1 : NULL;
  }
  (void)fputc('\n', stdout);
  (void)fflush(stdout);
}

static unsigned char complete(void *el, int c)
{
  (void)c;
  const cli_lines *lines = reader;
  const edit_line *line = lines->lib.line(el);
  const char *begin = line->cursor;
  while (begin > line->begin && is_word(begin[-1])) begin--;
  char rest[WORD_MAX + 1];
  size_t count;
  da_slice begun = da_slice_make(begin, (size_t)(line->cursor - begin));
  if (begun.len == 0) {
    (void)lines->lib.insert(el, "  ");
    return CC_REFRESH;
  }
  size_t len = common(lines->words, begun, rest, &count);
  rest[len] = '\0';
  if (len > 0) {
    (void)lines->lib.insert(el, rest);
    return CC_REFRESH;
  }
  if (count < 2) return CC_REFRESH_BEEP;
  list_words(lines->words, begun);
  return CC_REDISPLAY;
}

/* <XDG_STATE_HOME>/dahost/history; the folder is made. */
static char *find_history(void)
{
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  da_buf path = {0};
  if (state != NULL && state[0] == '/')
    da_buf_addf(&path, "%s", state);
  else if (home != NULL && home[0] == '/')
    da_buf_addf(&path, "%s/.local/state", home);
  else
    return NULL;
  da_buf_addf(&path, "/dahost/history");
  da_buf_add_byte(&path, '\0');
  for (char *slash = strchr(path.ptr + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(path.ptr, 0700);
    *slash = '/';
  }
  return path.ptr;
}

static bool open_edit(cli_lines *lines)
{
  libedit *lib = &lines->lib;
  const char *term = getenv("TERM");
  if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0) return false;
  if (term == NULL || *term == '\0' || strcmp(term, "dumb") == 0 || !load_libedit(lib)) return false;
  lines->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (lines->locale != (locale_t)0) (void)uselocale(lines->locale);
  lines->el = lib->init("dahost", stdin, stdout, stderr);
  if (lines->el == NULL) return false;
  reader = lines;
  lines->history = lib->history_init();
  history_event event;
  lines->history_path = find_history();
  (void)lib->history(lines->history, &event, H_SETSIZE, HISTORY_LINES);
  (void)lib->history(lines->history, &event, H_SETUNIQUE, 1);
  if (lines->history_path != NULL) (void)lib->history(lines->history, &event, H_LOAD, lines->history_path);
  (void)lib->set(lines->el, EL_PROMPT, edit_prompt);
  (void)lib->set(lines->el, EL_EDITOR, "emacs");
  (void)lib->set(lines->el, EL_HIST, lib->history, lines->history);
  (void)lib->set(lines->el, EL_ADDFN, "give-up", "gives the line up", give_up);
  (void)lib->set(lines->el, EL_ADDFN, "complete", "completes a name", complete);
  (void)lib->set(lines->el, EL_BIND, "^C", "give-up", NULL);
  (void)lib->set(lines->el, EL_BIND, "^I", "complete", NULL);
  (void)lib->set(lines->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
  (void)lib->set(lines->el, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key while a line is edited */
  return true;
}

static char *edit(cli_lines *lines, cli_line_how *how)
{
  int count = 0;
  lines->given_up = false;
  (void)lines->lib.set(lines->el, EL_PREP_TERM, 1); /* before the prompt: from then on Ctrl-C is meant as a key */
  const char *text = lines->lib.gets(lines->el, &count);
  *how = lines->given_up ? CLI_LINE_GIVEN_UP : text == NULL || count <= 0 ? CLI_LINE_END : CLI_LINE;
  if (*how == CLI_LINE_END) (void)fputc('\n', stdout);
  (void)fflush(stdout);
  if (*how != CLI_LINE) return NULL;
  history_event event;
  if (count > 1) (void)lines->lib.history(lines->history, &event, H_ENTER, text);
  size_t len = (size_t)count;
  if (text[len - 1] == '\n') len--;
  return da_xstrndup(da_slice_make(text, len));
}

/* A byte at a time: what stands behind the line is not ours until it is asked for. */
static char *read_plain(const cli_lines *lines, cli_line_how *how)
{
  da_buf line = {0};
  char c;
  ssize_t n;
  if (isatty(STDIN_FILENO) != 0) {
    (void)fputs(lines->prompt, stdout);
    (void)fflush(stdout);
  }
  while ((n = read(STDIN_FILENO, &c, 1)) == 1 || (n < 0 && errno == EINTR)) {
    if (n == 1 && c == '\n') break;
    if (n == 1 && line.len <= CLI_LINE_BYTES_MAX) da_buf_add_byte(&line, (uint8_t)c);
  }
  *how = n != 1 && line.len == 0 ? CLI_LINE_END : CLI_LINE;
  char *text = *how == CLI_LINE ? da_xstrndup(da_buf_slice(&line)) : NULL;
  da_buf_free(&line);
  return text;
}

static void *read_lines(void *user)
{
  cli_lines *lines = user;
  bool edits = false, opened = false;
  for (;;) {
    (void)pthread_mutex_lock(&lines->lock);
    while (!lines->wanted && !lines->ending) (void)pthread_cond_wait(&lines->changed, &lines->lock);
    bool ending = lines->ending;
    lines->wanted = false;
    (void)pthread_mutex_unlock(&lines->lock);
    if (ending) break;
    if (!opened) edits = open_edit(lines);
    opened = true;
    cli_line_how how;
    char *text = edits ? edit(lines, &how) : read_plain(lines, &how);
    lines->got(lines->user, how, text);
  }
  return NULL;
}

cli_lines *cli_lines_new(void (*got)(void *user, cli_line_how how, char *text), void *user)
{
  cli_lines *lines = da_xcalloc(1, sizeof *lines);
  lines->got = got;
  lines->user = user;
  (void)pthread_mutex_init(&lines->lock, NULL);
  (void)pthread_cond_init(&lines->changed, NULL);
  sigset_t all, before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the other thread */
  DA_ASSERT(pthread_create(&lines->thread, NULL, read_lines, lines) == 0);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return lines;
}

void cli_lines_want(cli_lines *lines, const char *prompt, char *words)
{
  (void)pthread_mutex_lock(&lines->lock);
  free(lines->words);
  lines->words = words;
  (void)snprintf(lines->prompt, sizeof lines->prompt, "%s", prompt);
  lines->wanted = true;
  (void)pthread_cond_signal(&lines->changed);
  (void)pthread_mutex_unlock(&lines->lock);
}

void cli_lines_delete(cli_lines *lines)
{
  (void)pthread_mutex_lock(&lines->lock);
  lines->ending = true;
  (void)pthread_cond_signal(&lines->changed);
  (void)pthread_mutex_unlock(&lines->lock);
  (void)pthread_join(lines->thread, NULL);
  history_event event;
  if (lines->history != NULL) {
    if (lines->history_path != NULL) (void)lines->lib.history(lines->history, &event, H_SAVE, lines->history_path);
    lines->lib.history_end(lines->history);
  }
  if (lines->el != NULL) lines->lib.end(lines->el);
  if (lines->locale != (locale_t)0) freelocale(lines->locale);
  free(lines->history_path);
  free(lines->words);
  free(lines);
}
