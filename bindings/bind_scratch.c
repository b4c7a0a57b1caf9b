/* bind_scratch.c - the buffers into which calls encode their arguments.
 *
 * Per thread and reused, so that a raise leaks nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "bind.h"

enum { SCRATCH = 3 };

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void free_scratch(void *buffers)
{
  da_buf *scratch = buffers;
  for (int i = 0; i < SCRATCH; i++) da_buf_free(&scratch[i]);
  free(scratch);
}

static void make_scratch_key(void)
{
  DA_ASSERT(pthread_key_create(&scratch_key, free_scratch) == 0);
}

da_buf *bind_scratch(int which)
{
  (void)pthread_once(&scratch_once, make_scratch_key);
  da_buf *scratch = pthread_getspecific(scratch_key);
  if (scratch == NULL) {
    scratch = da_xcalloc(SCRATCH, sizeof *scratch);
    DA_ASSERT(pthread_setspecific(scratch_key, scratch) == 0);
  }
  da_buf_clear(&scratch[which]);
  return &scratch[which];
}
