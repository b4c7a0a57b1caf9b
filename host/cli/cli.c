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

#include "config.h"
#include "text.h"
#include "verbs.h"

/* ---- parsing ------------------------------------------------------------------------------------------- */

static const cli_verb *find_verb(const char *name)
{
  for (size_t i = 0; i < cli_verb_count; i++)
    if (strcmp(cli_verbs[i].name, name) == 0) return &cli_verbs[i];
  return NULL;
}

/* Flags of the verb, whether a store or a server will be asked. */
static cli_flag_set flags_of(const cli_verb *verb)
{
  if (verb == NULL) return ~(cli_flag_set)0;
  const cli_verb *twin = cli_verb_twin(verb);
  return verb->flags | (twin != NULL ? twin->flags : 0);
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
    /* `dahost resolve ID`: the second word alone; of several the first. */
    if (da_slice_eq(candidate, nearest.wanted) && (nearest.best.len == 0 || nearest.distance > 0))
      nearest.best = da_slice_of(cli_verbs[i].name), nearest.distance = 0;
  }
  if (nearest.best.len > 0)
    return cli_fail(CLI_EXIT_USAGE, "no verb '%s'; did you mean '%.*s'? (dahost help lists them)", name,
                    DA_FMT(nearest.best));
  return cli_fail(CLI_EXIT_USAGE, "no verb '%s'; dahost help lists them", name);
}

/* Is `name` a setting's key with dashes, as the Resonate server has its flags? */
static bool is_key(int flag, da_slice name)
{
  const char *key = flag >= CLI_SETTING_FIRST ? cli_settings[flag - CLI_SETTING_FIRST].key : "";
  bool same = strlen(key) == name.len;
  for (size_t i = 0; same && i < name.len; i++)
    same = key[i] == name.ptr[i] || (name.ptr[i] == '-' && (key[i] == '.' || key[i] == '_'));
  return same;
}

/* A verb of stores alone was given --server: what stands for it where a server is asked. */
static int not_for_servers(const cli_verb *verb)
{
  static const struct {
    const char *verb;
    const char *instead;
  } rows[] = {{"get", "promise get ID"},        {"ps", "promise search"},         {"cancel", "promise cancel ID"},
              {"continue", "task continue ID"}, {"run", "invoke ID --func NAME"}, {"start", "invoke ID --func NAME"},
              {"resume", "task get ID"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].verb, verb->name) == 0)
      return cli_fail(CLI_EXIT_USAGE, "%s asks a store (--data DIR) alone; with a server: dahost %s --server URL",
                      verb->name, rows[i].instead);
  return cli_fail(CLI_EXIT_USAGE,
                  "%s asks a store (--data DIR) alone; with --server URL there are promise, task, "
                  "schedule, invoke and tree",
                  verb->name);
}

static int unknown_flag(const cli_verb *verb, da_slice name)
{
  bool store = verb != NULL && (verb->flags & CLI_BIT(CLI_DATA)) != 0;
  if (store && da_slice_eq(name, da_slice_of(cli_flags[CLI_SERVER].name))) return not_for_servers(verb);
  cli_nearest nearest = {.wanted = name};
  bool elsewhere = false;
  da_slice key = DA_NONE;
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    da_slice candidate = da_slice_of(cli_flags[i].name);
    if ((flags_of(verb) & CLI_BIT(i)) != 0)
      cli_nearest_offer(&nearest, candidate);
    else if (da_slice_eq(candidate, name))
      elsewhere = true;
    if (verb != NULL && (verb->flags & CLI_BIT(i)) != 0 && is_key(i, name)) key = candidate;
  }
  const char *of = verb != NULL ? verb->name : "dahost";
  if (key.len > 0) nearest.best = key;
  if (nearest.best.len > 0 && !elsewhere)
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

static const struct {
  char letter;
  cli_flag_id flag;
} short_flags[] = {
    {'h', CLI_HELP}, {'q', CLI_QUIET}, {'S', CLI_SERVER}, {'T', CLI_TOKEN}, {'f', CLI_FUNC}, {'t', CLI_TIMEOUT},
};

/* Which flag the word is; *value is what follows in the same word (-SURL, --server=URL), or NULL. -1: none; said. */
static int find_flag(const cli_verb *verb, const char *word, const char **value)
{
  *value = NULL;
  if (word[1] != '-') {
    for (size_t i = 0; i < sizeof short_flags / sizeof *short_flags; i++) {
      if (short_flags[i].letter != word[1]) continue;
      if ((flags_of(verb) & CLI_BIT(short_flags[i].flag)) == 0) {
        (void)unknown_flag(verb, da_slice_of(cli_flags[short_flags[i].flag].name));
        return -1;
      }
      bool alone = cli_flags[short_flags[i].flag].metavar == NULL;
      if (alone && word[2] != '\0') break;
      if (word[2] != '\0') *value = word + 2 + (word[2] == '=' ? 1 : 0);
      return (int)short_flags[i].flag;
    }
    cli_fail(CLI_EXIT_USAGE, "no flag '%s'; flags are long words (--help lists them), and behind -- all are operands",
             word);
    return -1;
  }
  const char *equals = strchr(word, '=');
  da_slice name = da_slice_make(word + 2, equals != NULL ? (size_t)(equals - word - 2) : strlen(word + 2));
  if (equals != NULL) *value = equals + 1;
  for (int i = 0; i < CLI_FLAG_COUNT; i++)
    if (da_slice_eq(name, da_slice_of(cli_flags[i].name)) && (flags_of(verb) & CLI_BIT(i)) != 0) return i;
  (void)unknown_flag(verb, name);
  return -1;
}

/* Reads the flag at argv[*at]; *at stands at its last word afterwards. Returns 0 or an exit code. */
static int take_flag(const cli_verb *verb, int argc, char **argv, int *at, cli_command *command)
{
  const char *value;
  int found = find_flag(verb, argv[*at], &value);
  if (found < 0) return CLI_EXIT_USAGE;
  if (cli_flags[found].metavar == NULL) {
    bool setting = found >= CLI_SETTING_FIRST; /* --push=false */
    if (setting && value != NULL && *value != '\0') {
      command->flags[found] = value;
      return 0;
    }
    if (value != NULL) return cli_fail(CLI_EXIT_USAGE, "--%s takes no value", cli_flags[found].name);
    command->flags[found] = "";
    return 0;
  }
  if (value == NULL && *at + 1 >= argc)
    return cli_fail(CLI_EXIT_USAGE, "--%s needs a value: --%s %s", cli_flags[found].name, cli_flags[found].name,
                    cli_flags[found].metavar);
  command->flags[found] = value != NULL ? value : argv[++*at];
  if ((cli_repeated & CLI_BIT(found)) != 0 && !add_repeated(command, (cli_flag_id)found)) return CLI_EXIT_USAGE;
  const char *wanted = found == CLI_DATA     ? "a directory"
                       : found == CLI_ID     ? "an id"
                       : found == CLI_SERVER ? "a URL"
                                             : NULL;
  if (wanted != NULL && *command->flags[found] == '\0')
    return cli_fail(CLI_EXIT_USAGE, "--%s wants %s, not nothing", cli_flags[found].name, wanted);
  return 0;
}

/* The variable's value if the flag is on by it: a switch is, unless the value is empty, 0, no, false or off. */
static const char *from_environment(cli_flag_id which, const char *variable)
{
  static const char *const off[] = {"", "0", "no", "false", "off"};
  bool is_switch = cli_flags[which].metavar == NULL;
  const char *value = getenv(variable);
  if (value == NULL || (!is_switch && *value == '\0')) return NULL;
  for (size_t k = 0; is_switch && k < sizeof off / sizeof *off; k++)
    if (strcmp(value, off[k]) == 0) return NULL;
  return is_switch ? "" : value;
}

/* Flags not given are read from the environment. */
static void take_environment(cli_command *command)
{
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    char variable[CLI_VARIABLE_MAX];
    if (command->flags[i] != NULL || (cli_only_words & CLI_BIT(i)) != 0 || (command->verb->flags & CLI_BIT(i)) == 0)
      continue;
    if (i == CLI_SERVER) continue; /* choose() */
    cli_variable_name((cli_flag_id)i, variable);
    if (i >= CLI_SETTING_FIRST) { /* config.c reads it, whatever it says */
      const char *value = getenv(variable);
      if (value == NULL || *value == '\0') continue;
      command->flags[i] = value;
      command->from_variable |= CLI_BIT(i);
      continue;
    }
    command->flags[i] = from_environment((cli_flag_id)i, variable);
    const char *also = cli_also_variable((cli_flag_id)i);
    if (command->flags[i] == NULL && also != NULL) command->flags[i] = from_environment((cli_flag_id)i, also);
    if (command->flags[i] != NULL && (cli_repeated & CLI_BIT(i)) != 0) (void)add_repeated(command, (cli_flag_id)i);
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
      command->operands[command->operand_count++] = argv[at];
    }
  }
  return 0;
}

/* Whom the words mean: the server that --server or a variable names, unless --data names a store. *variable: where it
 * was found, or NULL. */
static const cli_verb *choose(cli_command *command, const char **variable)
{
  const cli_verb *verb = command->verb, *twin = cli_verb_twin(verb);
  if ((verb->flags & CLI_BIT(CLI_SERVER)) == 0 && twin == NULL) return verb;
  if (cli_has(command, CLI_SERVER) && cli_has(command, CLI_DATA)) {
    cli_fail(CLI_EXIT_USAGE, "--server and --data name two places; which one is meant?");
    return NULL;
  }
  if (!cli_has(command, CLI_SERVER) && !cli_has(command, CLI_DATA)) {
    const char *const names[] = {"DAHOST_SERVER", cli_also_variable(CLI_SERVER)};
    for (size_t i = 0; i < 2 && !cli_has(command, CLI_SERVER); i++) {
      *variable = names[i];
      command->flags[CLI_SERVER] = from_environment(CLI_SERVER, names[i]);
    }
  }
  if (twin == NULL) return verb;
  return ((verb->flags & CLI_BIT(CLI_SERVER)) != 0) == cli_has(command, CLI_SERVER) ? verb : twin;
}

/* Are the flags that were given those of the row that is meant? */
static int check_flags(const cli_command *command)
{
  static const cli_flag_set of_servers = CLI_BIT(CLI_TOKEN) | CLI_BIT(CLI_REQUEST_TIMEOUT);
  bool server = cli_has(command, CLI_SERVER);
  for (int i = 0; i < CLI_FLAG_COUNT; i++) {
    bool known = (command->verb->flags & CLI_BIT(i)) != 0 && (server || (of_servers & CLI_BIT(i)) == 0);
    if (command->flags[i] == NULL || known) continue;
    if ((flags_of(command->verb) & CLI_BIT(CLI_DATA)) == 0)
      return cli_fail(CLI_EXIT_USAGE, "--%s is for groups that a server knows; --server URL asks one",
                      cli_flags[i].name);
    if (server)
      return cli_fail(CLI_EXIT_USAGE, "--%s is for stores, and a server is asked, %s; --data DIR asks a store",
                      cli_flags[i].name, command->flags[CLI_SERVER]);
    return cli_fail(CLI_EXIT_USAGE, "--%s is for servers, and a store is asked; --server URL asks a server",
                    cli_flags[i].name);
  }
  return 0;
}

static int check_operands(const cli_command *command)
{
  const cli_verb *verb = command->verb;
  if (command->operand_count > verb->operands_max)
    return cli_fail(CLI_EXIT_USAGE, "'%s' is one operand too many; usage: dahost %s%s%s%s%s",
                    command->operands[verb->operands_max], verb->name, *verb->operands != '\0' ? " " : "",
                    verb->operands, cli_has(command, CLI_SERVER) ? " --server URL" : "",
                    strcmp(verb->name, "promise search") == 0
                        ? " (--tag, --state and --cursor choose; a prefix is for stores)"
                        : "");
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
    if (find_verb(cli_verbs[i].name) == &cli_verbs[i] && strncmp(cli_verbs[i].name, word, strlen(word)) == 0 &&
        cli_verbs[i].name[strlen(word)] == ' ')
      da_buf_addf(&out, "\n  dahost %s%s%s", cli_verbs[i].name, *cli_verbs[i].operands != '\0' ? " " : "",
                  cli_verbs[i].operands);
  if (!wanted) cli_print_to(STDERR_FILENO);
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  return wanted ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}

/* "promises" is "promise" to whoever is used to it. */
static const char *singular(const char *word)
{
  static const char *const families[] = {"promise", "task", "schedule"};
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    size_t len = strlen(families[i]);
    if (strncmp(word, families[i], len) == 0 && strcmp(word + len, "s") == 0) return families[i];
  }
  return word;
}

/* Finds the verb at argv[*at] (one or two words); *at stands behind it afterwards. */
static int take_verb(int argc, char **argv, int *at, const cli_verb **verb)
{
  const char *word = singular(argv[*at]);
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
    cli_print_overview();
    return CLI_EXIT_OK;
  }
  char name[64];
  (void)snprintf(name, sizeof name, "%s%s%s", singular(command->operands[0]), command->operand_count > 1 ? " " : "",
                 command->operand_count > 1 ? command->operands[1] : "");
  const cli_verb *verb = find_verb(name);
  if (verb == NULL && is_family(name)) return family(name, true);
  if (verb == NULL) return unknown_verb(name);
  cli_print_help(verb);
  return CLI_EXIT_OK;
}

static int print_config(const cli_command *command)
{
  da_buf out = {0};
  cli_config_print(command, &out);
  out.len--; /* cli_print() ends the line */
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
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
    if (command.flags[i] != NULL && (flags_of(command.verb) & CLI_BIT(i)) == 0)
      return unknown_flag(command.verb, da_slice_of(cli_flags[i].name));
  code = take_words(argc, argv, at, &command);
  if (code != 0) return code;
  if (cli_has(&command, CLI_HELP)) {
    cli_print_help(command.verb);
    return CLI_EXIT_OK;
  }
  const char *variable = NULL;
  command.verb = choose(&command, &variable);
  if (command.verb == NULL) return CLI_EXIT_USAGE;
  code = check_flags(&command);
  if (code == 0) code = check_operands(&command);
  if (code != 0) return code;
  take_environment(&command);
  cli_config config;
  if (!cli_config_read(&command, &config)) {
    cli_config_free(&config);
    return CLI_EXIT_USAGE;
  }
  /* The variable of others: whoever set it for them may not have thought of this program. */
  if (variable != NULL && cli_has(&command, CLI_SERVER) && strcmp(variable, "DAHOST_SERVER") != 0 &&
      (flags_of(command.verb) & CLI_BIT(CLI_DATA)) != 0)
    cli_note(&command, "asking %s (%s; --data DIR asks a store)", command.flags[CLI_SERVER], variable);
  code = cli_has(&command, CLI_PRINT_CONFIG) ? print_config(&command) : command.verb->run(&command);
  cli_config_free(&config);
  return code;
}

int da_cli_main(int argc, char **argv)
{
  cli_open_streams();
  return cli_printed(answer(argc, argv));
}
