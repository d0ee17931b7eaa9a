/* ahi_job_int.h - what tend() shares with the tidying up. Its thread alone. */
#ifndef CW_DESTINATION_AHI_JOB_INT_H
#define CW_DESTINATION_AHI_JOB_INT_H

#include "gateway/destination/ahi_int.h"

/* Later each time, at most after that long. */
void ahi_come_again(struct ahi_tending *t, struct ahi_job *j, int64_t most_ms);

/* ---- ahi_tidy.c ---------------------------------------------------------- */

/* Deletes below a batch's prefix what its job has not sent: what was on its way when
 * we were killed, or whose answer got lost. False: not now, it comes again. */
bool ahi_tidy(struct ahi_tending *t, struct ahi_job *j);
/* Deletes what is left of it, here and over there, and the job itself. */
void ahi_clean(struct ahi_tending *t, struct ahi_job *j);

#endif
