/* process_int.h - a command that prints something secret.
 *
 * No shell. It gets no descriptor of ours, nothing to read, a short environment and
 * a process group of its own, which is gone when this returns.
 */
#ifndef CW_HTTP_PROCESS_INT_H
#define CW_HTTP_PROCESS_INT_H

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/base/buf.h"

#define PROCESS_OUTPUT_MAX (64u << 10)
#define PROCESS_WORDS_MAX  64
#define PROCESS_LIMIT_MS   60000

struct process;

/* One text is split as a shell splits words (quotes, backslashes; nothing is
 * expanded); several are the words themselves. -EINVAL, -ENOENT, -EACCES with why:
 * malformed, or no such program. */
int  process_new(const struct config_strings *command, struct process **ret,
	 struct buf *why);
void process_free(struct process *p);	/* takes NULL */
const char *process_program(const struct process *p);

/* Runs it once, to its end; one at a time. *ret is what it printed,
 * NUL-terminated; process_wipe() it. -ETIMEDOUT after limit_ms, -ECANCELED,
 * -EFBIG, -EIO for a bad exit; why says so, without a byte of what it printed. */
int  process_run(struct process *p, int64_t limit_ms, char **ret, size_t *ret_len,
	 struct buf *why);
void process_wipe(char *output);	/* takes NULL */
/* The run of now and all later ones end at once. Any thread. */
void process_cancel(struct process *p);

#endif
