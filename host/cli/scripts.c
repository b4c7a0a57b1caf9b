/* scripts.c - operands to served bundles.
 * SPDX-License-Identifier: Apache-2.0 */
#include "scripts.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

#define ADDRESS "poll://any@" /* and the group */

static da_slice group_name(const cli_scripts *s, size_t group)
{
  return da_slice_make(s->targets[group].ptr + strlen(ADDRESS), s->targets[group].len - strlen(ADDRESS));
}

static const da_function *functions_of(const cli_scripts *s, const cli_script *from, size_t *count)
{
  return da_worker_functions(s->worker, from->bundle, count);
}

/* "gpu: encode, split, step.cut (render_gpu.lua)" */
static void list_functions(const cli_scripts *s, const cli_script *from, da_buf *out)
{
  size_t count;
  const da_function *functions = functions_of(s, from, &count);
  if (from->group > 0) da_buf_addf(out, "%.*s: ", DA_FMT(group_name(s, from->group)));
  for (size_t i = 0; i < count; i++) {
    const da_function *f = &functions[i];
    da_buf_addf(out, "%s%s%.*s", i > 0 ? ", " : "", f->workflow ? "" : "step.", DA_FMT(f->name));
    if (f->version != 1) da_buf_addf(out, " version %lld", (long long)f->version);
  }
  da_buf_addf(out, "%s(%.*s)", count > 0 ? " " : "nothing ", DA_FMT(from->bundle->modules[0].file));
}

/* GROUP=FILE, or FILE for the default group. */
static bool read_operand(cli_scripts *s, const char *operand, cli_script *out, da_err *err)
{
  const char *equals = strchr(operand, '=');
  const char *slash = strchr(operand, '/');
  *out = (cli_script){.path = operand};
  if (equals == NULL || (slash != NULL && slash < equals)) return true;
  da_slice name = da_slice_make(operand, (size_t)(equals - operand));
  out->path = equals + 1;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!plain) name.len = 0;
  }
  if (name.len == 0 || *out->path == '\0') {
    (void)da_fail(
        err, DA_EINVAL,
        "'%s': GROUP=FILE wants a group of letters, digits, '_', '-' and '.', and a file (a file with '=' in its "
        "name: ./%s)",
        operand, operand);
    return false;
  }
  while (out->group < s->target_count && !da_slice_eq(group_name(s, out->group), name)) out->group++;
  if (out->group < s->target_count) return true;
  if (s->target_count == DA_GROUPS_MAX) {
    (void)da_fail(err, DA_EINVAL, "more than %d groups", DA_GROUPS_MAX);
    return false;
  }
  da_buf address = {0};
  da_buf_addf(&address, ADDRESS "%.*s", DA_FMT(name));
  s->targets[s->target_count++] = da_buf_slice(&address); /* kept as long as the process */
  return true;
}

/* A workflow that another file of the group defines as well, or NULL: a call by name could mean either. */
static const da_function *find_twin(const cli_scripts *s, const cli_script *from, const cli_script **with)
{
  size_t count, other_count;
  const da_function *functions = functions_of(s, from, &count);
  for (const cli_script *other = s->list; other < from; other++) {
    const da_function *others = functions_of(s, other, &other_count);
    *with = other;
    if (other->group != from->group) continue;
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < other_count; k++)
        if (functions[i].workflow && others[k].workflow && da_slice_eq(functions[i].name, others[k].name))
          return &functions[i];
  }
  return NULL;
}

/* A schedule that a file before it declares as well, or NULL. */
static const da_declared *find_rival(const cli_scripts *s, const cli_script *from, const cli_script **with)
{
  size_t count, other_count;
  da_worker *worker = s->worker;
  const da_declared *own = da_worker_declared(worker, from->bundle, &count);
  for (const cli_script *other = s->list; other < from; other++) {
    const da_declared *others = da_worker_declared(worker, other->bundle, &other_count);
    *with = other;
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < other_count; k++)
        if (da_slice_eq(own[i].id, others[k].id)) return &own[i];
  }
  return NULL;
}

/* Steps look for modules beside the script, wherever the process goes. */
static void settle_directory(da_bundle *bundle)
{
  char *whole = realpath(bundle->directory, NULL);
  if (whole == NULL) return;
  free(bundle->directory);
  bundle->directory = whole;
}

/* Reads and loads the file. On failure what was served of it still is. */
static da_status load(const cli_scripts *s, cli_script *from, da_err *err)
{
  da_bundle *bundle = NULL;
  da_status status = da_bundle_read(from->path, &bundle, err);
  if (status == DA_OK) {
    settle_directory(bundle);
    status = da_worker_serve_in(s->worker, from->group, bundle, err);
  }
  if (status != DA_OK) {
    da_bundle_unref(bundle);
    return status;
  }
  da_bundle_unref(from->bundle);
  from->bundle = bundle;
  return DA_OK;
}

/* A failure if the file defines what one before it does. */
static da_status compare(const cli_scripts *s, const cli_script *from, da_err *err)
{
  const cli_script *other;
  const da_function *twin = find_twin(s, from, &other);
  if (twin != NULL)
    return da_fail(err, DA_EINVAL,
                   "%s and %s both define workflow '%.*s' for group '%.*s'; give one another name, "
                   "or another group (GROUP=FILE)",
                   other->path, from->path, DA_FMT(twin->name), DA_FMT(group_name(s, from->group)));
  const da_declared *rival = find_rival(s, from, &other);
  if (rival != NULL)
    return da_fail(err, DA_EINVAL, "%s and %s:%d both declare schedule '%.*s'; give one another id", other->path,
                   from->path, rival->line, DA_FMT(rival->id));
  return DA_OK;
}

da_status cli_scripts_load(cli_scripts *s, da_err *err)
{
  for (size_t i = 0; i < s->count; i++) {
    da_status status = load(s, &s->list[i], err);
    if (status == DA_OK) status = compare(s, &s->list[i], err);
    if (status != DA_OK) return status;
  }
  return DA_OK;
}

static void hear_schedule(void *user, da_slice id, const da_schedule *schedule, bool changed, const da_err *err)
{
  const cli_scripts *s = user;
  char next[40];
  if (schedule == NULL) {
    (void)cli_fail(0, "schedule %.*s could not be declared: %s", DA_FMT(id), err->text);
  } else if (changed) {
    cli_time_text(schedule->next_run_at, next);
    cli_note(s->command, "schedule %.*s (%.*s%s%.*s) runs next at %s", DA_FMT(id), DA_FMT(schedule->cron),
             schedule->zone.len > 0 ? ", " : "", DA_FMT(schedule->zone), next);
  }
}

static void declare(cli_scripts *s, const cli_script *from)
{
  const cli_script *with;
  const da_declared *rival = find_rival(s, from, &with);
  if (rival != NULL) {
    (void)cli_fail(0, "schedule %.*s is declared by %s already; those of %s are not taken", DA_FMT(rival->id),
                   with->path, from->path);
    return;
  }
  da_worker_declare(s->worker, from->group, from->bundle, hear_schedule, s);
}

static void reload(cli_scripts *s, cli_script *from)
{
  da_err err = {{0}};
  da_digest before = from->bundle->hash;
  if (load(s, from, &err) != DA_OK) {
    (void)cli_fail(0, "%s stays as it was: %s", from->path, err.text);
    return;
  }
  declare(s, from); /* unchanged too: the rules of a zone may be others, a disk no longer full */
  if (da_digest_eq(&before, &from->bundle->hash)) {
    cli_note(s->command, "%s has not changed", from->path);
    return;
  }
  da_buf words = {0};
  list_functions(s, from, &words);
  cli_note(s->command, "%s was loaded again: %.*s", from->path, DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

/* Once all are loaded: a function may have moved from one file to another. */
static void tell_twins(const cli_scripts *s)
{
  for (size_t i = 0; i < s->count; i++) {
    const cli_script *other;
    const cli_script *from = &s->list[i];
    const da_function *twin = find_twin(s, from, &other);
    if (twin != NULL)
      (void)cli_fail(0, "%s and %s both define workflow '%.*s' for group '%.*s'; a call by name takes the newer one",
                     other->path, from->path, DA_FMT(twin->name), DA_FMT(group_name(s, from->group)));
  }
}

void cli_scripts_declare(cli_scripts *s)
{
  for (size_t i = 0; i < s->count; i++) declare(s, &s->list[i]);
}

void cli_scripts_reload(cli_scripts *s)
{
  for (size_t i = 0; i < s->count; i++) reload(s, &s->list[i]);
  tell_twins(s);
}

void cli_scripts_list(const cli_scripts *s, da_buf *out)
{
  for (size_t i = 0; i < s->count; i++) {
    if (i > 0) da_buf_addf(out, "; ");
    list_functions(s, &s->list[i], out);
  }
}

int cli_scripts_read(cli_scripts *s, const cli_command *command)
{
  s->command = command;
  s->targets[0] = da_default_target;
  if (command->flags[CLI_GROUP] != NULL) { /* kept as long as the process */
    da_buf address = {0};
    da_buf_addf(&address, ADDRESS "%s", command->flags[CLI_GROUP]);
    s->targets[0] = da_buf_slice(&address);
  }
  s->target_count = 1;
  for (s->count = 0; s->count < command->operand_count; s->count++) {
    da_err err = {{0}};
    if (!read_operand(s, command->operands[s->count], &s->list[s->count], &err))
      return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  }
  return 0;
}
