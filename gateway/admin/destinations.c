/* destinations.c - GET /v1/destinations: those that are configured, as the
 * uploader sees them, and what each is owed, as the spool counts it.
 */
#include <errno.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/clock.h"

struct listing {
	json_t *list;
	int	error;
};

static json_t *
find_named(json_t *list, const char *name)
{
	json_t *d;
	size_t i;

	json_array_foreach(list, i, d)
		if (strcmp(json_string_value(json_object_get(d, "name")), name) == 0)
			return d;
	return NULL;
}

static int
add_uploader(void *arg, const struct upload_destination *d)
{
	struct listing *l = arg;
	json_t *o = json_pack("{s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:o, s:I, s:o,"
	    " s:o, s:o, s:o, s:o}",
	    "name", admin_json_text(d->name), "type", admin_json_text(d->type),
	    "configured", 1, "state", upload_state_name(d->state),
	    "reason", admin_json_text(d->reason), "since", admin_json_time(d->since_ms),
	    "next_try", admin_json_time(d->next_try_ms),
	    "last_success", admin_json_time(d->last_success_ms),
	    "requests_running", (json_int_t)d->in_flight,
	    "bytes_per_second", admin_json_u64(d->bytes_per_second),
	    "delivered_since_start", admin_json_u64(d->delivered),
	    "failures_since_start", admin_json_u64(d->failures),
	    "jobs", admin_json_text(d->jobs), "alarm", admin_json_text(d->alarm));

	if (json_array_append_new(l->list, o) < 0)
		l->error = -ENOMEM;
	return l->error;
}

static int
set_debt(json_t *o, const struct spool_debt *d)
{
	int64_t age = d->oldest_owed_ms == 0 ? 0 :
	    (clock_wall_ms() - d->oldest_owed_ms) / 1000;
	json_t *debt = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:I}",
	    "held", d->held, "owed", admin_json_u64(d->owed),
	    "sent", admin_json_u64(d->sent),
	    "owed_bytes", admin_json_u64(d->owed_bytes),
	    "refused", admin_json_u64(d->refused),
	    "delivered", admin_json_u64(d->delivered),
	    "oldest_owed", admin_json_time(d->oldest_owed_ms),
	    "oldest_owed_age_s", (json_int_t)(age > 0 ? age : 0));
	int r = json_object_update(o, debt);

	json_decref(debt);
	return r < 0 ? -ENOMEM : 0;
}

static int
add_debt(void *arg, const struct spool_debt *d)
{
	struct listing *l = arg;
	json_t *o = find_named(l->list, d->destination);

	if (o == NULL) {
		o = json_pack("{s:o, s:n, s:b, s:s, s:s}",
		    "name", admin_json_text(d->destination), "type",
		    "configured", 0, "state", "unknown", "reason",
		    "no destination of this name is configured");
		if (json_array_append_new(l->list, o) < 0)
			l->error = -ENOMEM;
	}
	if (l->error == 0)
		l->error = set_debt(o, d);
	return l->error;
}

json_t *
admin_destinations_json(struct admin *a, int *ret_r)
{
	static const struct spool_debt nothing = { 0 };
	struct listing l = { .list = json_array() };
	json_t *o;
	size_t i;
	int r;

	r = upload_destinations(a->opt.upload, add_uploader, &l);
	json_array_foreach(l.list, i, o)
		if (r >= 0)
			r = set_debt(o, &nothing);
	if (r >= 0)
		r = spool_debts(a->opt.spool, add_debt, &l);
	if (r < 0) {
		json_decref(l.list);
		*ret_r = r;
		return NULL;
	}
	return l.list;
}

void
admin_get_destinations(struct admin_call *c)
{
	int r = 0;
	json_t *list = admin_destinations_json(c->admin, &r);

	if (list == NULL)
		admin_fail_errno(c, r, "listing destinations");
	else
		admin_reply(c, 200, json_pack("{s:o}", "destinations", list));
}
