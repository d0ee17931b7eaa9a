/* stow_verify.c - what a DICOMweb server shows of a study (rule 36): the instances
 * of each series by QIDO-RS, page by page to the end, or each instance read back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/stow_int.h"
#include "gateway/dicom/dataset.h"

#define TAG_SOP_INSTANCE 0x00080018u
#define QUERY_MS	 120000
#define PAGE_REPLY_MAX	 (32u << 20)
#define PAGES_MAX	 5000		/* a server that never comes to an end */

/* ---- one series ---------------------------------------------------------- */

struct series {
	struct stow		  *stow;
	struct destination_look	 **looks;	/* sorted by UID */
	size_t			   n;
	struct destination_result *ret;
	char			  *path;
	uint64_t		   offset;
	size_t			   rows;	/* of the last page */
	char			   first[DICOM_UID_MAX + 1];	/* on it */
	bool			   same;	/* as on the page before */
};

static int
compare_to_look(const void *uid, const void *look)
{
	const struct destination_look *const *l = look;

	return strcmp(uid, (*l)->in.sop_instance);
}

static void
note_there(struct series *s, const char *uid)
{
	struct destination_look **found = bsearch(uid, s->looks, s->n,
	    sizeof(struct destination_look *), compare_to_look);

	if (found != NULL)
		(*found)->presence = DESTINATION_THERE;
}

static void
note_first(struct series *s, const char *uid)
{
	s->same = strcmp(s->first, uid) == 0;
	(void)snprintf(s->first, sizeof(s->first), "%s", uid);
}

static int
take_page(struct series *s, const struct http_reply *r)
{
	struct dicom_dataset **sets;
	size_t n;

	s->rows = 0;
	if (r->status == 204 || r->body.len == 0)
		return 0;
	if (dicom_json_parse(r->body.data, r->body.len, &sets, &n) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		const char *uid = dicom_dataset_text(sets[i], TAG_SOP_INSTANCE);
		char trimmed[DICOM_UID_MAX + 1];

		if (uid == NULL || dicom_trim(uid, strlen(uid), trimmed,
			sizeof(trimmed)) < 0)
			continue;
		if (i == 0)
			note_first(s, trimmed);
		note_there(s, trimmed);
	}
	s->rows = n;
	dicom_datasets_free(sets, n);
	return 0;
}

/* A server that passes over `offset` says the same again. */
static bool
ask_page(struct series *s, bool *ret_more)
{
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO_FREE char *path = xasprintf("%s/instances?limit=%u&offset=%" PRIu64,
	    s->path, s->stow->flavor->page, s->offset);
	struct http_request req = {
		.method = "GET",
		.path = path,
		.accept = "application/dicom+json",
		.reply_max = PAGE_REPLY_MAX,
		.deadline_ms = clock_mono_ms() + QUERY_MS,
	};

	*ret_more = false;
	(void)http_call(s->stow->http, &req, &reply);
	if (reply.outcome == HTTP_ANSWERED && reply.status == 404)
		return true;		/* it knows no such study */
	if (reply.outcome != HTTP_ANSWERED || reply.status < 200 ||
	    reply.status > 299) {
		stow_health(&reply, s->ret);
		return false;
	}
	if (take_page(s, &reply) < 0) {
		s->ret->health = DESTINATION_FAILED;
		(void)snprintf(s->ret->reason, sizeof(s->ret->reason),
		    "its answer to a query cannot be understood");
		return false;
	}
	s->offset += s->rows;
	*ret_more = s->rows > 0 && !s->same;
	return true;
}

static void
ask_series(struct series *s)
{
	bool more = true, answered = true;

	if (stow_series_path(&s->looks[0]->in, &s->path) < 0)
		return;
	for (unsigned page = 0; more && answered && page < PAGES_MAX; page++)
		answered = ask_page(s, &more);
	for (size_t i = 0; i < s->n; i++) {
		if (s->looks[i]->presence == DESTINATION_UNKNOWN && answered)
			s->looks[i]->presence = DESTINATION_MISSING;
	}
	free(s->path);
}

/* ---- a study ------------------------------------------------------------- */

static int
compare_looks(const void *a, const void *b)
{
	const struct destination_look *const *x = a, *const *y = b;
	int order = strcmp((*x)->in.series_uid, (*y)->in.series_uid);

	return order != 0 ? order :
	    strcmp((*x)->in.sop_instance, (*y)->in.sop_instance);
}

static void
list_instances(struct stow *stow, struct destination_look **sorted, size_t n,
    struct destination_result *ret)
{
	size_t i = 0;

	while (i < n && ret->health == DESTINATION_UP) {
		struct series s = { .stow = stow, .looks = sorted + i, .ret = ret };

		while (i + s.n < n && strcmp(sorted[i + s.n]->in.series_uid,
			sorted[i]->in.series_uid) == 0)
			s.n++;
		ask_series(&s);
		i += s.n;
	}
}

static void
compare_bytes(struct stow *stow, struct destination_look *look,
    struct destination_result *ret)
{
	struct destination_item item = { .in = look->in };

	switch (stow_read_back(stow, &item, ret)) {
	case STOW_EQUAL:
		look->presence = DESTINATION_EQUAL;
		break;
	case STOW_ABSENT:
		look->presence = DESTINATION_MISSING;
		break;
	case STOW_DIFFERENT:
		look->presence = DESTINATION_DIFFERENT;
		break;
	case STOW_TRANSCODED:
		stow_settle(&item, DESTINATION_RETRY, "it is there, in another form "
		    "that cannot be compared");
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
	(void)snprintf(look->reason, sizeof(look->reason), "%s", item.reason);
}

void
stow_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret)
{
	AUTO_FREE struct destination_look **sorted = xcalloc(n + 1,
	    sizeof(struct destination_look *));

	for (size_t i = 0; i < n; i++)
		sorted[i] = &looks[i];
	qsort(sorted, n, sizeof(struct destination_look *), compare_looks);
	if (!bytes)
		list_instances(self, sorted, n, ret);
	for (size_t i = 0; bytes && i < n && ret->health == DESTINATION_UP; i++)
		compare_bytes(self, &looks[i], ret);
}

int
stow_remove(void *self, const struct spool_instance *in,
    struct destination_result *ret)
{
	struct stow *stow = self;

	if (stow->flavor->delete == NULL)
		return -ENOTSUP;
	switch (stow->flavor->delete(stow, in, ret)) {
	case STOW_DELETED:
		return 0;
	case STOW_CANNOT:
		return -ENOTSUP;
	case STOW_UNSURE:
		break;
	}
	return -EIO;
}
