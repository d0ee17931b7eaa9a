/* ref.c - how callers name a study (rule 35), and how they say since when. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"

static int
parse_number(const char *s, uint64_t *ret)
{
	uintmax_t n;
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoumax(s, &end, 10);
	if (errno != 0 || *end != '\0' || n == 0 || n > INT64_MAX)
		return -EINVAL;
	*ret = n;
	return 0;
}

int
admin_ref_parse(const char *s, struct admin_ref *ret)
{
	static const struct { const char *prefix; int kind; } kinds[] = {
		{ "acc:", ADMIN_REF_ACCESSION }, { "pid:", ADMIN_REF_PATIENT },
		{ "id:", ADMIN_REF_ID },
	};
	struct admin_ref ref = { .kind = ADMIN_REF_UID };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(s, kinds[i].prefix, len) != 0)
			continue;
		ref.kind = (__typeof__(ref.kind))kinds[i].kind;
		s += len;
		break;
	}
	if (s[0] == '\0' || strlen(s) >= sizeof(ref.text))
		return -EINVAL;
	if (ref.kind == ADMIN_REF_UID && !dicom_uid_tolerable(s))
		return -EINVAL;
	if (ref.kind == ADMIN_REF_ID && parse_number(s, &ref.id) < 0)
		return -EINVAL;
	memcpy(ref.text, s, strlen(s) + 1);
	*ret = ref;
	return 0;
}

/* ---- one study ---------------------------------------------------------- */

struct found {
	uint64_t id;
	char	 uid[DICOM_UID_MAX + 1];
	json_t	*list;
};

static int
add_found(void *arg, const struct spool_study *s)
{
	struct found *f = arg;

	f->id = s->id;
	(void)snprintf(f->uid, sizeof(f->uid), "%s", s->uid);
	return json_array_append_new(f->list, admin_study_json(s)) < 0 ? -ENOMEM : 0;
}

static int
look_up(struct admin_call *c, const struct admin_ref *ref, struct found *f)
{
	struct spool_filter filter = { .state = -1, .limit = ADMIN_PAGE };
	int r;

	if (ref->kind == ADMIN_REF_ID) {
		r = spool_study_by_id(c->admin->opt.spool, ref->id, add_found, f);
		return r == -ENOENT ? 0 : r;
	}
	if (ref->kind == ADMIN_REF_UID)
		filter.uid = ref->text;
	else if (ref->kind == ADMIN_REF_ACCESSION)
		filter.accession = ref->text;
	else
		filter.patient_id = ref->text;
	return spool_studies(c->admin->opt.spool, &filter, add_found, f);
}

static void
fail_not_found(struct admin_call *c, const struct admin_ref *ref)
{
	switch (ref->kind) {
	case ADMIN_REF_ACCESSION:
		admin_fail(c, 404, "no study has accession number %s", ref->text);
		break;
	case ADMIN_REF_PATIENT:
		admin_fail(c, 404, "no study has patient ID %s", ref->text);
		break;
	case ADMIN_REF_ID:
		admin_fail(c, 404, "no study has our number %s", ref->text);
		break;
	case ADMIN_REF_UID:
		admin_fail(c, 404, dicom_uid_ok(ref->text) ?
		    "no study has UID %s" :
		    "no study has UID %s; an accession number is written acc:NUMBER",
		    ref->text);
		break;
	}
}

bool
admin_find_study(struct admin_call *c, const char *text, uint64_t *ret_id,
    char uid[DICOM_UID_MAX + 1])
{
	struct found f = { .list = json_array() };
	struct admin_ref ref;
	size_t n;
	int r;

	if (admin_ref_parse(text, &ref) < 0) {
		json_decref(f.list);
		admin_fail(c, 400, "a study is named by its UID, acc:NUMBER, "
		    "pid:PATIENT or id:N");
		return false;
	}
	r = look_up(c, &ref, &f);
	n = json_array_size(f.list);
	if (r == 0 && n > 1) {
		admin_reply(c, 409, json_pack("{s:s,s:o}", "error",
		    "several studies match: name one by its UID or id:N",
		    "studies", f.list));
		return false;
	}
	json_decref(f.list);
	if (r < 0)
		admin_fail_errno(c, r, "looking for the study");
	else if (n == 0)
		fail_not_found(c, &ref);
	if (r < 0 || n == 0)
		return false;
	*ret_id = f.id;
	memcpy(uid, f.uid, sizeof(f.uid));
	return true;
}

/* ---- since when --------------------------------------------------------- */

static int
parse_ago(const char *s, int64_t *ret_ms)
{
	static const struct { const char *unit; int64_t ms; } units[] = {
		{ "s", 1000 }, { "min", 60000 }, { "h", 3600000 },
		{ "d", 86400000 }, { "w", 7 * 86400000ll },
	};
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)s[0]))
		return -EINVAL;
	n = strtoul(s, &end, 10);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(end, units[i].unit) == 0 && n < 1000000) {
			*ret_ms = (int64_t)n * units[i].ms;
			return 0;
		}
	return -EINVAL;
}

static int
parse_date(const char *s, int64_t *ret_ms)
{
	static const char *const forms[] = {
		"%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d",
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(s, forms[i], &tm);
		long offset = tm.tm_gmtoff;
		time_t t;

		if (end == NULL || *end != '\0' || tm.tm_year < 70)
			continue;
		t = strchr(forms[i], 'z') != NULL ? timegm(&tm) - offset :
		    mktime(&tm);
		*ret_ms = (int64_t)t * 1000;
		return 0;
	}
	return -EINVAL;
}

int
admin_since_parse(const char *s, int64_t now_ms, int64_t *ret_ms)
{
	int64_t ms;

	if (parse_ago(s, &ms) == 0) {
		*ret_ms = now_ms > ms ? now_ms - ms : 1;
		return 0;
	}
	return parse_date(s, ret_ms);
}
