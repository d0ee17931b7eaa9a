/* tally_int.h - what a destination has of a study; in an errand's thread. */
#ifndef CW_ADMIN_TALLY_INT_H
#define CW_ADMIN_TALLY_INT_H

#include "gateway/admin/admin_int.h"

struct tally_entry {
	uint64_t id;
	unsigned version;
	bool	 pending;	/* not routed yet: it may go anywhere */
	char	 uid[DICOM_UID_MAX + 1];
};
struct tally_entries {		/* of a study, by UID, the latest version first */
	struct tally_entry *v;
	size_t n, max;
};
int  tally_list(struct spool *sp, uint64_t study, struct tally_entries *ret);
void tally_list_free(struct tally_entries *l);

struct tally_counts {
	uint64_t expected;	/* confirmed by the destination */
	uint64_t found, different, missing, unknown;	/* of those */
	uint64_t waiting, refused, let_go;	/* not confirmed */
	bool	 down;		/* it is not asked (any more): it cannot be reached */
	char	 reason[400];	/* why it could not be asked; "" */
};
/* Adds to counts. problems (NULL: not wanted) gets what is not there. -ENOENT: there
 * is no such destination. */
int  tally_study(struct admin_errand *e, const char *destination,
    const struct tally_entries *l, bool bytes, struct tally_counts *counts,
    json_t *problems);
bool tally_complete(const struct tally_counts *c);

#endif
