/* bucket.c - the kind `s3`: a bucket that keeps the files, one object each.
 *
 * A delivery is one request of the uploader: instances of one study that are owed
 * at the same time, up to BUCKET_INSTANCES of them or BUCKET_BYTES, or as much as
 * leaves in a few minutes. Each becomes an object `key`, a Part 10 file, with its
 * SHA-256 in x-amz-meta-sha256; then one manifest says what the delivery was. An
 * instance is delivered when both are stored. Whoever reads the bucket waits for
 * manifests, not for objects: what they name is complete.
 *
 * The keys of the gateway need s3:PutObject, s3:GetObject (to compare what is
 * there), s3:ListBucket (to number manifests), s3:AbortMultipartUpload and
 * s3:ListMultipartUploadParts (large objects), s3:DeleteObject for test objects
 * alone, and with KMS kms:GenerateDataKey and kms:Decrypt.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/bucket_int.h"
#include "gateway/destination/kinds_int.h"

#define BUCKET_INSTANCES 512
#define BUCKET_BYTES	 (1ull << 30)
#define OTHER_REGION	 "us-east-1"	/* what servers of one's own take */

enum { SSE_NONE, SSE_AES256, SSE_KMS };

struct bucket_options {
	unsigned line;
	char	*bucket, *prefix, *region, *endpoint, *key, *manifest;
	bool	 path_style;
	int	 sse;
	char	*kms_key, *expected_owner, *storage_class;
	int	 on_conflict;
	struct config_client_tls *tls;
	struct config_choice credential;
	struct config_proxy *proxy;
	uint64_t connections, part_size, stall_timeout_ms;
};

/* ---- opening ------------------------------------------------------------- */

static void
close_bucket(void *self)
{
	struct bucket *b = self;

	s3_close(b->s3);
	http_credential_close(b->credential);
	(void)pthread_mutex_destroy(&b->mu);
	free(b->prefix);
	free(b);
}

static int
open_client(struct bucket *b, const struct bucket_options *o, struct rate *rate,
    struct buf *why)
{
	const char *region = o->region != NULL ? o->region : OTHER_REGION;
	const struct http_credential_options cred = { .choice = &o->credential,
		.proxy = o->proxy, .region = region };
	struct s3_options s = {
		.bucket = o->bucket,
		.region = region,
		.endpoint = o->endpoint,
		.path_style = o->path_style,
		.expected_owner = o->expected_owner,
		.sse = o->sse == SSE_KMS ? "aws:kms" :
		    o->sse == SSE_AES256 ? "AES256" : NULL,
		.sse_key = o->kms_key,
		.ca_file = o->tls != NULL ? o->tls->ca_file : NULL,
		.proxy = o->proxy,
		.rate = rate,
		.stall_timeout_ms = (int64_t)o->stall_timeout_ms,
		.part_size = o->part_size,
		.prefix = o->prefix,
	};
	int r;

	r = http_credential_open(&cred, &b->credential, why);
	if (r < 0)
		return r;
	s.credential = b->credential;
	return s3_open(&s, &b->s3, why);
}

static int
open_bucket(const struct destination_context *ctx,
    struct destination_limits *ret_limits, void **ret, struct buf *why)
{
	const struct bucket_options *o = ctx->cfg->choice.options;
	struct bucket *b = xcalloc(1, sizeof(*b));
	int r;

	(void)pthread_mutex_init(&b->mu, NULL);
	b->name = ctx->cfg->name;
	b->spool = ctx->spool;
	b->prefix = o->prefix != NULL ? xasprintf("%s/", o->prefix) : xstrdup("");
	b->key = o->key;
	b->manifest = o->manifest;
	b->storage_class = o->storage_class;
	b->replace = o->on_conflict == CONFIG_CONFLICT_REPLACE;
	r = open_client(b, o, ctx->rate, why);
	if (r < 0) {
		close_bucket(b);
		return r;
	}
	*ret_limits = (struct destination_limits){
		.connections = (unsigned)o->connections,
		.request_bytes = BUCKET_BYTES,
		.request_instances = BUCKET_INSTANCES,
	};
	*ret = b;
	return 0;
}

static void
cancel_bucket(void *self)
{
	struct bucket *b = self;

	http_credential_cancel(b->credential);
	s3_cancel(b->s3);
}

static void
probe_bucket(void *self, struct destination_result *ret)
{
	struct bucket *b = self;

	if (s3_probe(b->s3, ret) == S3_DONE)
		s3_tidy(b->s3);
}

/* ---- configuration ------------------------------------------------------- */

static void
check_template(struct config_check *c, const struct bucket_options *o,
    const char *option, const char *text, const char *const *known,
    const char *const *needed)
{
	struct buf why = BUF_INIT(500);

	if (bucket_template_check(text, known, needed, &why) < 0)
		config_problem(c, o->line, option, "%s", why.data);
	buf_free(&why);
}

/* What is made of it with UIDs of the longest kind. */
static void
check_length(struct config_check *c, const struct bucket_options *o)
{
	AUTO_FREE char *prefix = o->prefix != NULL ? xasprintf("%s/", o->prefix) :
	    xstrdup("");
	const struct bucket b = { .prefix = prefix, .key = o->key };
	struct spool_instance in = { .id = UINT64_MAX, .version = UINT16_MAX };
	AUTO_FREE char *key = NULL;

	memset(in.study_uid, '9', DICOM_UID_MAX);
	memset(in.series_uid, '9', DICOM_UID_MAX);
	memset(in.sop_instance, '9', DICOM_UID_MAX);
	memset(in.sop_class, '9', DICOM_UID_MAX);
	memset(in.modality, 'M', sizeof(in.modality) - 1);
	key = bucket_key(&b, &in);
	if (key == NULL)
		config_problem(c, o->line, "key", "names of objects may have %d "
		    "bytes, and this makes longer ones", S3_KEY_MAX);
}

static bool
bucket_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len >= 3 && len <= 63 && name[0] != '.' && name[0] != '-' &&
	    name[len - 1] != '.' && name[len - 1] != '-' &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static void
check_names(struct config_check *c, const struct bucket_options *o)
{
	static const char *const none[] = { NULL };

	if (!bucket_name_ok(o->bucket))
		config_problem(c, o->line, "bucket", "a bucket's name has 3 to 63 "
		    "small letters, digits, dashes and dots");
	if (o->prefix != NULL)
		check_template(c, o, "prefix", o->prefix, none, none);
	check_template(c, o, "key", o->key, bucket_key_words, bucket_key_needs);
	check_template(c, o, "manifest", o->manifest, bucket_manifest_words,
	    bucket_manifest_needs);
	check_length(c, o);
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct bucket_options *o = section;

	check_names(c, o);
	if (o->region == NULL && o->endpoint == NULL)
		config_problem(c, o->line, "region", "must be written, as "
		    "`region: eu-central-1`, unless `endpoint` is");
	if (o->region != NULL && strspn(o->region, "abcdefghijklmnopqrstuvwxyz"
		"0123456789-") != strlen(o->region))
		config_problem(c, o->line, "region", "is no region, as eu-central-1 "
		    "is one");
	if (o->kms_key != NULL && o->sse != SSE_KMS)
		config_problem(c, o->line, "kms_key", "is for `sse: kms` alone");
	if (o->expected_owner != NULL && (strlen(o->expected_owner) != 12 ||
		strspn(o->expected_owner, "0123456789") != 12))
		config_problem(c, o->line, "expected_bucket_owner", "must be the 12 "
		    "digits of an account");
	/* A server of one's own may have something else before it. */
	if (o->endpoint == NULL && !http_credential_signs(&o->credential))
		config_problem(c, o->line, "credential", "Amazon's S3 wants keys of "
		    "AWS: one of aws_keys, aws_profile, aws_process, "
		    "aws_rolesanywhere");
}

static const char *const encryptions[] = { "none", "aes256", "kms", NULL };
static const char *const conflicts[] = { "refuse", "replace", NULL };

static const struct config_option table[] = {
	{ .name = "bucket", .type = CONFIG_STRING, .required = true,
	    .offset = offsetof(struct bucket_options, bucket),
	    .help = "its name" },
	{ .name = "prefix", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, prefix),
	    .help = "what all names of objects begin with; a slash follows" },
	{ .name = "region", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, region),
	    .help = "where the bucket is; with `endpoint` us-east-1 if left out" },
	{ .name = "endpoint", .type = CONFIG_URL,
	    .offset = offsetof(struct bucket_options, endpoint),
	    .help = "the S3 server; left out: Amazon's" },
	{ .name = "path_style", .type = CONFIG_BOOL,
	    .offset = offsetof(struct bucket_options, path_style),
	    .fallback = "false",
	    .help = "the bucket stands in the path, not in the host's name" },
	{ .name = "key", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, key),
	    .fallback = "\"{study}/{series}/{instance}.dcm\"",
	    .help = "names of objects, in quotes, of {study}, {series}, {instance}, {version}, "
		    "{id}, {class} and {modality}" },
	{ .name = "manifest", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, manifest),
	    .fallback = "\"{study}/manifest-{number}.json\"",
	    .help = "names of manifests, one for each delivery, of {study} and "
		    "{number}" },
	{ .name = "sse", .type = CONFIG_ENUM, .choices = encryptions,
	    .offset = offsetof(struct bucket_options, sse),
	    .fallback = "none",
	    .help = "how objects are encrypted there; `none`: as the bucket says" },
	{ .name = "kms_key", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, kms_key),
	    .help = "ARN or id of the key; left out: the account's for S3" },
	{ .name = "expected_bucket_owner", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, expected_owner),
	    .help = "the account that must own the bucket, 12 digits" },
	{ .name = "storage_class", .type = CONFIG_STRING,
	    .offset = offsetof(struct bucket_options, storage_class),
	    .help = "of objects; left out: STANDARD" },
	{ .name = "on_conflict", .type = CONFIG_ENUM, .choices = conflicts,
	    .offset = offsetof(struct bucket_options, on_conflict),
	    .fallback = "refuse",
	    .help = "when the bucket holds other bytes under a name" },
	{ .name = "tls", .type = CONFIG_SECTION,
	    .offset = offsetof(struct bucket_options, tls),
	    .section = &config_client_tls_section,
	    .help = "how the server is verified" },
	{ .name = "credential", .type = CONFIG_KIND,
	    .offset = offsetof(struct bucket_options, credential),
	    .kinds = config_credential_kinds,
	    .help = "how we show who we are; left out: not at all" },
	{ .name = "proxy", .type = CONFIG_SECTION,
	    .offset = offsetof(struct bucket_options, proxy),
	    .section = &config_proxy_section,
	    .help = "the way out; left out: directly" },
	{ .name = "connections", .type = CONFIG_UINT, .min = 1, .max = 32,
	    .offset = offsetof(struct bucket_options, connections),
	    .fallback = "8", .help = "requests at once" },
	{ .name = "part_size", .type = CONFIG_SIZE, .min = 5u << 20,
	    .max = 5ull << 30,
	    .offset = offsetof(struct bucket_options, part_size),
	    .fallback = "64MiB",
	    .help = "larger objects go in parts of this size" },
	{ .name = "stall_timeout", .type = CONFIG_DURATION, .min = 1000,
	    .max = 3600000,
	    .offset = offsetof(struct bucket_options, stall_timeout_ms),
	    .fallback = "2min",
	    .help = "how long a request may stand still" },
	{ .name = NULL },
};

const struct destination_kind destination_s3 = {
	.config = {
		.name = "s3",
		.section = {
			.name = "destinations[]",
			.size = sizeof(struct bucket_options),
			.options = table,
			.check = check_options,
		},
	},
	.open = open_bucket,
	.close = close_bucket,
	.deliver = bucket_deliver,
	.probe = probe_bucket,
	.cancel = cancel_bucket,
	.verify = bucket_verify,
	.remove = bucket_remove,
};
