/* s3_bulk.c - many objects of a bucket: listed page by page, deleted in thousands.
 *
 * A deletion of many answers 200 and then names those that it did not delete, so
 * each is looked at; servers that have no such call get one request for each.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "gateway/destination/s3_client_int.h"

#define DELETE_MAX	1000
#define TOKEN_MAX	2048
#define PAGES_MAX	1000	/* of any list that we ask for */

static enum s3_said
fail(const struct s3 *s, const char *what, struct destination_result *ret)
{
	ret->health = DESTINATION_FAILED;
	(void)snprintf(ret->reason, sizeof(ret->reason), "bucket %s: %s", s->bucket,
	    what);
	return S3_FAILED;
}

static enum s3_said
say_nonsense(const struct s3 *s, struct destination_result *ret)
{
	return fail(s, "its answer is no XML of S3", ret);
}

/* ---- deleting ------------------------------------------------------------ */

static enum s3_said
delete_one(struct s3 *s, const char *key, struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_request q = { .method = "DELETE", .action = "s3:DeleteObject",
		.key = key };
	enum s3_said said = s3_call(s, &q, &a, ret);

	return said == S3_ABSENT ? S3_DONE : said;
}

static void
add_digest(struct s3_request *q, const struct buf *b, char md5[static 32],
    char sha256[static 64])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	/* Where a site's OpenSSL has none, the newer header does, too. */
	if (EVP_Digest(b->data, b->len, digest, &len, EVP_md5(), NULL) == 1) {
		(void)EVP_EncodeBlock((unsigned char *)md5, digest, (int)len);
		s3_add_header(q, "Content-MD5", md5);
		return;
	}
	if (EVP_Digest(b->data, b->len, digest, &len, EVP_sha256(), NULL) != 1)
		abort();
	(void)EVP_EncodeBlock((unsigned char *)sha256, digest, (int)len);
	s3_add_header(q, "x-amz-checksum-sha256", sha256);
}

static int
take_deletion(void *arg, const char *path, const char *text)
{
	struct s3_answer *a = arg;

	if (strcmp(path, "DeleteResult/Error/Code") == 0 && a->code[0] == '\0' &&
	    strcmp(text, "NoSuchKey") != 0)
		(void)snprintf(a->code, sizeof(a->code), "%s", text);
	return 0;
}

static enum s3_said
judge_deletions(struct s3 *s, const struct s3_request *q, struct s3_answer *a,
    struct destination_result *ret)
{
	if (a->reply.body.len == 0 || s3_xml_walk(a->reply.body.data,
		a->reply.body.len, take_deletion, a) < 0)
		return say_nonsense(s, ret);
	if (a->code[0] == '\0')
		return S3_DONE;
	s3_judge_code(s, q, a);
	if (a->said != S3_FAILED) {
		a->said = S3_FAILED;
		a->health = DESTINATION_FAILED;
	}
	s3_tell(a, ret);
	return S3_FAILED;
}

/* S3_ABSENT: the server has no such call. */
static enum s3_said
delete_some(struct s3 *s, const char *const *keys, size_t n,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct buf b = BUF_INIT(DELETE_MAX * (6 * S3_KEY_MAX + 64));
	struct destination_result result = *ret;
	struct s3_request q = { .method = "POST", .action = "s3:DeleteObject",
		.query = "delete=", .content_type = "application/xml" };
	struct http_memory m;
	enum s3_said said;
	char sha256[65], md5[32], checksum[64];

	(void)buf_add_str(&b, "<Delete><Quiet>true</Quiet>");
	for (size_t i = 0; i < n; i++) {
		(void)buf_add_str(&b, "<Object><Key>");
		s3_xml_add(&b, keys[i]);
		(void)buf_add_str(&b, "</Key></Object>");
	}
	(void)buf_add_str(&b, "</Delete>");
	if (buf_error(&b) < 0)
		abort();	/* keys are bounded */
	m = (struct http_memory){ .data = b.data, .len = b.len };
	s3_use_memory(&q, &m, sha256);
	add_digest(&q, &b, md5, checksum);
	said = s3_call(s, &q, &a, &result);
	if (said == S3_DONE)
		said = judge_deletions(s, &q, &a, &result);
	else if (a.reply.status == 501 || a.reply.status == 405)
		said = S3_ABSENT;
	if (said != S3_ABSENT)
		*ret = result;
	buf_free(&b);
	return said;
}

enum s3_said
s3_delete(struct s3 *s, const char *const *keys, size_t n,
    struct destination_result *ret)
{
	enum s3_said said = S3_DONE;
	bool together = n > 1;

	for (size_t i = 0; i < n && said == S3_DONE;) {
		size_t some = n - i < DELETE_MAX ? n - i : DELETE_MAX;

		said = together ? delete_some(s, keys + i, some, ret) :
		    delete_one(s, keys[i], ret);
		if (said == S3_ABSENT) {
			together = false;
			said = S3_DONE;
		} else {
			i += together ? some : 1;
		}
	}
	return said;
}

/* ---- listing ------------------------------------------------------------- */

struct page {
	s3_list_fn *fn;
	void	   *arg;
	bool	    encoded, more, ended;
	char	    key[3 * S3_KEY_MAX + 1];
	uint64_t    length;
	char	    token[TOKEN_MAX];
};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
decode_key(char *key)
{
	char *to = key;

	for (; *key != '\0'; key++) {
		int high = *key == '%' ? hex_digit(key[1]) : -1;
		int low = high >= 0 ? hex_digit(key[2]) : -1;

		if (low >= 0 && (high != 0 || low != 0)) {
			*to++ = (char)(high * 16 + low);
			key += 2;
		} else {
			*to++ = *key == '+' ? ' ' : *key;
		}
	}
	*to = '\0';
}

static int
take_object(struct page *p)
{
	if (p->encoded)
		decode_key(p->key);
	p->ended = p->fn(p->arg, p->key, p->length) != 0;
	p->key[0] = '\0';
	p->length = 0;
	return p->ended ? 1 : 0;
}

static int
take_page(void *arg, const char *path, const char *text)
{
	struct page *p = arg;

	if (strcmp(path, "ListBucketResult/Contents/Key") == 0)
		(void)snprintf(p->key, sizeof(p->key), "%s", text);
	else if (strcmp(path, "ListBucketResult/Contents/Size") == 0)
		p->length = strtoull(text, NULL, 10);
	else if (strcmp(path, "ListBucketResult/Contents") == 0)
		return take_object(p);
	else if (strcmp(path, "ListBucketResult/IsTruncated") == 0)
		p->more = strcmp(text, "true") == 0;
	else if (strcmp(path, "ListBucketResult/NextContinuationToken") == 0)
		(void)snprintf(p->token, sizeof(p->token), "%s", text);
	return 0;
}

/* It stands after the keys in some servers' answers. */
static int
find_encoding(void *arg, const char *path, const char *text)
{
	if (strcmp(path, "ListBucketResult/EncodingType") == 0)
		((struct page *)arg)->encoded = strcmp(text, "url") == 0;
	return 0;
}

static enum s3_said
list_page(struct s3 *s, const char *prefix, struct page *p,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct buf query = BUF_INIT(16u << 10);
	struct s3_request q = { .method = "GET", .action = "s3:ListBucket" };
	enum s3_said said;

	if (p->token[0] != '\0') {
		(void)buf_add_str(&query, "continuation-token=");
		s3_add_encoded(&query, p->token, false);
		(void)buf_add_char(&query, '&');
	}
	(void)buf_add_str(&query, "encoding-type=url&list-type=2&prefix=");
	s3_add_encoded(&query, prefix, false);
	q.query = query.data;
	said = s3_call(s, &q, &a, ret);
	buf_free(&query);
	if (said != S3_DONE)
		return said;
	p->more = p->encoded = false;
	p->token[0] = p->key[0] = '\0';
	if (s3_xml_walk(a.reply.body.data, a.reply.body.len, find_encoding, p) < 0)
		return say_nonsense(s, ret);
	(void)s3_xml_walk(a.reply.body.data, a.reply.body.len, take_page, p);
	return S3_DONE;
}

enum s3_said
s3_list(struct s3 *s, const char *prefix, s3_list_fn *fn, void *arg,
    struct destination_result *ret)
{
	AUTO_FREE struct page *p = xcalloc(1, sizeof(*p));
	AUTO_FREE char *before = NULL;
	enum s3_said said;

	p->fn = fn;
	p->arg = arg;
	for (unsigned i = 0; i < PAGES_MAX; i++) {
		said = list_page(s, prefix, p, ret);
		if (said != S3_DONE || p->ended || !p->more || p->token[0] == '\0')
			return said;
		if (before != NULL && strcmp(before, p->token) == 0)
			break;
		free(before);
		before = xstrdup(p->token);
	}
	return fail(s, "its list of objects does not come to an end", ret);
}
