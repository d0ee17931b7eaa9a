/* ahi_job_int.h - what the files of tend() share. Its thread alone.
 *
 *	ahi_job.c	a batch until it is closed; who is due
 *	ahi_start.c	starting an import
 *	ahi_end.c	asking how it goes, and what is done with how it ended
 *	ahi_tidy.c	deleting; what people see
 */
#ifndef CW_DESTINATION_AHI_JOB_INT_H
#define CW_DESTINATION_AHI_JOB_INT_H

#include "gateway/destination/ahi_int.h"

#define POLL_MOST_MS  (2 * 60 * 1000)
#define RETRY_MOST_MS (15 * 60 * 1000)

/* Doubled with each try, and spread so that gateways do not march in step. */
int64_t ahi_growing(int64_t base_ms, unsigned tries, int64_t most_ms);
/* Later each time, at most after that long. */
void ahi_come_again(struct ahi_tending *t, struct ahi_job *j, int64_t most_ms);
/* In memory alone: due at once. */
void ahi_step_to(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase);
/* Durable, and due at once; else it comes again. */
bool ahi_enter(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase);
/* Under mu: may another one run beside those that do? */
bool ahi_has_slot(const struct ahi *a, const struct ahi_job *but);

void ahi_step_start(struct ahi_tending *t, struct ahi_job *j);
void ahi_step_running(struct ahi_tending *t, struct ahi_job *j);
void ahi_step_results(struct ahi_tending *t, struct ahi_job *j);

/* Deletes below a batch's prefix what its job has not sent: what was on its way when
 * we were killed, or whose answer got lost. False: not now, it comes again. */
bool ahi_tidy(struct ahi_tending *t, struct ahi_job *j);
/* Deletes what is left of it, here and over there, and the job itself. */
void ahi_clean(struct ahi_tending *t, struct ahi_job *j);

#endif
