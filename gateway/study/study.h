/* study.h - when is a study complete, and where does an instance go.
 *
 * Pure: no I/O, no clock of its own, no state. Times are milliseconds of
 * CLOCK_BOOTTIME as the caller gives them.
 */
#ifndef CW_STUDY_STUDY_H
#define CW_STUDY_STUDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* ---- completion (rule 11) ---- */

struct study_arrivals {
	int64_t	 first_ms;	/* of what is not routed yet */
	int64_t	 last_ms;	/* the last byte */
	unsigned sources;	/* open associations that have sent to it */
	bool	 stat;
};
struct study_patience {
	int64_t after_ms;	/* silence that completes it */
	int64_t at_most_ms;	/* how long an open association may hold it open */
	bool	start_early;
};
/* The time at which the study is complete if nothing more comes; it is complete
 * when that is not later than now. Always finite. */
int64_t study_complete_at(const struct study_arrivals *a,
    const struct study_patience *p);

/* ---- routing (rule 1) ---- */

/* What routes ask of a study as a whole; any of its series and instances may have it. */
enum study_trait {
	STUDY_SOP_CLASS,	/* UIDs */
	STUDY_BODY_PART,
	STUDY_STATION,
	STUDY_DESCRIPTION,	/* of the study or a series */
	STUDY_TRAITS
};
struct study_traits;
/* Bits by enum study_trait: what the routes ask for at all. */
unsigned study_traits_wanted(const struct config *cfg);
struct study_traits *study_traits_new(const struct config *cfg);	/* borrows it */
/* Texts are UTF-8. */
void study_traits_note(struct study_traits *t, enum study_trait what, const char *text);
void study_traits_free(struct study_traits *t);	/* takes NULL */

struct study_facts {
	const char *calling, *called;	/* of the instance */
	const char *modalities;		/* of the whole study: "CT\\SR" */
	const struct study_traits *traits;	/* of cfg; NULL: nothing is known */
};
/* Marks in `to` (one flag per cfg->destinations) where the instance goes, by the
 * routes in order; no routes at all: everywhere. matched (one flag per cfg->routes;
 * may be NULL): which of them said so. Returns how many destinations; 0: unrouted. */
size_t study_route(const struct config *cfg, const struct study_facts *f,
    bool *to, bool *matched);
/* Could it be routed, whatever the study turns out to be? */
bool study_routable(const struct config *cfg, const char *calling,
    const char *called);

#endif
