/* complete.c - the silence that makes a study complete. */
#include "gateway/study/study.h"

int64_t
study_complete_at(const struct study_arrivals *a, const struct study_patience *p)
{
	int64_t silent, held;

	if (p->start_early || a->stat)
		return a->first_ms;

	silent = a->last_ms + p->after_ms;
	if (a->sources == 0)
		return silent;

	/* An open association holds the study open, but not for ever: a modality
	 * that never releases must not keep its exams from the cloud. */
	held = a->first_ms + p->at_most_ms;
	return held > silent ? held : silent;
}
