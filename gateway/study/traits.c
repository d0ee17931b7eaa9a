/* traits.c - which of a route's questions about a study as a whole are answered.
 *
 * Texts are judged as they come and not kept: a study with a thousand series costs a
 * flag per route and question.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/charset.h"
#include "gateway/dicom/uid.h"
#include "gateway/study/study.h"
#include "gateway/study/study_int.h"

#define FOLD_BYTES 4096

struct study_traits {
	const struct config *cfg;
	unsigned met[];		/* of each route: bits by enum study_trait */
};

static const struct config_strings *
asked(const struct config_route *r, enum study_trait what)
{
	switch (what) {
	case STUDY_SOP_CLASS:
		return &r->sop_class;
	case STUDY_BODY_PART:
		return &r->body_part;
	case STUDY_STATION:
		return &r->station;
	case STUDY_DESCRIPTION:
	case STUDY_TRAITS:
		break;
	}
	return &r->description;
}

unsigned
study_route_asks(const struct config_route *r)
{
	unsigned bits = 0;

	for (unsigned what = 0; what < STUDY_TRAITS; what++)
		bits |= asked(r, (enum study_trait)what)->n > 0 ? 1u << what : 0;
	return bits;
}

unsigned
study_traits_wanted(const struct config *cfg)
{
	unsigned bits = 0;

	for (size_t i = 0; i < cfg->routes.n; i++)
		bits |= study_route_asks(cfg->routes.v[i]);
	return bits;
}

struct study_traits *
study_traits_new(const struct config *cfg)
{
	struct study_traits *t = xcalloc(1, sizeof(*t) +
	    cfg->routes.n * sizeof(t->met[0]));

	t->cfg = cfg;
	return t;
}

void
study_traits_free(struct study_traits *t)
{
	free(t);
}

static bool
match_sop_class(const char *wanted, const char *uid)
{
	return strcmp(wanted, uid) == 0 || dicom_uid_has_keyword(uid, wanted);
}

/* As people write it: neither case nor accents count. */
static bool
match_folded(const char *pattern, const char *text)
{
	struct buf p = BUF_INIT(FOLD_BYTES), t = BUF_INIT(FOLD_BYTES);
	bool ok = dicom_fold(pattern, strlen(pattern), &p) == 0 &&
	    dicom_fold(text, strlen(text), &t) == 0 && p.len > 0 && t.len > 0 &&
	    dicom_glob_match(p.data, t.data);

	buf_free(&p);
	buf_free(&t);
	return ok;
}

static bool
match_text(enum study_trait what, const char *wanted, const char *text)
{
	switch (what) {
	case STUDY_SOP_CLASS:
		return match_sop_class(wanted, text);
	case STUDY_STATION:
		return dicom_glob_match(wanted, text);
	case STUDY_BODY_PART:
	case STUDY_DESCRIPTION:
	case STUDY_TRAITS:
		break;
	}
	return match_folded(wanted, text);
}

void
study_traits_note(struct study_traits *t, enum study_trait what, const char *text)
{
	for (size_t i = 0; i < t->cfg->routes.n && text[0] != '\0'; i++) {
		const struct config_strings *list = asked(t->cfg->routes.v[i], what);

		if (t->met[i] & 1u << what)
			continue;
		for (size_t k = 0; k < list->n; k++) {
			if (match_text(what, list->v[k], text))
				t->met[i] |= 1u << what;
		}
	}
}

bool
study_traits_meet(const struct study_traits *t, const struct config *cfg, size_t route)
{
	unsigned asks = study_route_asks(cfg->routes.v[route]);

	return asks == 0 || (t != NULL && (t->met[route] & asks) == asks);
}
