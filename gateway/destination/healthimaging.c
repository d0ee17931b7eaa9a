/* healthimaging.c - the kind `healthimaging`: AWS HealthImaging, by import jobs from
 * S3, by STOW, or by whichever an object fits (rule 6).
 *
 * What the table below says by default are the service's own limits, in decimal
 * bytes as AWS counts them. Hosts are AWS's unless the site has endpoints of its own
 * (interface endpoints of a VPC, FIPS).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_int.h"
#include "gateway/destination/kinds_int.h"
#include "gateway/dicom/part10.h"

#define IMPORT_INSTANCES 64	/* of one call: they go one after another */
/* Heads, boundaries, and what a re-encoding adds to an object full of short values. */
#define STOW_MARGIN	 UINT64_C(20000000)

/* ---- opening ------------------------------------------------------------- */

static void
close_ahi(void *self)
{
	struct ahi *a = self;
	struct ahi_job *j;

	if (a == NULL)
		return;
	while ((j = TAILQ_FIRST(&a->jobs)) != NULL) {
		TAILQ_REMOVE(&a->jobs, j, link);
		ahi_job_free(j);
	}
	s3_close(a->in);
	s3_close(a->out);
	http_client_free(a->api);
	http_client_free(a->stow.http);
	http_credential_close(a->web_credential);
	http_credential_close(a->credential);
	(void)pthread_cond_destroy(&a->opened);
	(void)pthread_mutex_destroy(&a->mu);
	free(a);
}

static int
open_credential(struct ahi *a, const struct config_choice *choice,
    struct http_credential **ret, struct buf *why)
{
	const struct http_credential_options opt = { .choice = choice,
		.proxy = a->opt->proxy, .region = a->opt->region };

	return http_credential_open(&opt, ret, why);
}

static char *
service_url(const struct ahi *a, const char *endpoint, const char *host,
    const char *path)
{
	const char *region = a->opt->region;

	if (endpoint != NULL)
		return xasprintf("%s%s", endpoint, path);
	return xasprintf("https://%s.%s.amazonaws.com%s%s", host, region,
	    strncmp(region, "cn-", 3) == 0 ? ".cn" : "", path);
}

static int
open_client(struct ahi *a, const char *url, struct http_credential *credential,
    struct rate *rate, struct http_client **ret, struct buf *why)
{
	const struct ahi_options *o = a->opt;
	const struct http_client_options h = {
		.url = url,
		.ca_file = o->tls != NULL ? o->tls->ca_file : NULL,
		.credential = credential,
		.proxy = o->proxy,
		.rate = rate,
		.service = { .name = "medical-imaging", .region = o->region },
		.stall_timeout_ms = (int64_t)o->stall_timeout_ms,
	};

	return http_client_new(&h, ret, why);
}

static int
open_web(struct ahi *a, struct rate *rate, struct buf *why)
{
	AUTO_FREE char *path = xasprintf("/datastore/%s", a->opt->datastore_id);
	AUTO_FREE char *url = service_url(a, a->opt->dicomweb_endpoint,
	    "dicom-medical-imaging", path);
	struct http_credential *credential = a->credential;

	if (a->web_bearer) {
		int r = open_credential(a, &a->opt->dicomweb_credential,
		    &a->web_credential, why);

		if (r < 0)
			return r;
		credential = a->web_credential;
	}
	a->stow.name = a->name;
	a->stow.spool = a->spool;
	a->stow.flavor = &ahi_flavor;
	a->stow.credential = credential;
	a->stow.on_conflict = CONFIG_CONFLICT_REPLACE;
	a->stow.signed_body = !a->web_bearer;
	return open_client(a, url, credential, rate, &a->stow.http, why);
}

static const char *const encryptions[] = { "none", "aes256", "kms", NULL };
static const char *const encryption_values[] = { NULL, "AES256", "aws:kms" };

static int
open_bucket(struct ahi *a, const struct ahi_uri *uri, const char *owner,
    struct rate *rate, struct s3 **ret, struct buf *why)
{
	const struct ahi_options *o = a->opt;
	const struct s3_options opt = {
		.bucket = uri->bucket,
		.region = o->region,
		.endpoint = o->s3_endpoint,
		.path_style = o->path_style,
		.expected_owner = owner,
		.sse = encryption_values[o->sse],
		.sse_key = o->kms_key,
		.ca_file = o->tls != NULL ? o->tls->ca_file : NULL,
		.credential = a->credential,
		.proxy = o->proxy,
		.rate = rate,
		.stall_timeout_ms = (int64_t)o->stall_timeout_ms,
		.part_size = o->part_size,
	};

	return s3_open(&opt, ret, why);
}

static int
open_import(struct ahi *a, struct rate *rate, struct buf *why)
{
	const struct ahi_options *o = a->opt;
	AUTO_FREE char *url = service_url(a, o->api_endpoint, "medical-imaging", "");
	struct buf twice = BUF_INIT(1000);	/* warned of once is enough */
	int r;

	(void)ahi_uri_parse(o->input, &a->input);
	(void)ahi_uri_parse(o->output, &a->output);
	r = open_client(a, url, a->credential, rate, &a->api, why);
	if (r == 0)
		r = open_bucket(a, &a->input, o->input_owner, rate, &a->in, why);
	if (r == 0)
		r = open_bucket(a, &a->output, o->output_owner, rate, &a->out,
		    &twice);
	if (r < 0 && twice.len > 0)
		(void)buf_add_str(why, twice.data);
	buf_free(&twice);
	return r;
}

static int
open_parts(struct ahi *a, struct rate *rate, struct buf *why)
{
	struct buf twice = BUF_INIT(1000);
	int r = 0;

	if (a->opt->credential.kind != NULL)
		r = open_credential(a, &a->opt->credential, &a->credential, why);
	if (r == 0 && a->opt->mode != AHI_STOW)
		r = open_import(a, rate, why);
	if (r == 0)
		r = open_web(a, rate, &twice);
	if (twice.len > 0 && (r < 0 || why->len == 0))
		(void)buf_add_str(why, twice.data);
	buf_free(&twice);
	return r;
}

static void
set_limits(const struct ahi_options *o, struct destination_limits *ret)
{
	bool import = o->mode != AHI_STOW;

	*ret = (struct destination_limits){
		.connections = (unsigned)o->connections,
		.request_bytes = o->max_request,
		.request_instances = o->mode == AHI_IMPORT ? IMPORT_INSTANCES :
		    STOW_INSTANCES,
		.instance_bytes = import ? o->max_file - DICOM_PART10_MAX :
		    o->max_stow,
	};
	(void)snprintf(ret->instance_limit_name, sizeof(ret->instance_limit_name),
	    "%s", import ? "a file of a HealthImaging import may be (max_file)" :
	    "a STOW request to HealthImaging may be (1 GB)");
}

static int
open_ahi(const struct destination_context *ctx,
    struct destination_limits *ret_limits, void **ret, struct buf *why)
{
	const struct ahi_options *o = ctx->cfg->choice.options;
	struct ahi *a = xcalloc(1, sizeof(*a));
	int r;

	a->name = ctx->cfg->name;
	a->spool = ctx->spool;
	a->opt = o;
	a->batch_files = (unsigned)o->batch_files;
	a->web_bearer = o->dicomweb_credential.kind != NULL;
	TAILQ_INIT(&a->jobs);
	(void)pthread_mutex_init(&a->mu, NULL);
	(void)pthread_cond_init(&a->opened, NULL);
	r = open_parts(a, ctx->rate, why);
	if (r < 0) {
		close_ahi(a);
		return r;
	}
	set_limits(o, ret_limits);
	*ret = a;
	return 0;
}

static void
cancel_ahi(void *self)
{
	struct ahi *a = self;

	atomic_store(&a->canceled, true);
	http_credential_cancel(a->credential);
	http_credential_cancel(a->web_credential);
	http_client_cancel(a->stow.http);
	if (a->api != NULL) {
		http_client_cancel(a->api);
		s3_cancel(a->in);
		s3_cancel(a->out);
	}
	LOCK_SCOPE(&a->mu);
	(void)pthread_cond_broadcast(&a->opened);
}

/* ---- delivering ---------------------------------------------------------- */

/* What is deflated grows when it is sent by STOW, nobody knows how much. */
static bool
fits_stow(const struct ahi *a, const struct spool_instance *in)
{
	uint64_t most = a->opt->max_stow;

	if (dicom_syntax_find(in->syntax)->encoding == DICOM_DEFLATED_LE)
		most /= 100;
	return in->length <= most;
}

static void
deliver_ahi(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	struct ahi *a = self;
	AUTO_FREE struct destination_item **by_stow = xcalloc(n,
	    sizeof(struct destination_item *));
	AUTO_FREE struct destination_item **by_import = xcalloc(n,
	    sizeof(struct destination_item *));
	size_t n_stow = 0, n_import = 0;

	for (size_t i = 0; i < n; i++) {
		if (a->opt->mode == AHI_STOW || (a->opt->mode == AHI_AUTO &&
			fits_stow(a, &items[i].in)))
			by_stow[n_stow++] = &items[i];
		else
			by_import[n_import++] = &items[i];
	}
	if (n_stow > 0)
		ahi_stow(a, by_stow, n_stow, ret);
	if (n_import > 0 && ret->health == DESTINATION_UP)
		ahi_import(a, by_import, n_import, ret);
}

static void
probe_ahi(void *self, struct destination_result *ret)
{
	struct ahi *a = self;

	if (a->opt->mode != AHI_IMPORT)
		ahi_probe_web(a, ret);
	if (a->opt->mode == AHI_STOW || ret->health != DESTINATION_UP)
		return;
	ahi_probe_datastore(a, ret);
	if (ret->health == DESTINATION_UP)
		(void)s3_probe(a->in, ret);
	if (ret->health == DESTINATION_UP)
		(void)s3_probe(a->out, ret);
	if (ret->health != DESTINATION_UP)
		return;
	/* Only the next start can show that this is over: tend() tries. */
	LOCK_SCOPE(&a->mu);
	if (a->fault[0] != '\0') {
		ret->health = DESTINATION_DOWN;
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s", a->fault);
	}
}

/* ---- the table ----------------------------------------------------------- */

static bool
region_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 4 && n <= 32 &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool
datastore_ok(const char *s)
{
	return strlen(s) == AHI_DATASTORE &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == AHI_DATASTORE;
}

/* arn:aws:iam::123456789012:role/name */
static bool
role_ok(const char *s)
{
	static const char digits[] = "0123456789";
	size_t len = strlen(s);

	for (const char *p = s; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\')
			return false;
	}
	if (len < 20 || len > AHI_ROLE_MAX || strncmp(s, "arn:aws", 7) != 0)
		return false;
	s = strstr(s, ":iam::");
	return s != NULL && strspn(s + 6, digits) == 12 &&
	    strncmp(s + 18, ":role/", 6) == 0 && s[24] != '\0';
}

static bool
account_ok(const char *s)
{
	return strlen(s) == 12 && strspn(s, "0123456789") == 12;
}

static void
check_uris(struct config_check *c, const struct ahi_options *o)
{
	struct ahi_uri in, out;
	bool ok = true;

	if (ahi_uri_parse(o->input, &in) < 0 || strlen(o->input) > AHI_URI_MAX) {
		config_problem(c, o->line, "input", "found `%.80s`; wanted a bucket "
		    "and a folder in it, such as s3://site7-imports/causeway/",
		    o->input);
		ok = false;
	}
	if (ahi_uri_parse(o->output, &out) < 0 ||
	    strlen(o->output) > AHI_URI_MAX) {
		config_problem(c, o->line, "output", "found `%.80s`; wanted a bucket "
		    "and a folder in it, such as s3://site7-results/causeway/",
		    o->output);
		ok = false;
	}
	if (!ok || strcmp(in.bucket, out.bucket) != 0)
		return;
	if (strncmp(in.prefix, out.prefix, strlen(in.prefix)) == 0 ||
	    strncmp(in.prefix, out.prefix, strlen(out.prefix)) == 0)
		config_problem(c, o->line, "output", "lies in the same folder as "
		    "input; wanted another one, or results would be imported");
}

static void
check_needed(struct config_check *c, const struct ahi_options *o)
{
	const struct { const char *name, *value, *example; } needed[] = {
		{ "input", o->input, "s3://site7-imports/causeway/" },
		{ "output", o->output, "s3://site7-results/causeway/" },
		{ "data_access_role", o->data_access_role,
		    "arn:aws:iam::123456789012:role/HealthImagingImport" },
	};
	bool stow = o->mode == AHI_STOW;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (!stow && needed[i].value == NULL)
			config_problem(c, o->line, needed[i].name, "is missing, and "
			    "imports need it, such as %s; without it only mode: "
			    "stow works", needed[i].example);
		else if (stow && needed[i].value != NULL)
			config_problem(c, o->line, needed[i].name, "has no effect in "
			    "mode: stow; wanted mode: auto or import, or leave it "
			    "out");
	}
	if (o->credential.kind == NULL && (!stow ||
		o->dicomweb_credential.kind == NULL))
		config_problem(c, o->line, "credential", "is missing; wanted keys of "
		    "AWS%s", stow ? ", or a token as dicomweb_credential" : "");
	if (!stow && o->input != NULL && o->output != NULL)
		check_uris(c, o);
}

static void
check_credentials(struct config_check *c, const struct ahi_options *o)
{
	if (o->credential.kind != NULL && !http_credential_signs(&o->credential))
		config_problem(c, o->line, "credential", "wanted keys of AWS: one of "
		    "aws_keys, aws_profile, aws_process, aws_rolesanywhere; a token "
		    "for DICOMweb is a dicomweb_credential");
	if (http_credential_signs(&o->dicomweb_credential))
		config_problem(c, o->line, "dicomweb_credential", "wanted a token, as "
		    "of oauth2_client_credentials; without one `credential` signs");
}

static void
check_names(struct config_check *c, const struct ahi_options *o)
{
	if (!region_ok(o->region))
		config_problem(c, o->line, "region", "found `%.40s`; wanted a region "
		    "of AWS, such as eu-west-1", o->region);
	if (!datastore_ok(o->datastore_id))
		config_problem(c, o->line, "datastore_id", "found `%.40s`; wanted the "
		    "32 lower-case letters and digits of the data store's id",
		    o->datastore_id);
	if (o->data_access_role != NULL && !role_ok(o->data_access_role))
		config_problem(c, o->line, "data_access_role", "found `%.80s`; wanted "
		    "the ARN of a role, such as "
		    "arn:aws:iam::123456789012:role/HealthImagingImport",
		    o->data_access_role);
	if (o->input_owner != NULL && !account_ok(o->input_owner))
		config_problem(c, o->line, "input_owner", "found `%.40s`; wanted the "
		    "12 digits of an account", o->input_owner);
	if (o->output_owner != NULL && !account_ok(o->output_owner))
		config_problem(c, o->line, "output_owner", "found `%.40s`; wanted the "
		    "12 digits of an account", o->output_owner);
}

static void
check_ahi(struct config_check *c, const void *section)
{
	const struct ahi_options *o = section;

	check_needed(c, o);
	check_credentials(c, o);
	check_names(c, o);
	if (o->kms_key != NULL && strcmp(encryptions[o->sse], "kms") != 0)
		config_problem(c, o->line, "kms_key", "has no effect without `sse: "
		    "kms`");
	if (o->max_file > o->batch_bytes)
		config_problem(c, o->line, "max_file", "is more than batch_bytes "
		    "(%" PRIu64 "B), which a file has to fit in", o->batch_bytes);
}

static const char *const modes[] = { "import", "stow", "auto", NULL };

#define OF(field) .offset = offsetof(struct ahi_options, field)

static const struct config_option table[] = {
	{ .name = "mode", .type = CONFIG_ENUM, .choices = modes, OF(mode),
	    .fallback = "import",
	    .help = "`import` by jobs from S3, `stow` by DICOMweb, `auto` by DICOMweb "
		    "what fits its 1 GB, the rest by import" },
	{ .name = "region", .type = CONFIG_STRING, OF(region), .required = true,
	    .help = "of the data store and the buckets, such as eu-west-1" },
	{ .name = "datastore_id", .type = CONFIG_STRING, OF(datastore_id),
	    .required = true, .help = "32 letters and digits" },
	{ .name = "input", .type = CONFIG_STRING, OF(input),
	    .help = "s3://bucket/folder/ where files are put for imports" },
	{ .name = "output", .type = CONFIG_STRING, OF(output),
	    .help = "s3://bucket/folder/ where HealthImaging writes what came of "
		    "them" },
	{ .name = "data_access_role", .type = CONFIG_STRING, OF(data_access_role),
	    .help = "ARN of the role that HealthImaging takes to read and write "
		    "there" },
	{ .name = "input_owner", .type = CONFIG_STRING, OF(input_owner),
	    .help = "account that owns the input bucket, when it is not ours; every "
		    "request asks for it" },
	{ .name = "output_owner", .type = CONFIG_STRING, OF(output_owner),
	    .help = "account that must own the output bucket" },
	{ .name = "sse", .type = CONFIG_ENUM, .choices = encryptions, OF(sse),
	    .fallback = "none",
	    .help = "how files are encrypted there; `none`: as the bucket says" },
	{ .name = "kms_key", .type = CONFIG_STRING, OF(kms_key),
	    .help = "ARN or id of the key; left out: the account's for S3" },
	{ .name = "keep_input", .type = CONFIG_BOOL, OF(keep_input),
	    .fallback = "false",
	    .help = "leave files in the input bucket after they were imported" },
	{ .name = "max_file", .type = CONFIG_SIZE, OF(max_file),
	    .min = 1u << 20, .max = AHI_BYTES_MAX, .fallback = "4000000000B",
	    .help = "larger objects are refused: the service's limit of one file, "
		    "which AWS states as 4 GB and as 10 GB" },
	{ .name = "batch_files", .type = CONFIG_UINT, OF(batch_files),
	    .min = 1, .max = AHI_FILES_MAX, .fallback = "5000",
	    .help = "files of one import at most" },
	{ .name = "batch_bytes", .type = CONFIG_SIZE, OF(batch_bytes),
	    .min = 1u << 20, .max = AHI_BYTES_MAX, .fallback = "10000000000B",
	    .help = "bytes of one import at most" },
	{ .name = "batch_time", .type = CONFIG_DURATION, OF(batch_time_ms),
	    .max = 86400000, .fallback = "60s",
	    .help = "how long a batch waits for more files; longer when no import "
		    "can be started yet" },
	{ .name = "start_interval", .type = CONFIG_DURATION, OF(start_interval_ms),
	    .max = 3600000, .fallback = "4s",
	    .help = "between two starts of imports at least (the service throttles "
		    "them)" },
	{ .name = "poll_interval", .type = CONFIG_DURATION, OF(poll_interval_ms),
	    .min = 50, .max = 120000, .fallback = "5s",
	    .help = "how soon a running import is asked for; rarer as it lasts" },
	{ .name = "max_jobs", .type = CONFIG_UINT, OF(max_jobs),
	    .min = 1, .max = AHI_JOBS_MAX, .fallback = "20",
	    .help = "imports at once at most; the data store's limit is shared with "
		    "others" },
	{ .name = "job_patience", .type = CONFIG_DURATION, OF(job_patience_ms),
	    .min = 1000, .fallback = "12h",
	    .help = "an import that runs longer is warned about" },
	{ .name = "result_wait", .type = CONFIG_DURATION, OF(result_wait_ms),
	    .max = 86400000, .fallback = "15min",
	    .help = "how long the lists of an ended import may be late; then the "
		    "data store is asked itself" },
	{ .name = "max_stow", .type = CONFIG_SIZE, OF(max_stow),
	    .min = 1u << 20, .max = AHI_STOW_MAX - STOW_MARGIN,
	    .fallback = "980000000B",
	    .help = "larger objects are imported in mode `auto`, and refused in mode "
		    "`stow`" },
	{ .name = "max_request", .type = CONFIG_SIZE, OF(max_request),
	    .min = 1u << 20, .max = AHI_STOW_MAX - STOW_MARGIN,
	    .fallback = "100MiB",
	    .help = "bytes of one STOW request, or of one turn of an import's "
		    "uploads; larger objects go alone" },
	{ .name = "s3_endpoint", .type = CONFIG_URL, OF(s3_endpoint),
	    .help = "left out: AWS's own" },
	{ .name = "api_endpoint", .type = CONFIG_URL, OF(api_endpoint),
	    .help = "left out: https://medical-imaging.REGION.amazonaws.com" },
	{ .name = "dicomweb_endpoint", .type = CONFIG_URL, OF(dicomweb_endpoint),
	    .help = "left out: https://dicom-medical-imaging.REGION.amazonaws.com" },
	{ .name = "path_style", .type = CONFIG_BOOL, OF(path_style),
	    .fallback = "false",
	    .help = "the bucket stands in the path, not in the host's name" },
	{ .name = "tls", .type = CONFIG_SECTION, OF(tls),
	    .section = &config_client_tls_section,
	    .help = "how the servers are verified" },
	{ .name = "credential", .type = CONFIG_KIND, OF(credential),
	    .kinds = config_credential_kinds, .help = "keys of AWS" },
	{ .name = "dicomweb_credential", .type = CONFIG_KIND,
	    OF(dicomweb_credential), .kinds = config_credential_kinds,
	    .help = "a token for DICOMweb, of data stores with an OIDC authorizer; "
		    "left out: `credential` signs" },
	{ .name = "proxy", .type = CONFIG_SECTION, OF(proxy),
	    .section = &config_proxy_section,
	    .help = "the way out; left out: directly" },
	{ .name = "part_size", .type = CONFIG_SIZE, .min = 5u << 20,
	    .max = 5ull << 30, OF(part_size), .fallback = "64MiB",
	    .help = "larger objects go up in parts of this size, as an import of "
		    "their own" },
	{ .name = "connections", .type = CONFIG_UINT, .min = 1, .max = 64,
	    OF(connections), .fallback = "8", .help = "requests at once" },
	{ .name = "stall_timeout", .type = CONFIG_DURATION, .min = 1000,
	    .max = 3600000, OF(stall_timeout_ms), .fallback = "2min",
	    .help = "how long a request may stand still" },
	{ .name = NULL },
};

const struct destination_kind destination_healthimaging = {
	.config = {
		.name = "healthimaging",
		.section = {
			.name = "destinations[]",
			.size = sizeof(struct ahi_options),
			.options = table,
			.check = check_ahi,
		},
	},
	.open = open_ahi,
	.close = close_ahi,
	.deliver = deliver_ahi,
	.probe = probe_ahi,
	.cancel = cancel_ahi,
	.verify = ahi_verify,
	.tend = ahi_tend,
	.describe = ahi_describe,
};
