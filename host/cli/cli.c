/* cli.c - argv to one parsed command.
 *
 * Here:     words and the environment against the tables of verbs.h; nearest names for what does not exist.
 * May not:  open a store or know what a verb does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "text.h"
#include "verbs.h"

/* ---- parsing ------------------------------------------------------------------------------------------- */

static const cli_verb *find_verb(const char *name)
{
  for (size_t i = 0; i < cli_verb_count; i++)
    if (strcmp(cli_verbs[i].name, name) == 0) return &cli_verbs[i];
  return NULL;
}

/* Is `word` the first word of verbs of two words? */
static bool is_family(const char *word)
{
  size_t len = strlen(word);
  for (size_t i = 0; i < cli_verb_count; i++)
    if (strncmp(cli_verbs[i].name, word, len) == 0 && cli_verbs[i].name[len] == ' ') return true;
  return false;
}

static int unknown_verb(const char *name)
{
  cli_nearest nearest = {.wanted = da_slice_of(name)};
  for (size_t i = 0; i < cli_verb_count; i++) {
    da_slice candidate = da_slice_of(cli_verbs[i].name);
    cli_nearest_offer(&nearest, candidate);
    ptrdiff_t space = da_slice_find(candidate, ' ');
    if (space < 0) continue;
    cli_nearest_offer(&nearest, da_slice_make(candidate.ptr, (size_t)space));
    candidate = da_slice_make(candidate.ptr + space + 1, candidate.len - (size_t)space - 1);
    /* `dahost resolve ID`: the second word alone. */
    if (da_slice_eq(candidate, nearest.wanted)) nearest.best = da_slice_of(cli_verbs[i].name), nearest.distance = 0;
  }
  if (nearest.best.len > 0)
    return cli_fail(CLI_EXIT_USAGE, "no verb '%s'; did you mean '%.*s'? (dahost help lists them)", name,
                    DA_FMT(nearest.best));
  return cli_fail(CLI_EXIT_USAGE, "no verb '%s'; dahost help lists them", name);
}

static int unknown_flag(const cli_verb *verb, da_slice name)
{
  cli_nearest nearest = {.wanted = name};
  bool elsewhere = false;
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    da_slice candidate = da_slice_of(cli_flags[i].name);
    if (verb == NULL || (verb->flags & CLI_BIT(i)) != 0)
      cli_nearest_offer(&nearest, candidate);
    else if (da_slice_eq(candidate, name))
      elsewhere = true;
  }
  const char *of = verb != NULL ? verb->name : "dahost";
  if (nearest.best.len > 0)
    return cli_fail(CLI_EXIT_USAGE, "%s has no flag --%.*s; did you mean --%.*s?", of, DA_FMT(name),
                    DA_FMT(nearest.best));
  return cli_fail(CLI_EXIT_USAGE, "%s has no flag --%.*s%s; see dahost %s --help", of, DA_FMT(name),
                  elsewhere ? " (other verbs do)" : "", verb != NULL ? verb->name : "help");
}

/* A word that begins with '-' and is no negative number and not '-' alone. */
static bool is_flag(const char *word)
{
  return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

static bool add_repeated(cli_command *command, cli_flag_id which)
{
  if (command->repeated_count == CLI_REPEATED_MAX) {
    cli_fail(CLI_EXIT_USAGE, "more than %d times --%s", CLI_REPEATED_MAX, cli_flags[which].name);
    return false;
  }
  command->repeated[command->repeated_count].flag = which;
  command->repeated[command->repeated_count++].value = command->flags[which];
  return true;
}

const char *cli_each(const cli_command *command, cli_flag_id which, size_t *at)
{
  while (*at < command->repeated_count) {
    size_t i = (*at)++;
    if (command->repeated[i].flag == which) return command->repeated[i].value;
  }
  return NULL;
}

/* Reads the flag at argv[*at]; *at stands at its last word afterwards. Returns 0 or an exit code. */
static int take_flag(const cli_verb *verb, int argc, char **argv, int *at, cli_command *command)
{
  const char *word = argv[*at];
  if (strcmp(word, "-h") == 0) word = "--help";
  if (strcmp(word, "-q") == 0) word = "--quiet";
  if (word[1] != '-')
    return cli_fail(CLI_EXIT_USAGE,
                    "no flag '%s'; flags are long words (--help lists them), and behind -- all are operands", word);
  const char *equals = strchr(word, '=');
  da_slice name = da_slice_make(word + 2, equals != NULL ? (size_t)(equals - word - 2) : strlen(word + 2));
  int found = -1;
  for (int i = 0; i < CLI_FLAG_COUNT; i++)
    if (da_slice_eq(name, da_slice_of(cli_flags[i].name)) && (verb == NULL || (verb->flags & CLI_BIT(i)) != 0))
      found = i;
  if (found < 0) return unknown_flag(verb, name);
  if (cli_flags[found].metavar == NULL) {
    if (equals != NULL) return cli_fail(CLI_EXIT_USAGE, "--%s takes no value", cli_flags[found].name);
    command->flags[found] = "";
    return 0;
  }
  if (equals == NULL && *at + 1 >= argc)
    return cli_fail(CLI_EXIT_USAGE, "--%s needs a value: --%s %s", cli_flags[found].name, cli_flags[found].name,
                    cli_flags[found].metavar);
  command->flags[found] = equals != NULL ? equals + 1 : argv[++*at];
  if ((cli_repeated & CLI_BIT(found)) != 0 && !add_repeated(command, (cli_flag_id)found)) return CLI_EXIT_USAGE;
  bool name_wanted = found == CLI_DATA || found == CLI_ID;
  if (name_wanted && *command->flags[found] == '\0')
    return cli_fail(CLI_EXIT_USAGE, "--%s wants %s, not nothing", cli_flags[found].name,
                    found == CLI_ID ? "an id" : "a directory");
  return 0;
}

/* Flags not given are read from the environment; a switch is on unless its variable is empty, 0, no, false or off. */
static void take_environment(cli_command *command)
{
  static const char *const off[] = {"", "0", "no", "false", "off"};
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    if (command->flags[i] != NULL || (cli_only_words & CLI_BIT(i)) != 0 || (command->verb->flags & CLI_BIT(i)) == 0)
      continue;
    char variable[CLI_VARIABLE_MAX];
    cli_variable_name((cli_flag_id)i, variable);
    const char *value = getenv(variable);
    if (value == NULL) continue;
    bool on = true;
    for (size_t k = 0; k < sizeof off / sizeof *off; k++)
      if (strcmp(value, off[k]) == 0) on = cli_flags[i].metavar != NULL && *value != '\0';
    if (on) command->flags[i] = cli_flags[i].metavar != NULL ? value : "";
    if (on && (cli_repeated & CLI_BIT(i)) != 0) (void)add_repeated(command, (cli_flag_id)i);
  }
}

static int take_words(int argc, char **argv, int at, cli_command *command)
{
  const cli_verb *verb = command->verb;
  bool only_operands = false;
  for (; at < argc; at++) {
    if (!only_operands && strcmp(argv[at], "--") == 0) {
      only_operands = true;
    } else if (!only_operands && is_flag(argv[at])) {
      int code = take_flag(verb, argc, argv, &at, command);
      if (code != 0) return code;
    } else {
      if (command->operand_count == CLI_OPERANDS_MAX)
        return cli_fail(CLI_EXIT_USAGE, "more than %d operands%s", CLI_OPERANDS_MAX,
                        (verb->flags & CLI_BIT(CLI_ARGS)) != 0 ? "; as many arguments as you like go into --args JSON"
                                                               : "");
      if (command->operand_count == verb->operands_max)
        return cli_fail(CLI_EXIT_USAGE, "'%s' is one operand too many; usage: dahost %s%s%s", argv[at], verb->name,
                        *verb->operands != '\0' ? " " : "", verb->operands);
      command->operands[command->operand_count++] = argv[at];
    }
  }
  if (cli_has(command, CLI_HELP)) return 0;
  size_t fewer = cli_has(command, CLI_WHERE) && verb->operands_min > 0 ? 1 : 0; /* conditions stand for the id */
  if (command->operand_count < verb->operands_min - fewer)
    return cli_fail(CLI_EXIT_USAGE, "an operand is missing; usage: dahost %s %s", verb->name, verb->operands);
  if (command->operand_count > 0 && *command->operands[0] == '\0' && verb->run != cli_promise_search)
    return cli_fail(CLI_EXIT_USAGE, "an operand is empty; usage: dahost %s %s", verb->name, verb->operands);
  if (command->operand_count > verb->operands_max - fewer)
    return cli_fail(CLI_EXIT_USAGE, "'%s' is one operand too many: --where stands in place of the ID",
                    command->operands[command->operand_count - 1]);
  return 0;
}

static bool is_help(const char *word)
{
  return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The verbs that begin with `word`: asked for, or in place of an answer. */
static int family(const char *word, bool wanted)
{
  da_buf out = {0};
  da_buf_addf(&out, "%s needs a second word:", word);
  for (size_t i = 0; i < cli_verb_count; i++)
    if (strncmp(cli_verbs[i].name, word, strlen(word)) == 0 && cli_verbs[i].name[strlen(word)] == ' ')
      da_buf_addf(&out, "\n  dahost %s%s%s", cli_verbs[i].name, *cli_verbs[i].operands != '\0' ? " " : "",
                  cli_verbs[i].operands);
  if (!wanted) cli_print_to(STDERR_FILENO);
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  return wanted ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}

/* Finds the verb at argv[*at] (one or two words); *at stands behind it afterwards. */
static int take_verb(int argc, char **argv, int *at, const cli_verb **verb)
{
  const char *word = argv[*at];
  if (is_family(word)) {
    if (*at + 1 >= argc || is_flag(argv[*at + 1])) return family(word, *at + 1 < argc && is_help(argv[*at + 1]));
    char name[64];
    (void)snprintf(name, sizeof name, "%s %s", word, argv[*at + 1]);
    *verb = find_verb(name);
    *at += 2;
    return *verb != NULL ? 0 : unknown_verb(name);
  }
  *verb = find_verb(word);
  *at += 1;
  return *verb != NULL ? 0 : unknown_verb(word);
}

int cli_help(const cli_command *command)
{
  if (command->operand_count == 0) {
    da_buf out = {0};
    cli_overview(&out);
    cli_print(da_buf_slice(&out));
    da_buf_free(&out);
    return CLI_EXIT_OK;
  }
  char name[64];
  (void)snprintf(name, sizeof name, "%s%s%s", command->operands[0], command->operand_count > 1 ? " " : "",
                 command->operand_count > 1 ? command->operands[1] : "");
  const cli_verb *verb = find_verb(name);
  if (verb == NULL && is_family(name)) return family(name, true);
  if (verb == NULL) return unknown_verb(name);
  cli_print_help(verb);
  return CLI_EXIT_OK;
}

static int answer(int argc, char **argv)
{
  cli_command command = {0};
  int at = 1;
  for (; at < argc && is_flag(argv[at]); at++) { /* flags before the verb: any verb's */
    if (strcmp(argv[at], "--version") == 0) return cli_version(&command);
    int code = take_flag(NULL, argc, argv, &at, &command);
    if (code != 0) return code;
  }
  if (at == argc) {
    int code = cli_has(&command, CLI_HELP) ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    if (code != CLI_EXIT_OK) cli_print_to(STDERR_FILENO);
    return cli_help(&command) == CLI_EXIT_OK ? code : CLI_EXIT_USAGE;
  }
  int code = take_verb(argc, argv, &at, &command.verb);
  if (code != 0 || command.verb == NULL) return code;
  for (int i = 0; i < CLI_FLAG_COUNT; i++)
    if (command.flags[i] != NULL && (command.verb->flags & CLI_BIT(i)) == 0)
      return unknown_flag(command.verb, da_slice_of(cli_flags[i].name));
  code = take_words(argc, argv, at, &command);
  if (code != 0) return code;
  if (cli_has(&command, CLI_HELP)) {
    cli_print_help(command.verb);
    return CLI_EXIT_OK;
  }
  take_environment(&command);
  return command.verb->run(&command);
}

int da_cli_main(int argc, char **argv)
{
  cli_open_streams();
  return cli_printed(answer(argc, argv));
}
