/* step_report.c - what a step says while it runs: lines of output, how far it is; and what the threads are at.
 *
 * A step never waits for anybody to hear it. Lines are all told; of progress the last word counts: it lies in the job
 * (whoever asks reads it there), and is told at most every REPORT_MS.
 * Threads: da_step_output() and da_step_progress() on a step thread, the rest on the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "step_pool_parts.h"

enum { REPORT_MS = 100 }; /* ten frames a second: what a terminal draws */

/* ---- output -------------------------------------------------------------------------------------------- */

typedef struct output_line {
  da_step_pool *pool;
  da_buf text;
  size_t execution_len, step_len;
} output_line;

static void tell_output(void *arg)
{
  output_line *line = arg;
  da_slice all = da_buf_slice(&line->text);
  size_t head = line->execution_len + line->step_len;
  if (!line->pool->closing) /* set on this very thread */
    line->pool->output(line->pool->user, da_slice_make(all.ptr, line->execution_len),
                       da_slice_make(all.ptr + line->execution_len, line->step_len),
                       da_slice_make(all.ptr + head, all.len - head));
  pthread_mutex_lock(&line->pool->mutex);
  da_step_pool_unref(line->pool);
  da_buf_free(&line->text);
  free(line);
}

void da_step_output(lua_State *L, da_slice text)
{
  step_state *state = da_step_state_of(L);
  if (state->job == NULL) return; /* the file loads: its first load, for workflows, has said it */
  output_line *line = da_xcalloc(1, sizeof *line);
  line->pool = state->pool;
  da_buf_add_slice(&line->text, state->job->execution);
  line->execution_len = line->text.len;
  da_buf_add_slice(&line->text, state->job->id);
  line->step_len = line->text.len - line->execution_len;
  da_buf_add_slice(&line->text, text);
  da_buf_add_byte(&line->text, '\0');
  line->text.len--;
  pthread_mutex_lock(&state->pool->mutex);
  bool open = !state->pool->closing;
  if (open) {
    state->pool->refs++;
    da_sched_post(state->pool->sched, tell_output, line);
  }
  pthread_mutex_unlock(&state->pool->mutex);
  if (!open) {
    da_buf_free(&line->text);
    free(line);
  }
}

/* ---- progress ------------------------------------------------------------------------------------------ */

typedef struct progress_post {
  da_step_pool *pool;
  da_step_job *job;
} progress_post;

static void tell(da_step_pool *pool, da_step_job *job);

static void tell_later(void *arg)
{
  da_step_job *job = arg;
  job->report.timer = NULL;
  tell(job->report.pool, job);
}

/* Tells what is new; once there is nothing new, the step posts again. */
static void tell(da_step_pool *pool, da_step_job *job)
{
  pthread_mutex_lock(&pool->mutex);
  bool fresh = job->report.fresh;
  job->report.fresh = false;
  job->report.posted = fresh;
  pthread_mutex_unlock(&pool->mutex);
  if (!fresh) return;
  if (job->user != NULL) job->progressed(job); /* else it was let go */
  job->report.timer = da_timer_start(pool->sched, da_clock_now_ms() + REPORT_MS, tell_later, job);
}

/* The job is there: its end is told behind this, by the same thread. */
static void tell_first(void *arg)
{
  progress_post *post = arg;
  if (!post->pool->closing) tell(post->pool, post->job); /* set on this very thread */
  pthread_mutex_lock(&post->pool->mutex);
  da_step_pool_unref(post->pool);
  free(post);
}

void da_step_report_stop(da_step_job *job)
{
  da_timer_stop(job->report.timer);
  job->report.timer = NULL;
}

void da_step_progress(lua_State *L, double done, double total, da_slice note)
{
  const step_state *state = da_step_state_of(L);
  da_step_pool *pool = state->pool;
  da_step_job *job = state->job;
  size_t len = note.len;
  while (len > DA_PROGRESS_NOTE_MAX || (len < note.len && ((unsigned char)note.ptr[len] & 0xc0) == 0x80)) len--;
  pthread_mutex_lock(&pool->mutex);
  job->report.progress = (da_progress){.told = true, .done = done, .total = total, .note_len = len};
  if (len > 0) memcpy(job->report.progress.note, note.ptr, len);
  job->report.fresh = true;
  if (!job->report.posted && !pool->closing) {
    progress_post *post = da_xmalloc(sizeof *post);
    *post = (progress_post){pool, job};
    job->report.posted = true;
    pool->refs++;
    da_sched_post(pool->sched, tell_first, post);
  }
  pthread_mutex_unlock(&pool->mutex);
}

void da_progress_text(const da_progress *progress, da_buf *out)
{
  if (!progress->told) return;
  da_buf_addf(out, "%.14g", progress->done);
  if (progress->total >= 0) da_buf_addf(out, "/%.14g", progress->total);
  if (progress->note_len > 0) da_buf_addf(out, " %.*s", (int)progress->note_len, progress->note);
}

da_progress da_step_job_progress(const da_step_job *job)
{
  da_step_pool *pool = job->report.pool;
  pthread_mutex_lock(&pool->mutex);
  da_progress progress = job->report.progress;
  pthread_mutex_unlock(&pool->mutex);
  return progress;
}

/* ---- what the threads are at --------------------------------------------------------------------------- */

static da_step_row row_of(const da_step_job *job)
{
  return (da_step_row){.id = job->id,
                       .execution = job->execution,
                       .func = job->func,
                       .attempt = job->attempt,
                       .begun_ms = job->begun_ms,
                       .deadline_ms = job->deadline_ms,
                       .abandoned = job->given_up,
                       .progress = job->report.progress};
}

void da_step_pool_each(da_step_pool *pool, bool (*visit)(void *user, const da_step_row *row), void *user)
{
  bool more = true;
  pthread_mutex_lock(&pool->mutex);
  for (int i = 0; i < pool->places && more; i++) {
    if (pool->threads[i].job == NULL) continue;
    da_step_row row = row_of(pool->threads[i].job);
    more = visit(user, &row);
  }
  for (const da_step_job *job = pool->first; job != NULL && more; job = job->next) {
    da_step_row row = row_of(job);
    more = visit(user, &row);
  }
  pthread_mutex_unlock(&pool->mutex);
}
