/* stow_reply.c - what a Store Instances Response says of each instance (PS3.18
 * annex I), in JSON or in XML, whichever the server chose.
 *
 * Status lines of STOW lie, so only this decides. Everything in it is hostile:
 * UIDs are trimmed and bounded, lists may repeat and contradict themselves (a
 * failure wins), instances that were never sent are of no interest to anybody.
 */
#include <errno.h>
#include <string.h>

#include "gateway/destination/stow_int.h"
#include "gateway/dicom/dataset.h"

#define TAG_SOP_INSTANCE   0x00080018u
#define TAG_INSTANCE_UID   0x00081155u	/* Referenced SOP Instance UID */
#define TAG_WARNING_REASON 0x00081196u
#define TAG_FAILURE_REASON 0x00081197u
#define TAG_FAILED	   0x00081198u	/* Failed SOP Sequence */
#define TAG_REFERENCED	   0x00081199u	/* Referenced SOP Sequence */
#define TAG_OTHER_FAILURES 0x0008119au
#define TAG_FAILED_ATTRIBUTES 0x00741048u	/* Azure: what was not valid */
#define TAG_ERROR_COMMENT  0x00000902u
#define ANSWERS_MAX	   65536

/* ---- reasons ------------------------------------------------------------- */

static const struct {
	unsigned       from, to;
	enum stow_said said;
	const char    *words;
} reasons[] = {
	{ 0x0000, 0x0000, STOW_LATER, "it gives no reason" },
	{ 0x0001, 0x0001, STOW_WARNING,
	    "an attribute is not valid, so searches will not find it by that" },
	{ 0x0106, 0x0106, STOW_REFUSED, "invalid attribute value" },
	{ 0x0110, 0x0110, STOW_LATER, "processing failure" },
	{ 0x0111, 0x0111, STOW_EXISTS, "duplicate SOP instance" },
	{ 0x0117, 0x0117, STOW_REFUSED, "invalid SOP instance" },
	{ 0x0122, 0x0122, STOW_REFUSED, "SOP class not supported" },
	{ 0x0124, 0x0124, STOW_REFUSED, "not authorized to store this" },
	{ 0x0213, 0x0213, STOW_LATER, "resource limitation" },
	{ 0xa700, 0xa7ff, STOW_LATER, "out of resources" },
	{ 0xa900, 0xa9ff, STOW_REFUSED,
	    "the data set does not match its SOP class or the study" },
	{ 0xb000, 0xb000, STOW_WARNING, "values were coerced" },
	{ 0xb006, 0xb006, STOW_WARNING, "elements were discarded" },
	{ 0xb007, 0xb007, STOW_WARNING,
	    "the data set does not match its SOP class" },
	/* Azure's own. */
	{ 0xb00e, 0xb00e, STOW_EXISTS, "this instance is already stored" },
	{ 0xb00f, 0xb00f, STOW_LATER, "another request is creating it" },
	{ 0xc122, 0xc122, STOW_REFUSED, "transfer syntax not supported" },
	{ 0xc000, 0xcfff, STOW_REFUSED, "it cannot be understood" },
};

enum stow_said
stow_failure(unsigned code)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (code < reasons[i].from || code > reasons[i].to)
			continue;
		/* In the list of failures a warning has failed. */
		return reasons[i].said == STOW_WARNING ? STOW_REFUSED :
		    reasons[i].said;
	}
	return STOW_REFUSED;
}

const char *
stow_words(unsigned code)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (code >= reasons[i].from && code <= reasons[i].to)
			return reasons[i].words;
	}
	return "a reason that DICOM does not list";
}

/* ---- collecting ---------------------------------------------------------- */

static unsigned
reason_of(const struct dicom_dataset *item, dicom_tag_t tag)
{
	int64_t code;

	if (dicom_dataset_number(item, tag, &code) < 0 || code < 0 ||
	    code > UINT16_MAX)
		return 0;
	return (unsigned)code;
}

/* For people, and from a peer. */
static void
read_comment(const struct dicom_dataset *item, char *ret, size_t size)
{
	const struct dicom_attribute *seq = dicom_dataset_find(item,
	    TAG_FAILED_ATTRIBUTES);
	const struct dicom_dataset *first = seq != NULL &&
	    dicom_attribute_count(seq) > 0 ? dicom_attribute_item(seq, 0) : NULL;
	const char *text = dicom_dataset_text(first != NULL ? first : item,
	    TAG_ERROR_COMMENT);
	size_t n = 0;

	for (; text != NULL && *text != '\0' && n + 1 < size; text++) {
		if ((unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f)
			ret[n++] = *text;
	}
	ret[n] = '\0';
}

static int
add_answer(struct stow_answers *a, const struct dicom_dataset *item,
    enum stow_said said, unsigned code)
{
	const char *uid = dicom_dataset_text(item, TAG_INSTANCE_UID);
	struct stow_answer *answer;

	/* HealthImaging's way in its list of failures, by AWS's own sample. */
	if (uid == NULL)
		uid = dicom_dataset_text(item, TAG_SOP_INSTANCE);

	if (a->n == ANSWERS_MAX)
		return -EMSGSIZE;
	if (a->n % 64 == 0)
		a->v = xreallocarray(a->v, a->n + 64, sizeof(*a->v));
	answer = &a->v[a->n];
	*answer = (struct stow_answer){ .said = said, .code = code };
	if (uid == NULL || dicom_trim(uid, strlen(uid), answer->uid,
		sizeof(answer->uid)) < 0 || answer->uid[0] == '\0') {
		if (said >= STOW_EXISTS) {
			a->others++;
			a->other_code = code;
		}
		return 0;
	}
	read_comment(item, answer->comment, sizeof(answer->comment));
	a->n++;
	return 0;
}

static int
add_failed(struct stow_answers *a, const struct dicom_dataset *item)
{
	unsigned code = reason_of(item, TAG_FAILURE_REASON);

	return add_answer(a, item, stow_failure(code), code);
}

static int
add_stored(struct stow_answers *a, const struct dicom_dataset *item)
{
	unsigned code = reason_of(item, TAG_WARNING_REASON);

	return add_answer(a, item, code != 0 ? STOW_WARNING : STOW_STORED, code);
}

static int
add_other(struct stow_answers *a, const struct dicom_dataset *item)
{
	a->others++;
	a->other_code = reason_of(item, TAG_FAILURE_REASON);
	return 0;
}

static int
collect(struct stow_answers *a, const struct dicom_dataset *set, dicom_tag_t tag,
    int (*add)(struct stow_answers *, const struct dicom_dataset *))
{
	const struct dicom_attribute *seq = dicom_dataset_find(set, tag);
	size_t n = seq != NULL ? dicom_attribute_count(seq) : 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct dicom_dataset *item = dicom_attribute_item(seq, i);

		if (item != NULL)
			r = add(a, item);
	}
	return r;
}

static int
compare_answers(const void *a, const void *b)
{
	const struct stow_answer *x = a, *y = b;
	int order = strcmp(x->uid, y->uid);

	/* Of one UID the worst comes first: a failure wins. */
	return order != 0 ? order : (int)y->said - (int)x->said;
}

static void
sort_answers(struct stow_answers *a)
{
	size_t kept = 0;

	if (a->n == 0)
		return;
	qsort(a->v, a->n, sizeof(*a->v), compare_answers);
	for (size_t i = 1; i < a->n; i++) {
		if (strcmp(a->v[i].uid, a->v[kept].uid) != 0)
			a->v[++kept] = a->v[i];
	}
	a->n = kept + 1;
}

/* ---- reading ------------------------------------------------------------- */

static char
first_char(const char *text, size_t len)
{
	size_t at = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		at = 3;
	while (at < len && strchr(" \t\r\n", text[at]) != NULL &&
	    text[at] != '\0')
		at++;
	return at < len ? text[at] : '\0';
}

static int
parse(const char *content_type, const char *text, size_t len,
    struct dicom_dataset ***ret, size_t *ret_n)
{
	struct dicom_dataset **one;
	char first = first_char(text, len);
	int r;

	/* The text itself is asked first: servers mislabel it. */
	if (first == '{' || first == '[')
		return dicom_json_parse(text, len, ret, ret_n);
	if (first != '<' || strcasestr(content_type, "html") != NULL)
		return -EBADMSG;
	one = xcalloc(1, sizeof(*one));
	r = dicom_xml_parse(text, len, &one[0]);
	if (r < 0) {
		free(one);
		return r;
	}
	*ret = one;
	*ret_n = 1;
	return 0;
}

int
stow_reply_read(const char *content_type, const char *text, size_t len,
    struct stow_answers *ret)
{
	AUTO(stow_answers_free) struct stow_answers a = { 0 };
	struct dicom_dataset **sets;
	size_t n;
	int r;

	r = parse(content_type, text, len, &sets, &n);
	if (r < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = collect(&a, sets[i], TAG_FAILED, add_failed);
		if (r == 0)
			r = collect(&a, sets[i], TAG_REFERENCED, add_stored);
		if (r == 0)
			r = collect(&a, sets[i], TAG_OTHER_FAILURES, add_other);
	}
	dicom_datasets_free(sets, n);
	if (r < 0)
		return -EBADMSG;
	sort_answers(&a);
	*ret = a;
	a = (struct stow_answers){ 0 };
	return 0;
}

void
stow_answers_free(struct stow_answers *a)
{
	free(a->v);
	*a = (struct stow_answers){ 0 };
}

static int
compare_uid(const void *key, const void *answer)
{
	return strcmp(key, ((const struct stow_answer *)answer)->uid);
}

const struct stow_answer *
stow_answers_find(const struct stow_answers *a, const char *uid)
{
	return a->n == 0 ? NULL :
	    bsearch(uid, a->v, a->n, sizeof(*a->v), compare_uid);
}
