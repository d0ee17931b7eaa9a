/* traits.c - what the index knows of a study, as the routes ask for it. */
#include <assert.h>

#include "gateway/study/study.h"
#include "gateway/upload/upload.h"

/* One enum each: neither folder knows the other. */
static_assert((int)SPOOL_FACT_SOP_CLASS == (int)STUDY_SOP_CLASS &&
    (int)SPOOL_FACT_BODY_PART == (int)STUDY_BODY_PART &&
    (int)SPOOL_FACT_STATION == (int)STUDY_STATION &&
    (int)SPOOL_FACT_DESCRIPTION == (int)STUDY_DESCRIPTION,
    "facts of the spool are traits of a study");

static int
note_fact(void *arg, enum spool_fact fact, const char *text)
{
	study_traits_note(arg, (enum study_trait)fact, text);
	return 0;
}

int
upload_study_traits(struct spool *sp, const struct config *cfg, uint64_t study,
    struct study_traits **ret)
{
	unsigned wanted = study_traits_wanted(cfg);
	struct study_traits *t = study_traits_new(cfg);
	int r = wanted == 0 ? 0 : spool_study_facts(sp, study, wanted, note_fact, t);

	if (r < 0) {
		study_traits_free(t);
		return r;
	}
	*ret = t;
	return 0;
}
