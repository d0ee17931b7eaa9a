/* stow.c - the kind `dicomweb`: a server that takes STOW-RS (PS3.18 10.5). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/kinds_int.h"
#include "gateway/destination/stow_int.h"

#define PROBE_MS 60000

struct stow_options {
	unsigned line;
	char	*url;
	int	 flavor;
	struct config_client_tls *tls;
	struct config_choice credential;
	struct config_proxy *proxy;
	int	 on_conflict;
	uint64_t connections, max_request, stall_timeout_ms;
};

static void
close_stow(void *self)
{
	struct stow *s = self;

	http_client_free(s->http);
	http_client_free(s->rest);
	http_credential_close(s->credential);
	free(s);
}

static int
open_clients(struct stow *s, const struct stow_options *o, struct rate *rate,
    struct buf *why)
{
	const struct http_credential_options cred = { .choice = &o->credential,
		.proxy = o->proxy };
	struct http_client_options h = {
		.url = o->url,
		.ca_file = o->tls != NULL ? o->tls->ca_file : NULL,
		.proxy = o->proxy,
		.rate = rate,
		.stall_timeout_ms = (int64_t)o->stall_timeout_ms,
	};
	AUTO_FREE char *parent = NULL;
	struct buf twice = BUF_INIT(200);
	char *slash;
	int r;

	r = http_credential_open(&cred, &s->credential, why);
	if (r < 0)
		return r;
	h.credential = s->credential;
	r = http_client_new(&h, &s->http, why);
	if (r < 0 || !s->flavor->rest)
		return r;
	/* https://host/dicom-web -> https://host */
	parent = xstrdup(o->url);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash - parent < (ptrdiff_t)strlen("https://"))
		return 0;
	*slash = '\0';
	h.url = parent;
	r = http_client_new(&h, &s->rest, &twice);
	buf_free(&twice);
	return r;
}

/* Of a request: the parts' heads and a re-encoding need a little room, too. */
static void
set_flavor_limits(const struct stow_flavor *f, struct destination_limits *lim)
{
	if (f->request_bytes == 0)
		return;
	lim->instance_bytes = f->request_bytes - STOW_ROOM;
	if (lim->request_bytes > lim->instance_bytes)
		lim->request_bytes = lim->instance_bytes;
	(void)snprintf(lim->instance_limit_name, sizeof(lim->instance_limit_name),
	    "%s", f->limit_name);
}

static int
open_stow(const struct destination_context *ctx,
    struct destination_limits *ret_limits, void **ret, struct buf *why)
{
	const struct stow_options *o = ctx->cfg->choice.options;
	struct stow *s = xcalloc(1, sizeof(*s));
	int r;

	s->name = ctx->cfg->name;
	s->spool = ctx->spool;
	s->flavor = stow_flavors[o->flavor];
	s->on_conflict = (enum config_conflict)o->on_conflict;
	r = open_clients(s, o, ctx->rate, why);
	if (r < 0) {
		close_stow(s);
		return r;
	}
	*ret_limits = (struct destination_limits){
		.connections = (unsigned)o->connections,
		.request_bytes = o->max_request,
		.request_instances = STOW_INSTANCES,
	};
	set_flavor_limits(s->flavor, ret_limits);
	*ret = s;
	return 0;
}

static void
cancel_stow(void *self)
{
	struct stow *s = self;

	http_credential_cancel(s->credential);
	http_client_cancel(s->http);
	if (s->rest != NULL)
		http_client_cancel(s->rest);
}

/* A query of any result shows that it is there and lets us in; a quarrel over
 * the query's form does so too. */
static bool
probe_passed(const struct http_reply *r)
{
	switch (r->status) {
	case 200:
	case 204:
	case 400:
	case 406:
	case 413:
	case 415:
	case 422:
		return true;
	default:
		return r->status > 200 && r->status < 300;
	}
}

static int
ignore_data(void *arg, const void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0;
}

static void
probe_stow(void *self, struct destination_result *ret)
{
	struct stow *s = self;
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	struct http_request req = {
		.method = "GET",
		.path = "/studies?limit=1",
		.accept = "application/dicom+json",
		.sink = ignore_data,
		.deadline_ms = clock_mono_ms() + PROBE_MS,
	};

	(void)http_call(s->http, &req, &reply);
	if (reply.outcome != HTTP_ANSWERED || !probe_passed(&reply)) {
		stow_health(&reply, ret);
		return;
	}
	if (reply.status != 400 &&
	    strncasecmp(reply.content_type, "text/html", 9) == 0) {
		ret->health = DESTINATION_DOWN;
		(void)snprintf(ret->reason, sizeof(ret->reason), "a web page "
		    "answers there, no DICOMweb service: is the url right, with "
		    "its path?");
	}
}

/* As stow_flavors[] has them. */
static const char *const flavors[] = { "generic", "orthanc", "google", "azure",
	"dcm4chee", NULL };
static const char *const conflicts[] = { "refuse", "replace", NULL };

static void
check_stow(struct config_check *c, const void *section)
{
	const struct stow_options *o = section;

	if (http_credential_signs(&o->credential))
		config_problem(c, o->line, "credential", "keys of AWS sign for S3 and "
		    "HealthImaging alone: the latter's DICOMweb is `type: "
		    "healthimaging`, `mode: stow`");
}

static const struct config_option table[] = {
	{ .name = "url", .type = CONFIG_URL, .required = true,
	    .offset = offsetof(struct stow_options, url),
	    .help = "the DICOMweb service; /studies follows" },
	{ .name = "flavor", .type = CONFIG_ENUM, .choices = flavors,
	    .offset = offsetof(struct stow_options, flavor),
	    .fallback = "generic",
	    .help = "whose server: decides what it takes (`orthanc` every object "
		    "as it came, the others uncompressed ones in explicit little "
		    "endian), its limits, and how an instance is replaced" },
	{ .name = "tls", .type = CONFIG_SECTION,
	    .offset = offsetof(struct stow_options, tls),
	    .section = &config_client_tls_section,
	    .help = "how the server is verified" },
	{ .name = "credential", .type = CONFIG_KIND,
	    .offset = offsetof(struct stow_options, credential),
	    .kinds = config_credential_kinds,
	    .help = "how we show who we are; left out: not at all" },
	{ .name = "proxy", .type = CONFIG_SECTION,
	    .offset = offsetof(struct stow_options, proxy),
	    .section = &config_proxy_section,
	    .help = "the way out; left out: directly" },
	{ .name = "on_conflict", .type = CONFIG_ENUM, .choices = conflicts,
	    .offset = offsetof(struct stow_options, on_conflict),
	    .fallback = "refuse",
	    .help = "when the server holds other bytes under a UID" },
	{ .name = "connections", .type = CONFIG_UINT, .min = 1, .max = 32,
	    .offset = offsetof(struct stow_options, connections),
	    .fallback = "4", .help = "requests at once" },
	{ .name = "max_request", .type = CONFIG_SIZE, .min = 1u << 20,
	    .offset = offsetof(struct stow_options, max_request),
	    .fallback = "100MiB",
	    .help = "bytes of one request; larger objects go alone" },
	{ .name = "stall_timeout", .type = CONFIG_DURATION, .min = 1000,
	    .max = 3600000,
	    .offset = offsetof(struct stow_options, stall_timeout_ms),
	    .fallback = "2min",
	    .help = "how long a request may stand still" },
	{ .name = NULL },
};

const struct destination_kind destination_dicomweb = {
	.config = {
		.name = "dicomweb",
		.section = {
			.name = "destinations[]",
			.size = sizeof(struct stow_options),
			.options = table,
			.check = check_stow,
		},
	},
	.open = open_stow,
	.close = close_stow,
	.deliver = stow_deliver,
	.probe = probe_stow,
	.cancel = cancel_stow,
	.verify = stow_verify,
	.remove = stow_remove,
};
