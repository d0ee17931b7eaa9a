/* adopt_int.h - bringing the index up to the disk: what start and rebuild share. */
#ifndef CW_SPOOL_ADOPT_INT_H
#define CW_SPOOL_ADOPT_INT_H

#include "spool/spool_int.h"

/* commit_inline() before the committer runs, commit_run() beside it. */
typedef int adopt_commit_fn(struct spool *sp, commit_fn *fn, void *arg,
    unsigned flags);

/* A record in a segment whose bytes are not what its head says. */
struct torn {
	uint64_t	   id;
	struct store_place at;
};

struct adopt {
	uint64_t *segments;	/* still to be looked through */
	size_t	  n, next;
	struct torn *torn;	/* by a rebuild, to be judged when all is known */
	size_t	  n_torn, max_torn;
	uint64_t  adopted, damaged;
	int	  told;		/* the last error that was logged */
};

struct record_walk {
	struct spool	*sp;
	adopt_commit_fn *commit;
	bool		 background;	/* the keeper's: it keeps house meanwhile */
	int		 error;		/* ours, not that of the file */
	uint64_t	 adopted, damaged;
};

store_record_fn adopt_record;	/* arg: a record_walk */
int  adopt_open_files(struct spool *sp, struct record_walk *w);
/* The next segment; one that cannot be read is left alone. */
int  adopt_segment(struct spool *sp, struct adopt *a, struct record_walk *w);
/* Those torn ones of which nobody sent the same bytes again. */
int  adopt_torn(struct spool *sp, struct record_walk *w);
commit_fn adopt_renumber;

/* replay.c: the settle log from an offset on; afterwards sp->replayed is set. */
int  replay_log(struct spool *sp, adopt_commit_fn *commit, uint64_t from,
	 bool background);

#endif
