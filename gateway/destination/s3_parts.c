/* s3_parts.c - an upload in parts: its plan, its note, and what S3 shows of it.
 *
 * The note is JSON in the spool: where the upload goes, its id, and the ETag of
 * each part that arrived. A part under a number of ours in an upload of ours can
 * only be ours, and S3 verified its hash, so what S3 lists with the right size
 * need not be sent again even if the note was not written in time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/destination/s3_client_int.h"

#define MIB (1u << 20)

void
s3_upload_free(struct s3_upload *u)
{
	free(u->etag);
	*u = (struct s3_upload){ 0 };
}

uint64_t
s3_part_size(uint64_t wanted, uint64_t length)
{
	uint64_t least = (length + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	if (least <= wanted)
		return wanted;
	return (least + MIB - 1) / MIB * MIB;
}

void
s3_upload_plan(struct s3_upload *u, const char *key, uint64_t part,
    uint64_t length)
{
	s3_upload_free(u);
	(void)snprintf(u->key, sizeof(u->key), "%s", key);
	u->part = part;
	u->length = length;
	u->n = (unsigned)((length + part - 1) / part);
	u->etag = xcalloc(u->n, sizeof(*u->etag));
}

uint64_t
s3_upload_size(const struct s3_upload *u, unsigned i)
{
	return i + 1 < u->n ? u->part : u->length - (u->n - 1) * u->part;
}

/* ---- the note ------------------------------------------------------------ */

static json_t *
list_etags(const struct s3_upload *u)
{
	json_t *list = json_array();
	unsigned n = u->n;

	while (n > 0 && u->etag[n - 1][0] == '\0')
		n--;
	for (unsigned i = 0; i < n; i++) {
		json_t *etag = json_string(u->etag[i]);

		/* What is no text stands for a part that was not sent. */
		(void)json_array_append_new(list, etag != NULL ? etag :
		    json_string(""));
	}
	return list;
}

int
s3_upload_print(const struct s3_upload *u, const char *bucket, struct buf *b)
{
	json_t *note = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:o}",
	    "s3_upload", 1, "bucket", bucket, "key", u->key, "upload", u->id,
	    "length", (json_int_t)u->length, "part", (json_int_t)u->part,
	    "etags", list_etags(u));
	AUTO_FREE char *text = note != NULL ? json_dumps(note,
	    JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(note);
	return text != NULL ? buf_add_str(b, text) : -EINVAL;
}

static int
take_etags(struct s3_upload *u, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) > u->n)
		return -EBADMSG;
	json_array_foreach(list, i, one) {
		const char *etag = json_string_value(one);

		if (etag == NULL || strlen(etag) > S3_ETAG_MAX)
			return -EBADMSG;
		(void)snprintf(u->etag[i], sizeof(u->etag[i]), "%s", etag);
	}
	return 0;
}

static int
read_note(struct s3_upload *u, json_t *note, const char *bucket, const char *key,
    uint64_t length)
{
	const char *in = NULL, *name = NULL, *id = NULL;
	json_t *etags = NULL;
	json_int_t was = 0, part = 0;
	int version = 0;

	if (json_unpack(note, "{s:i, s:s, s:s, s:s, s:I, s:I, s:o}", "s3_upload",
		&version, "bucket", &in, "key", &name, "upload", &id, "length", &was,
		"part", &part, "etags", &etags) < 0 || version != 1 ||
	    strcmp(in, bucket) != 0 || strlen(name) > S3_KEY_MAX ||
	    id[0] == '\0' || strlen(id) > S3_UPLOAD_MAX)
		return -EBADMSG;
	(void)snprintf(u->key, sizeof(u->key), "%s", name);
	(void)snprintf(u->id, sizeof(u->id), "%s", id);
	if (strcmp(name, key) != 0 || (uint64_t)was != length ||
	    part < (json_int_t)S3_PART_MIN ||
	    (length + (uint64_t)part - 1) / (uint64_t)part > S3_PARTS_MAX)
		return -ESTALE;
	s3_upload_plan(u, key, (uint64_t)part, length);
	(void)snprintf(u->id, sizeof(u->id), "%s", id);
	return take_etags(u, etags);
}

int
s3_upload_parse(struct s3_upload *u, const char *text, const char *bucket,
    const char *key, uint64_t length)
{
	json_t *note = json_loads(text, 0, NULL);
	int r;

	r = note != NULL ? read_note(u, note, bucket, key, length) : -EBADMSG;
	json_decref(note);
	if (r == -EBADMSG)
		s3_upload_free(u);
	return r;
}

/* ---- what S3 shows ------------------------------------------------------- */

struct listing {
	struct s3_upload *u;
	bool	*seen;
	unsigned number, next;
	uint64_t size;
	char	 etag[S3_ETAG_MAX + 1];
	bool	 listed, more;
};

static void
copy_etag(char *to, const char *from)
{
	size_t n = 0;

	for (; *from != '\0' && n < S3_ETAG_MAX; from++) {
		if (*from != '"')
			to[n++] = *from;
	}
	to[n] = '\0';
}

static void
take_part(struct listing *l)
{
	unsigned i = l->number - 1;	/* 0 becomes too large */

	if (i < l->u->n && l->size == s3_upload_size(l->u, i) &&
	    l->etag[0] != '\0') {
		memcpy(l->u->etag[i], l->etag, sizeof(l->etag));
		l->seen[i] = true;
	}
	l->number = 0;
	l->size = 0;
	l->etag[0] = '\0';
}

static int
take_listing(void *arg, const char *path, const char *text)
{
	struct listing *l = arg;

	if (strcmp(path, "ListPartsResult") == 0)
		l->listed = true;
	else if (strcmp(path, "ListPartsResult/Part/PartNumber") == 0)
		l->number = (unsigned)strtoul(text, NULL, 10);
	else if (strcmp(path, "ListPartsResult/Part/Size") == 0)
		l->size = strtoull(text, NULL, 10);
	else if (strcmp(path, "ListPartsResult/Part/ETag") == 0)
		copy_etag(l->etag, text);
	else if (strcmp(path, "ListPartsResult/Part") == 0)
		take_part(l);
	else if (strcmp(path, "ListPartsResult/IsTruncated") == 0)
		l->more = strcmp(text, "true") == 0;
	else if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0)
		l->next = (unsigned)strtoul(text, NULL, 10);
	return 0;
}

int
s3_upload_listed(struct s3_upload *u, const char *xml, size_t len, bool *seen,
    unsigned *ret_next)
{
	struct listing l = { .u = u, .seen = seen };
	int r = s3_xml_walk(xml, len, take_listing, &l);

	if (r < 0 || !l.listed)
		return -EBADMSG;
	/* Beyond our own parts it could go on for ever. */
	*ret_next = l.more && l.next <= u->n ? l.next : 0;
	return 0;
}
