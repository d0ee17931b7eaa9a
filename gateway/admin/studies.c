/* studies.c - GET /v1/studies and what is below: which there are, how far each
 * is, and why one is not there yet.
 */
#include <errno.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/clock.h"

static const char *const priority_names[] = {
	[SPOOL_LOW] = "low", [SPOOL_NORMAL] = "normal", [SPOOL_STAT] = "stat",
};

static json_t *
modalities_json(const char *text)
{
	json_t *list = json_array();

	while (*text != '\0') {
		char one[65];
		size_t len = strcspn(text, "\\");
		size_t part = len < sizeof(one) ? len : sizeof(one) - 1;

		memcpy(one, text, part);
		one[part] = '\0';
		if (len > 0)
			(void)json_array_append_new(list, admin_json_text(one));
		text += len + (text[len] == '\\' ? 1 : 0);
	}
	return list;
}

static json_t *
study_counts(const struct spool_study *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "series", admin_json_u64(s->series),
	    "instances", admin_json_u64(s->instances),
	    "bytes", admin_json_u64(s->bytes),
	    "pending", admin_json_u64(s->pending),
	    "unrouted", admin_json_u64(s->unrouted),
	    "kept", admin_json_u64(s->kept), "owed", admin_json_u64(s->owed),
	    "delivered", admin_json_u64(s->delivered),
	    "refused", admin_json_u64(s->refused),
	    "let_go", admin_json_u64(s->let_go));
}

json_t *
admin_study_json(const struct spool_study *s)
{
	json_t *counts = study_counts(s);
	json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:o, s:s, s:s, s:b, s:o, s:o}",
	    "id", admin_json_u64(s->id), "uid", admin_json_text(s->uid),
	    "accession", admin_json_text(s->accession),
	    "patient_id", admin_json_text(s->patient_id),
	    "patient_name", admin_json_text(s->patient_name),
	    "study_date", admin_json_text(s->study_date),
	    "description", admin_json_text(s->description),
	    "modalities", modalities_json(s->modalities),
	    "calling", admin_json_text(s->calling),
	    "called", admin_json_text(s->called),
	    "address", admin_json_text(s->address),
	    "priority", priority_names[s->priority],
	    "state", spool_study_state_name(s->state), "held", s->held,
	    "first_arrival", admin_json_time(s->first_arrival_ms),
	    "last_arrival", admin_json_time(s->last_arrival_ms));

	if (o != NULL)
		(void)json_object_update(o, counts);
	json_decref(counts);
	return o;
}

/* ---- the list ----------------------------------------------------------- */

static bool
read_state(struct admin_call *c, struct spool_filter *f)
{
	const char *text = admin_query(c, "state");
	enum spool_study_state state;

	if (text == NULL)
		return true;
	if (spool_study_state_parse(text, &state) < 0) {
		admin_fail(c, 400, "state: %s is none; there are refused, unrouted, "
		    "held, receiving, owed, delivered and let-go", text);
		return false;
	}
	f->state = (int)state;
	return true;
}

static bool
read_since(struct admin_call *c, struct spool_filter *f)
{
	const char *text = admin_query(c, "since");

	if (text == NULL || admin_since_parse(text, clock_wall_ms(),
	    &f->since_ms) == 0)
		return true;
	admin_fail(c, 400, "since: write 2h, 3d, 2026-11-20 or 2026-11-20T14:00");
	return false;
}

/* ret_ref holds what the filter points to. */
static bool
read_name(struct admin_call *c, struct admin_ref *ret_ref, struct spool_filter *f)
{
	const char *text = admin_query(c, "q");

	if (text == NULL)
		return true;
	if (admin_ref_parse(text, ret_ref) < 0 || ret_ref->kind == ADMIN_REF_ID) {
		admin_fail(c, 400, "q: a Study UID, acc:NUMBER or pid:PATIENT");
		return false;
	}
	if (ret_ref->kind == ADMIN_REF_UID)
		f->uid = ret_ref->text;
	else if (ret_ref->kind == ADMIN_REF_ACCESSION)
		f->accession = ret_ref->text;
	else
		f->patient_id = ret_ref->text;
	return true;
}

struct study_page {
	json_t	*list;
	uint64_t last;
};

static int
add_study(void *arg, const struct spool_study *s)
{
	struct study_page *p = arg;

	p->last = s->id;
	return json_array_append_new(p->list, admin_study_json(s)) < 0 ? -ENOMEM : 0;
}

void
admin_get_studies(struct admin_call *c)
{
	struct spool_filter f = { .state = -1, .calling = admin_query(c, "peer") };
	struct study_page page = { 0 };
	struct admin_ref ref;
	bool full;
	int r;

	if (!read_state(c, &f) || !read_since(c, &f) || !read_name(c, &ref, &f) ||
	    !admin_query_u64(c, "before", 0, &f.before_id) ||
	    !admin_query_limit(c, &f.limit))
		return;
	page.list = json_array();
	r = spool_studies(c->admin->opt.spool, &f, add_study, &page);
	if (r < 0) {
		json_decref(page.list);
		admin_fail_errno(c, r, "listing studies");
		return;
	}
	full = json_array_size(page.list) == f.limit;
	admin_reply(c, 200, json_pack("{s:o, s:o}", "studies", page.list,
	    "next", full ? admin_json_u64(page.last) : json_null()));
}

/* ---- one study ---------------------------------------------------------- */

static int
add_progress(void *arg, const struct spool_progress *p)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "destination", admin_json_text(p->destination),
	    "owed", admin_json_u64(p->owed),
	    "delivered", admin_json_u64(p->delivered),
	    "warned", admin_json_u64(p->warned),
	    "refused", admin_json_u64(p->refused),
	    "let_go", admin_json_u64(p->let_go),
	    "last_reason", admin_json_text(p->last_reason));

	return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

static int
keep_study(void *arg, const struct spool_study *s)
{
	json_t **ret = arg;

	*ret = admin_study_json(s);
	return *ret == NULL ? -ENOMEM : 0;
}

void
admin_get_study(struct admin_call *c)
{
	struct admin *a = c->admin;
	char uid[DICOM_UID_MAX + 1], why[1500] = "";
	json_t *study = NULL, *list;
	uint64_t id;
	int r;

	if (!admin_find_study(c, c->part[0], &id, uid))
		return;
	list = json_array();
	r = spool_study_by_id(a->opt.spool, id, keep_study, &study);
	if (r >= 0)
		r = spool_study_progress(a->opt.spool, id, add_progress, list);
	if (r < 0) {
		json_decref(study);
		json_decref(list);
		admin_fail_errno(c, r, "looking at the study");
		return;
	}
	upload_explain(a->opt.upload, id, why, sizeof(why));
	(void)json_object_set_new(study, "destinations", list);
	(void)json_object_set_new(study, "explanation", admin_json_text(why));
	admin_reply(c, 200, study);
}

/* ---- its instances ------------------------------------------------------ */

struct instance_page {
	struct spool *spool;
	json_t	*list;
	size_t	 limit;
	uint64_t last;
	bool	 more;
};

static int
add_delivery(void *arg, const struct spool_delivery_row *d)
{
	json_t *o = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}",
	    "destination", admin_json_text(d->destination),
	    "state", spool_delivery_name(d->state),
	    "since", admin_json_time(d->since_ms),
	    "reason", admin_json_text(d->reason),
	    "actor", admin_json_text(d->actor),
	    "remote", admin_json_text(d->remote));

	return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

static json_t *
instance_json(const struct spool_instance *in, json_t *deliveries)
{
	return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o,"
	    " s:o, s:b, s:b, s:b, s:b, s:o}",
	    "id", admin_json_u64(in->id), "version", (json_int_t)in->version,
	    "sop_class", admin_json_text(in->sop_class),
	    "sop_instance", admin_json_text(in->sop_instance),
	    "series", admin_json_text(in->series_uid),
	    "transfer_syntax", admin_json_text(in->syntax),
	    "modality", admin_json_text(in->modality),
	    "calling", admin_json_text(in->origin.calling),
	    "called", admin_json_text(in->origin.called),
	    "address", in->origin.address, "bytes", admin_json_u64(in->length),
	    "arrived", admin_json_time(in->arrived_ms), "kept", in->kept,
	    "damaged", in->damaged, "routed", in->routed,
	    "unrouted", in->unrouted, "deliveries", deliveries);
}

static int
add_instance(void *arg, const struct spool_instance *in)
{
	struct instance_page *p = arg;
	json_t *deliveries;
	int r;

	if (json_array_size(p->list) == p->limit) {
		p->more = true;
		return 1;
	}
	deliveries = json_array();
	r = spool_deliveries(p->spool, in->id, add_delivery, deliveries);
	if (r < 0) {
		json_decref(deliveries);
		return r;
	}
	p->last = in->id;
	return json_array_append_new(p->list, instance_json(in, deliveries)) < 0 ?
	    -ENOMEM : 0;
}

void
admin_get_instances(struct admin_call *c)
{
	struct instance_page p = { .spool = c->admin->opt.spool };
	char uid[DICOM_UID_MAX + 1];
	uint64_t after, study;
	int r;

	if (!admin_query_u64(c, "after", 0, &after) ||
	    !admin_query_limit(c, &p.limit) ||
	    !admin_find_study(c, c->part[0], &study, uid))
		return;
	p.list = json_array();
	r = spool_instances(p.spool, study, after, add_instance, &p);
	if (r < 0) {
		json_decref(p.list);
		admin_fail_errno(c, r, "listing instances");
		return;
	}
	admin_reply(c, 200, json_pack("{s:s, s:o, s:o}", "study", uid,
	    "instances", p.list,
	    "next", p.more ? admin_json_u64(p.last) : json_null()));
}
