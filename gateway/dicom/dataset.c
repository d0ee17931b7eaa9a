/* dataset.c - a small data set in memory: attributes in order of their tags,
 * each with values as text, or with items.
 */
#include "gateway/dicom/dataset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/dataset_int.h"

struct dicom_dataset {
	struct dicom_attribute **attr;	/* pointers, so that they stay valid */
	size_t n, size;
};

int
dicom_budget_take(unsigned *budget)
{
	if (*budget == 0)
		return -EMSGSIZE;
	(*budget)--;
	return 0;
}

/* Room for one more pointer in *array. */
static int
grow_pointers(void *array, size_t n, size_t *size)
{
	void **p;
	size_t want = n == 0 ? 1 : n * 2;

	if (n < *size)
		return 0;
	p = reallocarray(*(void **)array, want, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*(void **)array = p;
	*size = want;
	return 0;
}

static void
free_attribute(struct dicom_attribute *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->n && a->text != NULL; i++)
		free(a->text[i]);
	for (size_t i = 0; i < a->n && a->item != NULL; i++)
		dicom_dataset_free(a->item[i]);
	free(a->text);
	free(a->item);
	free(a);
}
DEFINE_CLEANUP(struct dicom_attribute, free_attribute)

struct dicom_dataset *
dicom_dataset_new(void)
{
	return xcalloc(1, sizeof(struct dicom_dataset));
}

void
dicom_dataset_free(struct dicom_dataset *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		free_attribute(d->attr[i]);
	free(d->attr);
	free(d);
}

void
dicom_datasets_free(struct dicom_dataset **sets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dicom_dataset_free(sets[i]);
	free(sets);
}

/* --- what the parsers share ------------------------------------------------ */

uint16_t
dicom_dataset_default_vr(dicom_tag_t tag)
{
	uint16_t vr = dicom_dict_vr(tag);

	if (vr == DICOM_VR_US_SS)
		return DICOM_VR('U', 'S');
	if (vr == DICOM_VR_US_SS_OW || vr == DICOM_VR_OB_OW)
		return DICOM_VR('O', 'W');
	return vr;
}

uint16_t
dicom_dataset_parse_vr(const char *vr, dicom_tag_t tag)
{
	if (vr != NULL && strlen(vr) == 2 && dicom_vr_known(DICOM_VR(vr[0], vr[1])))
		return DICOM_VR(vr[0], vr[1]);
	return dicom_dataset_default_vr(tag);
}

dicom_tag_t
dicom_dataset_parse_tag(const char *key)
{
	if (strlen(key) == 8 && strspn(key, "0123456789abcdefABCDEF") == 8)
		return (dicom_tag_t)strtoul(key, NULL, 16);
	return dicom_dict_tag(key);
}

int
dicom_dataset_append(struct dicom_dataset *d, dicom_tag_t tag, uint16_t vr,
    struct dicom_attribute **ret)
{
	int r = grow_pointers(&d->attr, d->n, &d->size);
	struct dicom_attribute *a;

	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	a->tag = tag;
	a->vr = vr;
	a->order = d->n;
	d->attr[d->n++] = a;
	*ret = a;
	return 0;
}

static int
compare_attributes(const void *pa, const void *pb)
{
	const struct dicom_attribute *a = *(struct dicom_attribute *const *)pa;
	const struct dicom_attribute *b = *(struct dicom_attribute *const *)pb;

	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

void
dicom_dataset_seal(struct dicom_dataset *d)
{
	size_t n = 0;

	if (d->n == 0)
		return;
	qsort(d->attr, d->n, sizeof(d->attr[0]), compare_attributes);
	for (size_t i = 0; i < d->n; i++) {
		if (n > 0 && d->attr[n - 1]->tag == d->attr[i]->tag)
			free_attribute(d->attr[--n]);
		d->attr[n++] = d->attr[i];
	}
	d->n = n;
}

static bool
keeps_spaces(uint16_t vr)
{
	return vr == DICOM_VR('L', 'T') || vr == DICOM_VR('S', 'T') ||
	    vr == DICOM_VR('U', 'T');
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int
dicom_attribute_add_text(struct dicom_attribute *a, const char *text,
    size_t len)
{
	char *copy;
	int r;

	if (a->vr == DICOM_VR_SQ)
		return -EBADMSG;
	len = strnlen(text, len);
	if (!keeps_spaces(a->vr)) {
		for (; len > 0 && is_space(text[len - 1]); len--)
			;
		for (; len > 0 && is_space(text[0]); text++)
			len--;
	}
	r = grow_pointers(&a->text, a->n, &a->size);
	if (r < 0)
		return r;
	copy = strndup(text, len);
	if (copy == NULL)
		return -ENOMEM;
	a->text[a->n++] = copy;
	return 0;
}

int
dicom_attribute_add_item(struct dicom_attribute *a, struct dicom_dataset *item)
{
	int r;

	if (a->vr != DICOM_VR_SQ && (a->vr != DICOM_VR_UN || a->n > 0))
		return -EBADMSG;
	r = grow_pointers(&a->item, a->n, &a->size);
	if (r < 0)
		return r;
	a->vr = DICOM_VR_SQ;
	a->item[a->n++] = item;
	return 0;
}

/* --- reading --------------------------------------------------------------- */

/* The place of tag, or where it would be put in. */
static size_t
search_tag(const struct dicom_dataset *d, dicom_tag_t tag)
{
	size_t low = 0, high = d->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (d->attr[middle]->tag < tag)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct dicom_attribute *
dicom_dataset_find(const struct dicom_dataset *d, dicom_tag_t tag)
{
	size_t i = search_tag(d, tag);

	return i < d->n && d->attr[i]->tag == tag ? d->attr[i] : NULL;
}

const struct dicom_attribute *
dicom_dataset_at(const struct dicom_dataset *d, size_t i)
{
	return i < d->n ? d->attr[i] : NULL;
}

dicom_tag_t
dicom_attribute_tag(const struct dicom_attribute *a)
{
	return a->tag;
}

uint16_t
dicom_attribute_vr(const struct dicom_attribute *a)
{
	return a->vr;
}

size_t
dicom_attribute_count(const struct dicom_attribute *a)
{
	return a->n;
}

const char *
dicom_attribute_text(const struct dicom_attribute *a, size_t i)
{
	return a->text != NULL && i < a->n ? a->text[i] : NULL;
}

const struct dicom_dataset *
dicom_attribute_item(const struct dicom_attribute *a, size_t i)
{
	return a->item != NULL && i < a->n ? a->item[i] : NULL;
}

const char *
dicom_dataset_text(const struct dicom_dataset *d, dicom_tag_t tag)
{
	const struct dicom_attribute *a = dicom_dataset_find(d, tag);

	return a != NULL ? dicom_attribute_text(a, 0) : NULL;
}

int
dicom_dataset_number(const struct dicom_dataset *d, dicom_tag_t tag,
    int64_t *ret)
{
	const char *text = dicom_dataset_text(d, tag);
	char *end;
	long long v;

	if (text == NULL || text[0] == '\0')
		return -ENOENT;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* --- writing --------------------------------------------------------------- */

/* In place of the one with the same tag, which is freed. */
static int
put_attribute(struct dicom_dataset *d, struct dicom_attribute **a)
{
	size_t i = search_tag(d, (*a)->tag);
	int r;

	if (i < d->n && d->attr[i]->tag == (*a)->tag) {
		free_attribute(d->attr[i]);
		d->attr[i] = TAKE_PTR(*a);
		return 0;
	}
	r = grow_pointers(&d->attr, d->n, &d->size);
	if (r < 0)
		return r;
	memmove(d->attr + i + 1, d->attr + i, (d->n - i) * sizeof(d->attr[0]));
	d->attr[i] = TAKE_PTR(*a);
	d->n++;
	return 0;
}

int
dicom_dataset_set(struct dicom_dataset *d, dicom_tag_t tag, uint16_t vr,
    const char *const *values, size_t n)
{
	AUTO(cleanup_free_attribute) struct dicom_attribute *a = NULL;
	int r = 0;

	a = xcalloc(1, sizeof(*a));
	a->tag = tag;
	a->vr = vr != DICOM_VR_NONE ? vr : dicom_dataset_default_vr(tag);
	assert(a->vr != DICOM_VR_SQ || n == 0);
	for (size_t i = 0; i < n && r == 0; i++) {
		const char *v = values[i] != NULL ? values[i] : "";

		r = dicom_attribute_add_text(a, v, strlen(v));
	}
	return r < 0 ? r : put_attribute(d, &a);
}

int
dicom_dataset_add_item(struct dicom_dataset *d, dicom_tag_t tag,
    struct dicom_dataset *item)
{
	size_t i = search_tag(d, tag);
	int r;

	if (i == d->n || d->attr[i]->tag != tag) {
		r = dicom_dataset_set(d, tag, DICOM_VR_SQ, NULL, 0);
		if (r < 0)
			return r;
	}
	assert(d->attr[i]->vr == DICOM_VR_SQ);
	return dicom_attribute_add_item(d->attr[i], item);
}
