/* verify.c - POST /v1/studies/REF/verify: is the exam complete up there (rule 36)?
 * Each destination is asked what it holds of the study; with `bytes` each image is
 * read back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/admin/tally_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"

struct verify {
	uint64_t study;
	char	 uid[DICOM_UID_MAX + 1];
	char	 only[ADMIN_TEXT_MAX];	/* one destination, or "" */
	bool	 bytes;
};

static json_t *
counts_json(const char *name, const struct tally_counts *c, json_t *problems)
{
	return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:O}",
	    "name", admin_json_text(name), "complete", tally_complete(c),
	    "expected", admin_json_u64(c->expected),
	    "found", admin_json_u64(c->found),
	    "different", admin_json_u64(c->different),
	    "missing", admin_json_u64(c->missing),
	    "unknown", admin_json_u64(c->unknown),
	    "waiting", admin_json_u64(c->waiting),
	    "refused", admin_json_u64(c->refused),
	    "let_go", admin_json_u64(c->let_go),
	    "reason", admin_json_text(c->reason), "instances", problems);
}

static int
verify_at(struct admin_errand *e, const struct verify *v, const char *name,
    const struct tally_entries *l, json_t *list)
{
	struct tally_counts c = { 0 };
	json_t *problems = json_array();
	int r = tally_study(e, name, l, v->bytes, &c, problems);

	if (r == 0 && c.expected + c.waiting + c.refused + c.let_go > 0)
		(void)json_array_append_new(list, counts_json(name, &c, problems));
	json_decref(problems);
	return r == -ENOENT ? 0 : r;
}

static bool
all_complete(const json_t *list)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d) {
		if (!json_is_true(json_object_get(d, "complete")))
			return false;
	}
	return json_array_size(list) > 0;
}

static int
verify_everywhere(struct admin_errand *e, const struct verify *v,
    const struct tally_entries *l, json_t *list)
{
	const struct admin_options *opt = admin_errand_options(e);
	const struct config *cfg = opt->config(opt->arg);
	int r = 0;

	for (size_t i = 0; i < cfg->destinations.n && r == 0; i++) {
		const struct config_destination *d = cfg->destinations.v[i];

		if (v->only[0] == '\0' || strcmp(v->only, d->name) == 0)
			r = verify_at(e, v, d->name, l, list);
	}
	config_unref(cfg);
	return r;
}

static json_t *
run_verify(struct admin_errand *e, void *arg, int *ret_status)
{
	const struct verify *v = arg;
	struct tally_entries l = { 0 };
	json_t *list = json_array(), *reply = NULL;
	int r;

	r = tally_list(admin_errand_options(e)->spool, v->study, &l);
	if (r == 0)
		r = verify_everywhere(e, v, &l, list);
	tally_list_free(&l);
	if (r < 0)
		reply = admin_errand_fail(ret_status, 500, strerror(-r));
	else
		reply = json_pack("{s:o, s:b, s:b, s:O}",
		    "study", admin_json_text(v->uid), "bytes", v->bytes,
		    "complete", all_complete(list), "destinations", list);
	log_info("command", LOG_STR("verb", "verify"),
	    LOG_STR("actor", admin_errand_actor(e)), LOG_STR("study", v->uid),
	    LOG_STR("result", r < 0 ? strerror(-r) :
	    all_complete(list) ? "complete" : "not complete"));
	json_decref(list);
	return reply;
}

void
admin_post_verify(struct admin_call *c)
{
	struct verify *v = xcalloc(1, sizeof(*v));
	const char *only = NULL;

	if (!admin_body_text(c, "destination", &only) ||
	    !admin_body_bool(c, "bytes", &v->bytes) ||
	    !admin_find_study(c, c->part[0], &v->study, v->uid)) {
		free(v);
		return;
	}
	if (only != NULL)
		(void)snprintf(v->only, sizeof(v->only), "%s", only);
	admin_errand_run(c, run_verify, NULL, v);
}
