/* xml.c - the Native DICOM Model (PS3.19 A.1) in.
 *
 * expat calls, a stack of contexts says what an element means where it stands;
 * what means nothing is passed over with all that is in it. A document type
 * declaration ends the parsing: none belongs here, and without one there are no
 * entities that could grow or reach out.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/dataset_int.h"

/* A nested data set is an Item in a DicomAttribute; names go three deeper. */
#define XML_DEPTH (2 * DICOM_DATASET_DEPTH + 8)

enum context {
	IN_NOTHING,
	IN_MODEL,
	IN_ITEM,
	IN_ATTRIBUTE,
	IN_VALUE,
	IN_NAME,
	IN_GROUP,
	IN_COMPONENT,
	IN_OTHER,	/* not ours, nor is anything inside */
};

static const struct rule {
	enum context in;
	const char  *element;
	enum context becomes;
	unsigned     index;	/* of a name's group or component */
} rules[] = {
	{ IN_NOTHING, "NativeDicomModel", IN_MODEL, 0 },
	{ IN_MODEL, "DicomAttribute", IN_ATTRIBUTE, 0 },
	{ IN_ITEM, "DicomAttribute", IN_ATTRIBUTE, 0 },
	{ IN_ATTRIBUTE, "Item", IN_ITEM, 0 },
	{ IN_ATTRIBUTE, "Value", IN_VALUE, 0 },
	{ IN_ATTRIBUTE, "PersonName", IN_NAME, 0 },
	{ IN_NAME, "Alphabetic", IN_GROUP, 0 },
	{ IN_NAME, "Ideographic", IN_GROUP, 1 },
	{ IN_NAME, "Phonetic", IN_GROUP, 2 },
	{ IN_GROUP, "FamilyName", IN_COMPONENT, 0 },
	{ IN_GROUP, "GivenName", IN_COMPONENT, 1 },
	{ IN_GROUP, "MiddleName", IN_COMPONENT, 2 },
	{ IN_GROUP, "NamePrefix", IN_COMPONENT, 3 },
	{ IN_GROUP, "NameSuffix", IN_COMPONENT, 4 },
};

struct parser {
	XML_Parser expat;
	int	   error;
	unsigned   budget;

	enum context context[XML_DEPTH];
	unsigned     depth;
	unsigned     passed;	/* elements open inside one that is not ours */

	struct dicom_dataset   *root;
	struct dicom_dataset   *set[DICOM_DATASET_DEPTH + 1];
	struct dicom_attribute *attribute[DICOM_DATASET_DEPTH + 1];
	unsigned		sets;

	struct buf text;	/* of a value or a whole name */
	unsigned   groups, components;	/* separators already in text */
};

static void
fail_parse(struct parser *p, int error)
{
	if (p->error == 0)
		p->error = error;
	(void)XML_StopParser(p->expat, XML_FALSE);
}

static void
check(struct parser *p, int r)
{
	if (r < 0)
		fail_parse(p, r);
}

static const char *
find_property(const char **properties, const char *name)
{
	for (; properties[0] != NULL; properties += 2)
		if (strcmp(properties[0], name) == 0)
			return properties[1];
	return NULL;
}

/* Prefixes of name spaces are the writer's choice. */
static const char *
strip_prefix(const char *element)
{
	const char *colon = strrchr(element, ':');

	return colon != NULL ? colon + 1 : element;
}

static struct dicom_attribute *
current_attribute(struct parser *p)
{
	return p->attribute[p->sets - 1];
}

static void
push_set(struct parser *p, struct dicom_dataset *d)
{
	p->set[p->sets] = d;
	p->attribute[p->sets] = NULL;
	p->sets++;
}

static void
begin_item(struct parser *p)
{
	struct dicom_dataset *item;
	int r = dicom_budget_take(&p->budget);

	if (r == 0 && p->sets == DICOM_DATASET_DEPTH)
		r = -EMSGSIZE;
	if (r < 0) {
		fail_parse(p, r);
		return;
	}
	item = dicom_dataset_new();
	r = dicom_attribute_add_item(current_attribute(p), item);
	if (r < 0) {
		dicom_dataset_free(item);
		fail_parse(p, r);
		return;
	}
	push_set(p, item);
}

static void
begin_attribute(struct parser *p, const char **properties)
{
	const char *name = find_property(properties, "tag");
	dicom_tag_t tag;
	int r;

	if (name == NULL)
		name = find_property(properties, "keyword");
	tag = name != NULL ? dicom_dataset_parse_tag(name) : 0;
	if (tag == 0) {
		fail_parse(p, -EBADMSG);
		return;
	}
	r = dicom_budget_take(&p->budget);
	if (r == 0)
		r = dicom_dataset_append(p->set[p->sets - 1], tag,
		    dicom_dataset_parse_vr(find_property(properties, "vr"), tag),
		    &p->attribute[p->sets - 1]);
	check(p, r);
}

/* Values say their number; those left out are empty. */
static void
begin_value(struct parser *p, const char **properties)
{
	struct dicom_attribute *a = current_attribute(p);
	const char *number = find_property(properties, "number");
	unsigned long n = number != NULL ? strtoul(number, NULL, 10) : 0;
	int r = dicom_budget_take(&p->budget);

	while (r == 0 && dicom_attribute_count(a) + 1 < n) {
		r = dicom_budget_take(&p->budget);
		if (r == 0)
			r = dicom_attribute_add_text(a, "", 0);
	}
	check(p, r);
	buf_clear(&p->text);
	p->groups = 0;
	p->components = 0;
}

static void
end_value(struct parser *p)
{
	const char *text = p->text.len > 0 ? p->text.data : "";
	int r = buf_error(&p->text);

	if (r == 0)
		r = dicom_attribute_add_text(current_attribute(p), text,
		    p->text.len);
	check(p, r);
}

/* Separators up to the one before this group, or component of its group; the
 * schema gives them their order. */
static void
add_separators(struct parser *p, unsigned *have, unsigned index, char c)
{
	if (index < *have)
		fail_parse(p, -EBADMSG);
	for (; *have < index; (*have)++)
		(void)buf_add_char(&p->text, c);
}

static void
drop_separators(struct buf *b, char c)
{
	while (b->len > 0 && b->data[b->len - 1] == c)
		b->len--;
}

static void
enter(struct parser *p, const struct rule *rule, const char **properties)
{
	switch (rule->becomes) {
	case IN_MODEL:
		push_set(p, p->root);
		break;
	case IN_ITEM:
		begin_item(p);
		break;
	case IN_ATTRIBUTE:
		begin_attribute(p, properties);
		break;
	case IN_VALUE:
	case IN_NAME:
		begin_value(p, properties);
		break;
	case IN_GROUP:
		add_separators(p, &p->groups, rule->index, '=');
		p->components = 0;
		break;
	case IN_COMPONENT:
		add_separators(p, &p->components, rule->index, '^');
		break;
	case IN_NOTHING:
	case IN_OTHER:
		break;
	}
}

static void
leave(struct parser *p, enum context context)
{
	if (context == IN_ITEM || context == IN_MODEL) {
		p->sets--;
		dicom_dataset_seal(p->set[p->sets]);
	} else if (context == IN_VALUE) {
		end_value(p);
	} else if (context == IN_GROUP) {
		drop_separators(&p->text, '^');
	} else if (context == IN_NAME) {
		drop_separators(&p->text, '=');
		end_value(p);
	}
}

static const struct rule *
find_rule(enum context in, const char *element)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].in == in && strcmp(rules[i].element, element) == 0)
			return &rules[i];
	return NULL;
}

static void XMLCALL
on_start(void *arg, const char *element, const char **properties)
{
	struct parser *p = arg;
	enum context in = p->depth > 0 ? p->context[p->depth - 1] : IN_NOTHING;
	const struct rule *rule;

	if (p->error != 0)
		return;
	if (p->depth + p->passed == XML_DEPTH) {
		fail_parse(p, -EMSGSIZE);
		return;
	}
	if (p->passed > 0) {
		p->passed++;
		return;
	}
	rule = find_rule(in, strip_prefix(element));
	if (rule == NULL && in == IN_NOTHING) {
		fail_parse(p, -EBADMSG);
		return;
	}
	if (rule == NULL) {
		p->passed = 1;
		return;
	}
	p->context[p->depth++] = rule->becomes;
	enter(p, rule, properties);
}

static void XMLCALL
on_end(void *arg, const char *element)
{
	struct parser *p = arg;

	(void)element;
	if (p->error != 0)
		return;
	if (p->passed > 0)
		p->passed--;
	else
		leave(p, p->context[--p->depth]);
}

static void XMLCALL
on_text(void *arg, const char *text, int len)
{
	struct parser *p = arg;
	enum context in = p->depth > 0 ? p->context[p->depth - 1] : IN_NOTHING;

	if (p->error != 0 || p->passed > 0)
		return;
	if (in == IN_VALUE || in == IN_COMPONENT)
		check(p, buf_add(&p->text, text, (size_t)len));
}

static void XMLCALL
on_doctype(void *arg, const char *name, const char *system_id,
    const char *public_id, int has_internal_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	fail_parse(arg, -EBADMSG);
}

static int
run_parser(struct parser *p, const char *text, size_t len)
{
	enum XML_Status status;

	XML_SetUserData(p->expat, p);
	XML_SetElementHandler(p->expat, on_start, on_end);
	XML_SetCharacterDataHandler(p->expat, on_text);
	XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
	status = XML_Parse(p->expat, text, (int)len, XML_TRUE);
	if (p->error != 0)
		return p->error;
	if (status == XML_STATUS_OK)
		return 0;
	return XML_GetErrorCode(p->expat) == XML_ERROR_NO_MEMORY ? -ENOMEM :
	    -EBADMSG;
}

int
dicom_xml_parse(const char *text, size_t len, struct dicom_dataset **ret)
{
	struct parser p = {
		.budget = DICOM_DATASET_ELEMENTS,
		.text = BUF_INIT(DICOM_DATASET_BYTES),
	};
	int r;

	if (len > DICOM_DATASET_BYTES)
		return -EMSGSIZE;
	p.expat = XML_ParserCreate(NULL);
	if (p.expat == NULL)
		return -ENOMEM;
	p.root = dicom_dataset_new();
	r = run_parser(&p, text, len);
	XML_ParserFree(p.expat);
	buf_free(&p.text);
	if (r < 0) {
		dicom_dataset_free(p.root);
		return r;
	}
	*ret = p.root;
	return 0;
}
