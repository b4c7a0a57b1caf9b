/* config.c - settings out of flags, variables and the file, each checked once, the strongest source first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../base/limits.h"
#include "../base/text.h"
#include "config_file.h"
#include "text.h"
#include "verbs.h"

enum { CLI_KEY_OWN, CLI_KEY_SHARED };
enum { LIST_MAX = 32 };

const cli_setting cli_settings[CLI_SETTING_COUNT] = {
#define X(name, flag, key, shared, type, text, least, most, words, metavar, help) \
  {key, text, words, least, most, CLI_TYPE_##type, CLI_KEY_##shared == CLI_KEY_SHARED},
    CLI_SETTING_MAP(X)
#undef X
};

/* Settings of the Resonate server that mean nothing here: whole keys, or all that begins so. */
static const struct {
  const char *key;
  const char *words;
} foreign[] = {
    {"storage.", "the store is a folder: data = \"DIR\", or --data"},
    {"timeouts.", "nothing is polled for; leave it out"},
    {"messages.", "nothing is polled for; leave it out"},
    {"transports.gcps.", "there is no such transport; leave it out"},
    {"transports.bash_exec.", "there is no such transport; leave it out"},
    {"transports.http_poll.enabled", "workers can always poll; leave it out"},
    {"transports.http_push.auth.audience", "the mode is none or bearer; leave it out"},
    {"tasks.lease_timeout", "it belongs to a transport that there is not; leave it out"},
    {"observability.otlp_endpoint", "traces are not sent; leave it out"},
    {"server.host", "say server.url = \"http://HOST:PORT\""},
};

/* One value on its way in. */
typedef struct taking {
  cli_config *config;
  int index; /* of the setting */
  cli_origin origin;
  int line;
  const char *from; /* as faults call it: "--port", "server.toml:3: server.port" */
} taking;

static const cli_setting *setting_of(const taking *t)
{
  return &cli_settings[t->index];
}

/* ---- faults -------------------------------------------------------------------------------------------- */

void cli_setting_words(const cli_setting *setting, da_buf *out)
{
  for (const char *at = setting->words; *at != '\0'; at++) {
    if (*at != ' ')
      da_buf_add_byte(out, (uint8_t)*at);
    else
      da_buf_addf(out, "%s", strchr(at + 1, ' ') != NULL ? ", " : " or ");
  }
}

/* outside: it is one of these, but not within the bounds. */
static void add_wanted(da_buf *out, const taking *t, bool outside)
{
  const cli_setting *s = setting_of(t);
  const bool in_file = t->origin == CLI_FROM_FILE;
  char least[32];
  char most[32];
  switch (s->type) {
  case CLI_TYPE_TEXT:
  case CLI_TYPE_SECRET:
    da_buf_addf(out, "a text");
    break;
  case CLI_TYPE_NUMBER:
    da_buf_addf(out, "a number from %lld to %lld", (long long)s->least, (long long)s->most);
    break;
  case CLI_TYPE_BYTES:
    if (outside)
      da_buf_addf(out, "%lld to %lld bytes", (long long)s->least, (long long)s->most);
    else
      da_buf_addf(out, "a number of bytes (%s)", in_file ? "65536, \"64k\"" : "0, 500k, 64M");
    break;
  case CLI_TYPE_DURATION:
    cli_duration_text(s->least, least);
    cli_duration_text(s->most, most);
    if (outside)
      da_buf_addf(out, "%s to %s", least, most);
    else
      da_buf_addf(out, "a duration (%s)",
                  in_file                        ? "a number of milliseconds, or \"30s\""
                  : t->origin == CLI_FROM_SHARED ? "a number of milliseconds, or 30s"
                                                 : "with its unit: 500ms, 30s, 5m");
    break;
  case CLI_TYPE_SWITCH:
    da_buf_addf(out, "true or false");
    break;
  case CLI_TYPE_WORD:
    cli_setting_words(s, out);
    break;
  case CLI_TYPE_LIST:
    da_buf_addf(out, "%s", in_file ? "an array of strings" : "texts with commas between them");
    break;
  }
}

/* "--port wants a number from 0 to 65535, not 'x'". */
static bool refuse(const taking *t, bool outside, const char *format, ...) DA_PRINTF(3, 4);
static bool refuse(const taking *t, bool outside, const char *format, ...)
{
  va_list args;
  da_buf words = {0};
  da_buf_addf(&words, "%s wants ", t->from);
  add_wanted(&words, t, outside);
  da_buf_addf(&words, ", not ");
  va_start(args, format);
  da_buf_addv(&words, format, args);
  va_end(args);
  (void)cli_fail(CLI_EXIT_USAGE, "%.*s", DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
  return false;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static void put(const taking *t, int64_t number, const char *text, const char *const *list)
{
  t->config->values[t->index] = (cli_config_value){
      .origin = t->origin, .from = t->from, .line = t->line, .number = number, .text = text, .list = list};
}

static const char *keep(cli_config *config, da_slice text)
{
  char *copy = da_arena_alloc(&config->arena, text.len + 1);
  if (text.len > 0) memcpy(copy, text.ptr, text.len);
  copy[text.len] = '\0';
  return copy;
}

static bool put_number(const taking *t, int64_t number)
{
  const cli_setting *s = setting_of(t);
  if (number < s->least || number > s->most) return refuse(t, true, "%lld", (long long)number);
  put(t, number, NULL, NULL);
  return true;
}

static bool put_list(const taking *t, const da_slice *items, size_t count)
{
  const char **list = da_arena_alloc(&t->config->arena, (count + 1) * sizeof *list);
  for (size_t i = 0; i < count; i++) {
    if (items[i].len == 0) return refuse(t, false, "an empty one among them");
    list[i] = keep(t->config, items[i]);
  }
  list[count] = NULL;
  put(t, 0, NULL, list);
  return true;
}

static bool is_word_of(const char *words, const char *text)
{
  size_t len = strlen(text);
  for (const char *at = words; at != NULL; at = strchr(at, ' ')) {
    if (*at == ' ') at++;
    if (len > 0 && strncmp(at, text, len) == 0 && (at[len] == ' ' || at[len] == '\0')) return strchr(text, ' ') == NULL;
  }
  return false;
}

/* 1, 0, or -1: neither. The flag alone is "". */
static int read_switch(const char *text)
{
  if (*text == '\0' || is_word_of("true 1 yes on", text)) return 1;
  return is_word_of("false 0 no off", text) ? 0 : -1;
}

/* `--timeout 10000` for ten seconds would be three hours, so a flag has its unit. */
static bool read_duration(const taking *t, const char *text, int64_t *ms)
{
  bool unit = strpbrk(text, "smhdw") != NULL;
  if (!unit && t->origin == CLI_FROM_SHARED) return da_text_read_int(da_slice_of(text), ms);
  return (unit || strcmp(text, "0") == 0) && cli_duration_read(text, ms);
}

static da_status catch_list(void *user, const cli_file_item *item, da_err *err)
{
  cli_file_item *out = user;
  *out = *item;
  return item->type == CLI_FILE_LIST ? DA_OK : da_fail(err, DA_EINVAL, "no array");
}

/* "a,b", or ["a", "b"] as in the file. */
static bool take_list(const taking *t, const char *text)
{
  da_slice items[LIST_MAX];
  size_t count = 0;
  if (*text == '[') {
    cli_file_item item;
    const da_slice line = da_arena_printf(&t->config->arena, "x = %s", text);
    if (cli_file_read(line, "", &t->config->arena, catch_list, &item, NULL) != DA_OK || item.count > LIST_MAX)
      return refuse(t, false, "'%s'", text);
    return put_list(t, item.list, item.count);
  }
  for (const char *at = text; at != NULL;) {
    const char *comma = strchr(at, ',');
    if (count == LIST_MAX) return refuse(t, false, "more than %d of them", LIST_MAX);
    items[count++] = da_slice_make(at, comma != NULL ? (size_t)(comma - at) : strlen(at));
    at = comma != NULL ? comma + 1 : NULL;
  }
  return put_list(t, items, count);
}

static bool take_text(const taking *t, const char *text)
{
  const cli_setting *s = setting_of(t);
  int64_t number = 0;
  size_t bytes;
  bool good = true;
  switch (s->type) {
  case CLI_TYPE_TEXT:
  case CLI_TYPE_SECRET:
    if (*text == '\0') return refuse(t, false, "nothing");
    put(t, 0, text, NULL);
    return true;
  case CLI_TYPE_WORD:
    if (!is_word_of(s->words, text)) return refuse(t, false, "'%s'", text);
    put(t, 0, text, NULL);
    return true;
  case CLI_TYPE_LIST:
    return take_list(t, text);
  case CLI_TYPE_NUMBER:
    good = da_text_read_int(da_slice_of(text), &number);
    break;
  case CLI_TYPE_BYTES:
    good = cli_size_read(text, &bytes) && bytes <= INT64_MAX;
    if (good) number = (int64_t)bytes;
    break;
  case CLI_TYPE_DURATION:
    good = read_duration(t, text, &number);
    break;
  case CLI_TYPE_SWITCH:
    number = read_switch(text);
    good = number >= 0;
    if (good) put(t, number, NULL, NULL);
    if (good) return true;
    break;
  }
  if (!good) return refuse(t, false, "'%s'", text);
  if (number < s->least || number > s->most) return refuse(t, true, "'%s'", text);
  put(t, number, NULL, NULL);
  return true;
}

static bool take_item(const taking *t, const cli_file_item *item)
{
  static const char *const types[] = {"a string", "a number", "true or false", "an array"};
  const cli_setting *s = setting_of(t);
  bool sized = s->type == CLI_TYPE_BYTES || s->type == CLI_TYPE_DURATION;
  switch (item->type) {
  case CLI_FILE_TEXT:
    if (s->type != CLI_TYPE_NUMBER && s->type != CLI_TYPE_SWITCH && s->type != CLI_TYPE_LIST)
      return take_text(t, keep(t->config, item->text));
    break;
  case CLI_FILE_NUMBER:
    if (sized || s->type == CLI_TYPE_NUMBER) return put_number(t, item->number);
    break;
  case CLI_FILE_SWITCH:
    if (s->type != CLI_TYPE_SWITCH) break;
    put(t, item->number, NULL, NULL);
    return true;
  case CLI_FILE_LIST:
    if (s->type != CLI_TYPE_LIST) break;
    if (item->count > LIST_MAX) return refuse(t, false, "more than %d of them", LIST_MAX);
    return put_list(t, item->list, item->count);
  }
  return refuse(t, false, "%s", types[item->type]);
}

/* ---- names --------------------------------------------------------------------------------------------- */

static int find_key(da_slice key)
{
  for (int i = 0; i < CLI_SETTING_COUNT; i++)
    if (da_slice_eq(key, da_slice_of(cli_settings[i].key))) return i;
  return -1;
}

static const char *find_foreign(da_slice key)
{
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    da_slice one = da_slice_of(foreign[i].key);
    bool all = one.ptr[one.len - 1] == '.';
    if (all ? da_slice_starts(key, one) : da_slice_eq(key, one)) return foreign[i].words;
  }
  return NULL;
}

static da_slice last_part(da_slice key)
{
  for (size_t i = key.len; i > 0; i--)
    if (key.ptr[i - 1] == '.') return da_slice_make(key.ptr + i, key.len - i);
  return key;
}

/* The key that is meant, or NULL: in the wrong section, or misspelt. */
static const char *nearest_key(da_slice key, bool shared_only)
{
  cli_nearest nearest = {.wanted = key};
  const char *elsewhere = NULL;
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    if (shared_only && !cli_settings[i].shared) continue;
    da_slice one = da_slice_of(cli_settings[i].key);
    cli_nearest_offer(&nearest, one);
    if (da_slice_eq(last_part(one), last_part(key))) elsewhere = cli_settings[i].key;
  }
  return nearest.best.len > 0 ? nearest.best.ptr : elsewhere;
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static da_status read_text(const char *path, da_buf *out, da_err *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return da_fail(err, DA_ENOTFOUND, "--config %s cannot be opened: %s", path, strerror(errno));
  ssize_t n = 1;
  while (n > 0 && out->len <= DA_CONFIG_FILE_MAX) {
    da_buf_reserve(out, 4096);
    n = read(fd, out->ptr + out->len, 4096);
    if (n > 0) out->len += (size_t)n;
  }
  da_status status = DA_OK;
  if (n < 0)
    status = da_fail(err, DA_EIO, "--config %s cannot be read: %s", path, strerror(errno));
  else if (out->len > DA_CONFIG_FILE_MAX)
    status = da_fail(err, DA_ETOOBIG, "--config %s is longer than %d bytes", path, DA_CONFIG_FILE_MAX);
  (void)close(fd);
  return status;
}

static da_status unknown_key(const cli_config *config, const cli_file_item *item, da_err *err)
{
  const char *words = find_foreign(item->name);
  const char *near = nearest_key(item->name, false);
  if (words != NULL)
    return da_fail(err, DA_EINVAL, "%s:%d: %.*s is a setting of the Resonate server that means nothing here: %s",
                   config->path, item->line, DA_FMT(item->name), words);
  if (near != NULL)
    return da_fail(err, DA_EINVAL, "%s:%d: there is no setting %.*s; did you mean %s?", config->path, item->line,
                   DA_FMT(item->name), near);
  return da_fail(err, DA_EINVAL, "%s:%d: there is no setting %.*s; dahost serve --print-config shows all", config->path,
                 item->line, DA_FMT(item->name));
}

static da_status take_file_item(void *user, const cli_file_item *item, da_err *err)
{
  cli_config *config = user;
  taking t = {.config = config, .index = find_key(item->name), .origin = CLI_FROM_FILE, .line = item->line};
  if (t.index < 0) return unknown_key(config, item, err);
  t.from = keep(config, da_arena_printf(&config->arena, "%s:%d: %.*s", config->path, item->line, DA_FMT(item->name)));
  return take_item(&t, item) ? DA_OK : da_fail(err, DA_EINVAL, "%s", "");
}

static bool take_file(cli_config *config)
{
  da_err err = {{0}};
  da_buf text = {0};
  if (*config->path == '\0') return cli_fail(0, "--config wants a file, not nothing") != 0;
  da_status status = read_text(config->path, &text, &err);
  if (status == DA_OK)
    status = cli_file_read(da_buf_slice(&text), config->path, &config->arena, take_file_item, config, &err);
  da_buf_free(&text);
  if (status != DA_OK && err.text[0] != '\0') (void)cli_fail(CLI_EXIT_USAGE, "%s", err.text); /* else it was said */
  return status == DA_OK;
}

/* ---- variables of the Resonate server ------------------------------------------------------------------ */

/* "SERVER__PORT" is server.port. */
static da_slice key_of_variable(cli_config *config, da_slice name)
{
  da_slice key = da_arena_dup(&config->arena, name);
  char *to = (char *)(uintptr_t)key.ptr;
  key.len = 0;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool joint = c == '_' && i + 1 < name.len && name.ptr[i + 1] == '_';
    to[key.len++] = (char)(joint ? '.' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    if (joint) i++;
  }
  return key;
}

static da_slice first_part(da_slice key)
{
  ptrdiff_t dot = da_slice_find(key, '.');
  return dot < 0 ? DA_NONE : da_slice_make(key.ptr, (size_t)dot);
}

/* Is it in a section of ours, or of what is refused by name? Others are of other programs, as are RESONATE_URL and
 * RESONATE_TOKEN, which clients read. */
static bool is_section(da_slice key)
{
  da_slice section = first_part(key);
  if (section.len == 0) return false;
  for (int i = 0; i < CLI_SETTING_COUNT; i++)
    if (cli_settings[i].shared && da_slice_eq(section, first_part(da_slice_of(cli_settings[i].key)))) return true;
  return find_foreign(key) != NULL;
}

static void add_variable(da_buf *out, const char *key)
{
  da_buf_addf(out, "RESONATE_");
  for (; *key != '\0'; key++) {
    if (*key == '.')
      da_buf_addf(out, "__");
    else
      da_buf_add_byte(out, (uint8_t)(*key >= 'a' && *key <= 'z' ? *key - 'a' + 'A' : *key));
  }
}

static bool unknown_variable(const taking *t, da_slice key)
{
  char own[CLI_VARIABLE_MAX];
  da_buf words = {0};
  const char *foreign_words = find_foreign(key);
  const char *near = nearest_key(key, true);
  if (t->index >= 0) {
    cli_variable_name(cli_setting_flag(t->index), own);
    da_buf_addf(&words, "%s is no setting of the Resonate server; here it is %s", t->from, own);
  } else if (foreign_words != NULL) {
    da_buf_addf(&words, "%s means nothing here: %s", t->from, foreign_words);
  } else {
    da_buf_addf(&words, "there is no setting %s", t->from);
    if (near != NULL) da_buf_addf(&words, "; did you mean ");
    if (near != NULL) add_variable(&words, near);
    if (near != NULL) da_buf_add_byte(&words, '?');
  }
  (void)cli_fail(CLI_EXIT_USAGE, "%.*s", DA_FMT(words));
  da_buf_free(&words);
  return false;
}

/* "RESONATE_SERVER__PORT=8001" */
static bool take_variable(cli_config *config, const char *entry)
{
  const da_slice prefix = DA_LIT("RESONATE_");
  const char *equals = strchr(entry, '=');
  if (equals == NULL || !da_slice_starts(da_slice_of(entry), prefix) || equals[1] == '\0') return true;
  da_slice name = da_slice_make(entry, (size_t)(equals - entry));
  if (name.len <= prefix.len) return true;
  da_slice key = key_of_variable(config, da_slice_make(name.ptr + prefix.len, name.len - prefix.len));
  taking t = {.config = config, .index = find_key(key), .origin = CLI_FROM_SHARED, .from = keep(config, name)};
  if (t.index >= 0 && cli_settings[t.index].shared) return take_text(&t, equals + 1);
  return is_section(key) ? unknown_variable(&t, key) : true;
}

static bool take_variables(cli_config *config)
{
  for (char **entry = environ; *entry != NULL; entry++)
    if (!take_variable(config, *entry)) return false;
  return true;
}

/* ---- flags --------------------------------------------------------------------------------------------- */

static bool take_repeated(const taking *t, const cli_command *command, cli_flag_id flag)
{
  da_slice items[LIST_MAX];
  size_t count = 0;
  size_t at = 0;
  for (const char *value; (value = cli_each(command, flag, &at)) != NULL;) {
    if (count == LIST_MAX) return refuse(t, false, "more than %d of them", LIST_MAX);
    items[count++] = da_slice_of(value);
  }
  return put_list(t, items, count);
}

/* What was given as a flag, or as a variable DAHOST_*. */
static bool take_flags(const cli_command *command, cli_config *config)
{
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    char name[CLI_VARIABLE_MAX];
    cli_flag_id flag = cli_setting_flag(i);
    if (command->flags[flag] == NULL) continue;
    bool variable = (command->from_variable & CLI_BIT(flag)) != 0;
    if (variable)
      cli_variable_name(flag, name);
    else
      (void)snprintf(name, sizeof name, "--%s", cli_flags[flag].name);
    const taking t = {.config = config,
                      .index = i,
                      .origin = variable ? CLI_FROM_VARIABLE : CLI_FROM_FLAG,
                      .from = keep(config, da_slice_of(name))};
    bool several = cli_settings[i].type == CLI_TYPE_LIST && !variable;
    if (!(several ? take_repeated(&t, command, flag) : take_text(&t, command->flags[flag]))) return false;
  }
  return true;
}

static bool take_built_in(cli_config *config)
{
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    const taking t = {.config = config, .index = i, .origin = CLI_BUILT_IN, .from = cli_settings[i].key};
    if (cli_settings[i].text != NULL && !take_text(&t, cli_settings[i].text)) return false;
  }
  return true;
}

/* ---- what follows from others -------------------------------------------------------------------------- */

static cli_config_value *value_of(cli_config *config, cli_flag_id which)
{
  return &config->values[which - CLI_SETTING_FIRST];
}

/* "[::1]:8001" */
static const char *join(cli_config *config, const char *host, int64_t port)
{
  bool six = strchr(host, ':') != NULL && *host != '[';
  return keep(config,
              da_arena_printf(&config->arena, "%s%s%s:%lld", six ? "[" : "", host, six ? "]" : "", (long long)port));
}

/* host and port are another way to say `listen`: the stronger source counts; of the same one there is no telling. */
static bool settle_listen(cli_config *config)
{
  const cli_config_value *host = value_of(config, CLI_BIND);
  const cli_config_value *port = value_of(config, CLI_PORT);
  cli_config_value *listen = value_of(config, CLI_LISTEN);
  cli_origin origin = host->origin > port->origin ? host->origin : port->origin;
  if (origin < listen->origin || origin == CLI_BUILT_IN) return true;
  if (origin == listen->origin)
    return cli_fail(0, "server.listen, and server.bind or server.port (flags --listen, --bind, --port), both say where "
                       "to listen; keep one of them") != 0;
  const da_slice address = da_slice_of(join(config, host->text, port->number));
  const cli_config_value *by = port->origin == origin ? port : host;
  const taking t = {.config = config, .index = CLI_NTH_LISTEN, .origin = origin, .from = by->from, .line = by->line};
  return put_list(&t, &address, 1);
}

static bool settle_metrics(cli_config *config)
{
  const cli_config_value *port = value_of(config, CLI_METRICS_PORT);
  cli_config_value *metrics = value_of(config, CLI_METRICS);
  if (port->origin < metrics->origin || port->origin == CLI_BUILT_IN) return true;
  if (port->origin == metrics->origin)
    return cli_fail(0,
                    "observability.metrics and observability.metrics_port (flags --metrics, --metrics-port) both say "
                    "where to show metrics; keep one of them") != 0;
  metrics->origin = port->origin;
  metrics->from = port->from;
  metrics->line = port->line;
  metrics->text = port->number > 0 ? join(config, value_of(config, CLI_BIND)->text, port->number) : NULL;
  return true;
}

/* The flags as they would be if all had been given there. */
static bool fill_list(cli_command *command, cli_flag_id flag, const char *const *list)
{
  size_t kept = 0;
  for (size_t i = 0; i < command->repeated_count; i++)
    if (command->repeated[i].flag != flag) command->repeated[kept++] = command->repeated[i];
  command->repeated_count = kept;
  for (; list != NULL && *list != NULL; list++) {
    if (command->repeated_count == CLI_REPEATED_MAX)
      return cli_fail(0, "more than %d times --%s", CLI_REPEATED_MAX, cli_flags[flag].name) != 0;
    command->repeated[command->repeated_count].flag = flag;
    command->repeated[command->repeated_count++].value = *list;
    command->flags[flag] = *list;
  }
  return true;
}

static bool fill_flags(cli_command *command, cli_config *config)
{
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    cli_flag_id flag = cli_setting_flag(i);
    const cli_config_value *value = &config->values[i];
    const long long number = (long long)value->number;
    if (value->origin == CLI_BUILT_IN) continue;
    switch (cli_settings[i].type) {
    case CLI_TYPE_TEXT:
    case CLI_TYPE_SECRET:
    case CLI_TYPE_WORD:
      command->flags[flag] = value->text;
      break;
    case CLI_TYPE_NUMBER:
    case CLI_TYPE_BYTES:
      command->flags[flag] = da_arena_printf(&config->arena, "%lld", number).ptr;
      break;
    case CLI_TYPE_DURATION:
      command->flags[flag] = da_arena_printf(&config->arena, "%lldms", number).ptr;
      break;
    case CLI_TYPE_SWITCH:
      command->flags[flag] = number != 0 ? "" : NULL;
      break;
    case CLI_TYPE_LIST:
      if (!fill_list(command, flag, value->list)) return false;
      break;
    }
  }
  return true;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

bool cli_config_read(cli_command *command, cli_config *out)
{
  bool server = (command->verb->flags & CLI_BIT(CLI_CONFIG)) != 0;
  *out = (cli_config){.path = command->flags[CLI_CONFIG]};
  command->config = out;
  bool good = take_built_in(out);
  if (good && out->path != NULL) good = take_file(out);
  if (good && server) good = take_variables(out);
  if (good) good = take_flags(command, out);
  if (good && server) good = settle_listen(out) && settle_metrics(out);
  return good && fill_flags(command, out);
}

void cli_config_free(cli_config *config)
{
  da_arena_free(&config->arena);
}

static const cli_config_value *value_for(const cli_command *command, cli_flag_id which, cli_setting_type type)
{
  DA_ASSERT_OP(cli_settings[which - CLI_SETTING_FIRST].type, ==, type);
  return &command->config->values[which - CLI_SETTING_FIRST];
}

int64_t cli_config_number(const cli_command *command, cli_flag_id which)
{
  const cli_setting_type type = cli_settings[which - CLI_SETTING_FIRST].type;
  DA_ASSERT(type == CLI_TYPE_NUMBER || type == CLI_TYPE_BYTES || type == CLI_TYPE_DURATION);
  return value_for(command, which, type)->number;
}

bool cli_config_on(const cli_command *command, cli_flag_id which)
{
  return value_for(command, which, CLI_TYPE_SWITCH)->number != 0;
}

const char *cli_config_text(const cli_command *command, cli_flag_id which)
{
  const cli_setting_type type = cli_settings[which - CLI_SETTING_FIRST].type;
  DA_ASSERT(type == CLI_TYPE_TEXT || type == CLI_TYPE_SECRET || type == CLI_TYPE_WORD);
  return value_for(command, which, type)->text;
}

const char *const *cli_config_list(const cli_command *command, cli_flag_id which)
{
  return value_for(command, which, CLI_TYPE_LIST)->list;
}

bool cli_config_given(const cli_command *command, cli_flag_id which)
{
  return command->config->values[which - CLI_SETTING_FIRST].origin != CLI_BUILT_IN;
}

void cli_config_profile(const cli_command *command, da_profile *out)
{
  const da_slice section = DA_LIT("protocol.");
  *out = da_profile_default;
  out->retry_timeout_ms = cli_config_number(command, CLI_RETRY_TIMEOUT);
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    da_err err = {{0}};
    char number[24];
    const cli_setting *s = &cli_settings[i];
    const cli_config_value *value = &command->config->values[i];
    if (!da_slice_starts(da_slice_of(s->key), section)) continue;
    (void)snprintf(number, sizeof number, "%lld", (long long)value->number);
    const char *text = s->type == CLI_TYPE_WORD ? value->text : value->number < 0 ? "unlimited" : number;
    da_status status = da_profile_set(out, da_slice_of(s->key + section.len), da_slice_of(text), &err);
    if (status != DA_OK) (void)cli_fail(CLI_EXIT_USAGE, "%s", err.text); /* settings.h and the engine disagree */
    DA_ASSERT_OP(status, ==, DA_OK);
  }
}
