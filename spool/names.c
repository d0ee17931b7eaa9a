/* names.c - the words for states, as people type and read them. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "spool/spool.h"

static const char *const delivery_names[SPOOL_DELIVERY_STATES] = {
	[SPOOL_OWED] = "owed",
	[SPOOL_SENT] = "sent",
	[SPOOL_DELIVERED] = "delivered",
	[SPOOL_WARNED] = "warned",
	[SPOOL_REFUSED] = "refused",
	[SPOOL_LET_GO] = "let go",
};

static const char *const study_state_names[SPOOL_STUDY_STATES] = {
	[SPOOL_STUDY_REFUSED] = "refused",
	[SPOOL_STUDY_UNROUTED] = "unrouted",
	[SPOOL_STUDY_HELD] = "held",
	[SPOOL_STUDY_RECEIVING] = "receiving",
	[SPOOL_STUDY_OWED] = "owed",
	[SPOOL_STUDY_DELIVERED] = "delivered",
	[SPOOL_STUDY_LET_GO] = "let go",
};

const char *
spool_delivery_name(enum spool_delivery d)
{
	assert((unsigned)d < SPOOL_DELIVERY_STATES);
	return delivery_names[d];
}

const char *
spool_study_state_name(enum spool_study_state s)
{
	assert((unsigned)s < SPOOL_STUDY_STATES);
	return study_state_names[s];
}

/* "let-go" too, which a shell needs no quotes for. */
int
spool_study_state_parse(const char *name, enum spool_study_state *ret)
{
	if (strcmp(name, "let-go") == 0)
		name = study_state_names[SPOOL_STUDY_LET_GO];
	for (int s = 0; s < SPOOL_STUDY_STATES; s++)
		if (strcmp(name, study_state_names[s]) == 0) {
			*ret = (enum spool_study_state)s;
			return 0;
		}
	return -EINVAL;
}
