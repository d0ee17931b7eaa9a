/* status.c - GET /v1/status, /v1/version, /v1/metrics and POST /v1/reload: is
 * the gateway well, and if not, what is wrong, in words.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/http/http.h"

#define REFUSED_SHOWN 20
#define DAY_MS	      86400000ll
#define PROBLEMS_MAX  (256 * 1024)

void
admin_get_version(struct admin_call *c)
{
	admin_reply(c, 200, json_pack("{s:s, s:s}", "program", "causewayd",
	    "version", CAUSEWAY_VERSION));
}

void
admin_get_metrics(struct admin_call *c)
{
	json_t *o = json_object();

	for (int m = 0; m < METRIC_COUNT; m++) {
		char name[80];

		(void)snprintf(name, sizeof(name), "causeway_%s",
		    metric_name((enum metric)m));
		(void)json_object_set_new(o, name,
		    admin_json_u64(metric_get((enum metric)m)));
	}
	admin_reply(c, 200, o);
}

/* ---- the spool ---------------------------------------------------------- */

struct spool_words { const char *state, *words; };

static struct spool_words
describe_spool(const struct spool_stats *s)
{
	if (s->suspect)
		return (struct spool_words){ "failed", "the disk failed: nothing is "
		    "promised any more, the daemon starts anew" };
	if (s->space == SPOOL_SPACE_OUT)
		return (struct spool_words){ "full", "less than spool.reserve is "
		    "free: images are refused until there is room" };
	if (s->space == SPOOL_SPACE_LOW)
		return (struct spool_words){ "low", "less than twice spool.reserve "
		    "is free: new associations are turned away" };
	if (s->rebuilding)
		return (struct spool_words){ "rebuilding", "the index is being "
		    "rebuilt from the images; receiving goes on" };
	return (struct spool_words){ "good", "good" };
}

static json_t *
spool_json(const struct spool_stats *s, const struct config *cfg)
{
	struct spool_words w = describe_spool(s);

	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:o, s:o, s:b, s:o, s:o, s:o}",
	    "state", w.state, "words", w.words,
	    "directory", admin_json_text(cfg->spool->directory),
	    "disk_free", admin_json_u64(s->disk_free),
	    "disk_size", admin_json_u64(s->disk_size),
	    "reserve", admin_json_u64(cfg->spool->reserve),
	    "studies", admin_json_u64(s->studies),
	    "instances", admin_json_u64(s->instances),
	    "bytes", admin_json_u64(s->bytes),
	    "kept_bytes", admin_json_u64(s->kept_bytes),
	    "pending", admin_json_u64(s->pending),
	    "unrouted", admin_json_u64(s->unrouted),
	    "damaged", admin_json_u64(s->damaged),
	    "rebuilding", s->rebuilding, "rebuilt", admin_json_u64(s->rebuilt),
	    "segments", admin_json_u64(s->segments),
	    "segments_free", admin_json_u64(s->segments_free));
}

/* ---- warnings ----------------------------------------------------------- */

static void
add_warning(void *arg, const char *text)
{
	(void)json_array_append_new(arg, admin_json_text(text));
}

static void
warn_count(json_t *list, uint64_t n, const char *one, const char *many)
{
	char text[240];

	if (n == 0)
		return;
	(void)snprintf(text, sizeof(text), "%llu %s", (unsigned long long)n,
	    n == 1 ? one : many);
	add_warning(list, text);
}

static void
warn_destination(json_t *list, const json_t *d)
{
	const char *name = json_string_value(json_object_get(d, "name"));
	const char *state = json_string_value(json_object_get(d, "state"));
	const char *reason = json_string_value(json_object_get(d, "reason"));
	const char *alarm = json_string_value(json_object_get(d, "alarm"));
	json_int_t refused = json_integer_value(json_object_get(d, "refused"));
	char text[800];

	if (strcmp(state, upload_state_name(UPLOAD_DOWN)) == 0 ||
	    strcmp(state, "unknown") == 0) {
		(void)snprintf(text, sizeof(text), "destination %s: %s: %s", name,
		    state, reason);
		add_warning(list, text);
	}
	if (alarm != NULL && alarm[0] != '\0') {
		(void)snprintf(text, sizeof(text), "destination %s: %s", name, alarm);
		add_warning(list, text);
	}
	if (refused > 0) {
		(void)snprintf(text, sizeof(text), "destination %s: %lld %s set "
		    "aside; causewayctl studies --state refused lists them", name,
		    (long long)refused, refused == 1 ? "image was" : "images were");
		add_warning(list, text);
	}
}

static json_t *
warnings_json(const struct admin *a, const struct config *cfg,
    const struct spool_stats *s, const json_t *destinations)
{
	json_t *list = json_array(), *d;
	char text[320];
	size_t i;

	admin_config_warnings(cfg, add_warning, list);
	if (s->suspect || s->space != SPOOL_SPACE_GOOD || s->rebuilding)
		add_warning(list, describe_spool(s).words);
	warn_count(list, s->unrouted,
	    "image has nowhere to go; causewayctl studies --state unrouted",
	    "images have nowhere to go; causewayctl studies --state unrouted");
	warn_count(list, s->damaged,
	    "image was damaged on this disk; the log names it",
	    "images were damaged on this disk; the log names them");
	json_array_foreach(destinations, i, d)
		warn_destination(list, d);
	if (http_clock_fault(text, sizeof(text)))
		add_warning(list, text);
	if (admin_reconcile_warning(a, text, sizeof(text)))
		add_warning(list, text);
	return list;
}

/* ---- status ------------------------------------------------------------- */

static json_t *
refused_json(struct admin *a)
{
	int64_t since = clock_wall_ms() - ADMIN_CALLERS_DAYS * DAY_MS;
	struct admin_callers callers;
	json_t *list = json_array();

	if (admin_callers_get(a, &callers) < 0)
		return list;
	for (size_t i = 0; i < callers.n; i++) {
		const struct dimse_caller *c = &callers.v[i];

		if (c->refused > 0 && c->last_ms >= since &&
		    json_array_size(list) < REFUSED_SHOWN)
			(void)json_array_append_new(list, admin_caller_json(c));
	}
	admin_callers_free(&callers);
	return list;
}

static json_t *
associations_json(struct admin *a, const struct config *cfg)
{
	struct assoc_server_stats s;

	assoc_server_stats(a->opt.associations, &s);
	return json_pack("{s:I, s:I, s:I, s:o}", "running",
	    (json_int_t)s.associations, "waiting", (json_int_t)s.waiting,
	    "handshaking", (json_int_t)s.handshaking,
	    "max", admin_json_u64(cfg->gateway->max_associations));
}

static json_t *
status_json(struct admin *a, const struct config *cfg, int *ret_r)
{
	struct spool_stats stats;
	json_t *destinations;
	int r = spool_stats(a->opt.spool, &stats);

	if (r < 0) {
		*ret_r = r;
		return NULL;
	}
	destinations = admin_destinations_json(a, ret_r);
	if (destinations == NULL)
		return NULL;
	return json_pack("{s:s, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
	    "version", CAUSEWAY_VERSION, "pid", (json_int_t)getpid(),
	    "now", admin_json_time(clock_wall_ms()),
	    "started", admin_json_time(a->started_ms), "uptime_s",
	    (json_int_t)((clock_mono_ms() - a->started_mono_ms) / 1000),
	    "spool", spool_json(&stats, cfg),
	    "associations", associations_json(a, cfg),
	    "refused_callers", refused_json(a),
	    "warnings", warnings_json(a, cfg, &stats, destinations),
	    "destinations", destinations);
}

void
admin_get_status(struct admin_call *c)
{
	const struct config *cfg = c->admin->opt.config(c->admin->opt.arg);
	int r = -ENOMEM;
	json_t *o = status_json(c->admin, cfg, &r);

	config_unref(cfg);
	if (o == NULL)
		admin_fail_errno(c, r, "looking at the spool");
	else
		admin_reply(c, 200, o);
}

/* ---- reload ------------------------------------------------------------- */

static json_t *
lines_json(const struct buf *b)
{
	json_t *list = json_array();
	const char *at = b->len > 0 ? b->data : "";

	while (*at != '\0') {
		size_t len = strcspn(at, "\n");

		if (len > 0)
			(void)json_array_append_new(list, json_stringn(at, len));
		at += len + (at[len] == '\n' ? 1 : 0);
	}
	return list;
}

void
admin_post_reload(struct admin_call *c)
{
	struct buf problems = BUF_INIT(PROBLEMS_MAX);
	const struct admin_options *opt = &c->admin->opt;
	int r = opt->reload(opt->arg, c->actor, &problems);

	if (r == 0)
		admin_reply(c, 200, json_pack("{s:b, s:o}", "reloaded", 1,
		    "notes", lines_json(&problems)));
	else
		admin_reply(c, 409, json_pack("{s:s, s:o}", "error",
		    "the new configuration was not taken; the old one stays in "
		    "force", "problems", lines_json(&problems)));
	buf_free(&problems);
}
