/* print.c - what verbs say: answers on stdout, everything else on stderr, and what becomes of an answer nobody takes.
 *
 * A standard stream that is closed at the start is given to the null device, so that no file of the store is ever
 * opened in its place and written into. Stdout is given it for reading alone: an answer that cannot be delivered is an
 * error, told once at the end.
 * Threads: one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/log.h"
#include "cli.h"
#include "text.h"

static int result_fd = STDOUT_FILENO;
static int result_fault; /* errno of the first answer that could not be written */

static void on_sigpipe(int number)
{
  (void)number; /* the write answers EPIPE; a handler, unlike SIG_IGN, is not inherited by what steps execute */
}

void cli_open_streams(void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    if (open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd) abort(); /* the lowest free one is this */
  }
  struct sigaction action = {.sa_handler = on_sigpipe, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGPIPE, &action, NULL);
}

void cli_print_to(int fd)
{
  result_fd = fd;
}

/* Returns 0 or errno. */
static int write_all(int fd, da_slice text)
{
  while (text.len > 0) {
    ssize_t done = write(fd, text.ptr, text.len);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;
    text = da_slice_make(text.ptr + done, text.len - (size_t)done);
  }
  return 0;
}

void cli_print(da_slice line)
{
  if (result_fault != 0) return;
  da_buf out = {0};
  da_buf_add_slice(&out, line);
  da_buf_add_byte(&out, '\n');
  result_fault = write_all(result_fd, da_buf_slice(&out));
  da_buf_free(&out);
}

void cli_print_text(da_slice text)
{
  da_buf out = {0};
  cli_clean(&out, text);
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
}

void cli_print_row(da_slice row)
{
  da_buf out = {0};
  cli_clean(&out, row);
  for (size_t i = 0; i < out.len; i++)
    if (out.ptr[i] == '\n' || out.ptr[i] == '\t') out.ptr[i] = ' ';
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
}

/* As a filter of a pipeline ends whose reader is gone. */
static void end_by_sigpipe(void)
{
  sigset_t pipe;
  (void)sigemptyset(&pipe);
  (void)sigaddset(&pipe, SIGPIPE);
  (void)signal(SIGPIPE, SIG_DFL);
  (void)sigprocmask(SIG_UNBLOCK, &pipe, NULL);
  (void)raise(SIGPIPE);
}

int cli_printed(int code)
{
  if (result_fault == 0 || result_fd == STDERR_FILENO) return code;
  if (result_fault == EPIPE) end_by_sigpipe();
  return cli_fail(CLI_EXIT_FAILED,
                  "cannot write the answer to stdout: %s (what the store holds is not touched by that)",
                  result_fault == EBADF ? "it is closed" : strerror(result_fault));
}

enum { SAID_MAX = 16 * 1024, SAID_END = 512 }; /* of a message, and what is kept of its end, where the mend stands */

/* An operand may have any length: what is said of it has not. */
static void shorten(da_buf *words)
{
  static const char gap[] = " [...] ";
  if (words->len <= SAID_MAX) return;
  memmove(words->ptr + SAID_MAX - SAID_END, words->ptr + words->len - SAID_END, SAID_END);
  words->len = SAID_MAX;
  memcpy(words->ptr + SAID_MAX - SAID_END - (sizeof gap - 1), gap, sizeof gap - 1);
}

static void say_json(da_log_level level, const char *event, da_slice words)
{
  da_log_line line;
  da_log_begin(&line, level, event);
  da_log_add(&line, "text", words);
  da_log_end(&line);
}

static void say(const char *prefix, const char *format, va_list args)
{
  da_buf words = {0};
  da_buf out = {0};
  bool json = da_log_get_format() == DA_LOG_JSON;
  if (!json) da_buf_addf(&words, "%s", prefix);
  da_buf_addv(&words, format, args);
  shorten(&words);
  if (json) {
    bool fault = *prefix != '\0';
    say_json(fault ? DA_LOG_ERROR : DA_LOG_INFO, fault ? "fault" : "note", da_buf_slice(&words));
    da_buf_free(&words);
    return;
  }
  cli_clean(&out, da_buf_slice(&words));
  da_buf_add_byte(&out, '\n');
  (void)write_all(STDERR_FILENO, da_buf_slice(&out));
  da_buf_free(&words);
  da_buf_free(&out);
}

int cli_fail(int code, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  say("dahost: ", format, args);
  va_end(args);
  return code;
}

void cli_refused(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  say("Error: ", format, args);
  va_end(args);
}

void cli_note(const cli_command *command, const char *format, ...)
{
  if (cli_has(command, CLI_QUIET)) return;
  va_list args;
  va_start(args, format);
  say("", format, args);
  va_end(args);
}
