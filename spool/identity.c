/* identity.c - who this spool is: the SPOOL file, and how to do without it.
 *
 * Text, so that a person can read it, with a seal, so that a damaged one is
 * known as such. It is replaced whole. Every container bears the UUID as well:
 * losing the file costs nothing but a look at them, and a generous jump of the
 * ids, because an id given out twice would be an image lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_int.h"

#define IDENTITY_NAME	 "SPOOL"
#define IDENTITY_VERSION 1
#define IDENTITY_MAX	 4096
#define IDENTITY_SEED	 UINT64_C(0x53504f4f4c)	/* "SPOOL" */

static const char identity_format[] =
    "causeway-spool %u\n"
    "uuid %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n"
    "node %u\n"
    "floor %016" PRIx64 "\n"
    "segment-size %" PRIu64 "\n";

int
identity_write(int dirfd, const struct identity *id)
{
	const uint8_t *u = id->uuid;
	char text[512];
	int n;

	n = snprintf(text, sizeof(text), identity_format, IDENTITY_VERSION,
	    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10],
	    u[11], u[12], u[13], u[14], u[15], id->node, id->floor,
	    id->segment_size);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "seal %016" PRIx64 "\n",
	    hash_seal(text, (size_t)n, IDENTITY_SEED));
	return fdio_replace(dirfd, IDENTITY_NAME, text, (size_t)n, 0600);
}

/* "NAME VALUE\n" at *p, which moves on. */
static int
take_line(char **p, const char *name, char **ret_value)
{
	size_t len = strlen(name);
	char *end = strchr(*p, '\n');

	if (end == NULL || strncmp(*p, name, len) != 0 || (*p)[len] != ' ')
		return -EBADMSG;
	*end = '\0';
	*ret_value = *p + len + 1;
	*p = end + 1;
	return 0;
}

static int
take_number(char **p, const char *name, int base, uint64_t *ret)
{
	char *value, *end;
	int r;

	r = take_line(p, name, &value);
	if (r < 0)
		return r;
	errno = 0;
	*ret = strtoull(value, &end, base);
	return errno != 0 || end == value || *end != '\0' ? -EBADMSG : 0;
}

static int
parse_uuid(const char *text, uint8_t ret[static SPOOL_UUID])
{
	uint8_t u[SPOOL_UUID];
	unsigned byte;

	for (int i = 0; i < SPOOL_UUID; i++) {
		if (*text == '-')
			text++;
		if (strspn(text, "0123456789abcdef") < 2 ||
		    sscanf(text, "%2x", &byte) != 1)
			return -EBADMSG;
		u[i] = (uint8_t)byte;
		text += 2;
	}
	if (*text != '\0')
		return -EBADMSG;
	memcpy(ret, u, sizeof(u));
	return 0;
}

/* text without its seal line. */
static int
parse_identity(char *p, struct identity *ret)
{
	struct identity id = { 0 };
	uint64_t node = 0;
	char *uuid;
	int r;

	r = take_line(&p, "uuid", &uuid);
	if (r == 0)
		r = parse_uuid(uuid, id.uuid);
	if (r == 0)
		r = take_number(&p, "node", 10, &node);
	if (r == 0)
		r = take_number(&p, "floor", 16, &id.floor);
	if (r == 0)
		r = take_number(&p, "segment-size", 10, &id.segment_size);
	if (r < 0 || node > UINT8_MAX || id.floor == 0 ||
	    id.segment_size < 2 * RECORD_ALIGN ||
	    id.segment_size % RECORD_ALIGN != 0 ||
	    id.segment_size > UINT64_C(1) << 40)
		return -EBADMSG;
	id.node = (unsigned)node;
	*ret = id;
	return 0;
}

int
identity_read(int dirfd, struct identity *ret)
{
	AUTO_FREE char *text = NULL;
	char *p, *seal_line;
	uint64_t version = 0, seal = 0;
	size_t len = 0;
	int r;

	r = fdio_slurp(dirfd, IDENTITY_NAME, IDENTITY_MAX, &text, &len);
	if (r < 0)
		return r == -EFBIG || r == -EIO || r == -EISDIR ? -EBADMSG : r;

	p = text;
	seal_line = strstr(text, "seal ");
	if (seal_line != NULL)
		seal = hash_seal(text, (size_t)(seal_line - text),
		    IDENTITY_SEED);
	r = take_number(&p, "causeway-spool", 10, &version);
	if (r == 0 && version > IDENTITY_VERSION)
		return -ENOTSUP;
	if (r == 0 && seal_line != NULL) {
		uint64_t given = 0;

		p = seal_line;
		r = take_number(&p, "seal", 16, &given);
		if (r == 0 && given == seal) {
			*seal_line = '\0';
			return parse_identity(text + strlen(text) + 1, ret);
		}
	}
	return -EBADMSG;
}

struct recovery {
	uint8_t	 uuid[SPOOL_UUID];
	bool	 found;
	uint64_t highest;
};

static int
recover_uuid(struct recovery *rec, const uint8_t *uuid)
{
	if (rec->found && memcmp(rec->uuid, uuid, SPOOL_UUID) != 0)
		return -EUCLEAN;
	memcpy(rec->uuid, uuid, SPOOL_UUID);
	rec->found = true;
	return 0;
}

static void
recover_id(struct recovery *rec, uint64_t id)
{
	if (id > rec->highest)
		rec->highest = id;
}

/* A block at the beginning of a container, or where a record may begin. Behind
 * the first block a head of another spool is taken for a part of an object.
 * *ret_step: how far the next one is. */
static int
recover_block(struct recovery *rec, const uint8_t *block, bool first,
    uint64_t *ret_step)
{
	uint8_t uuid[SPOOL_UUID];
	struct record r;

	*ret_step = RECORD_ALIGN;
	if (first && segment_head_spool(block, uuid) == 0)
		return recover_uuid(rec, uuid);
	if (record_spool(block, uuid) < 0)
		return 0;
	if (!first && rec->found && memcmp(rec->uuid, uuid, SPOOL_UUID) != 0)
		return 0;
	if (record_decode(block, uuid, &r) == 0) {
		recover_id(rec, r.id);
		*ret_step = record_extent(r.length);
	}
	return recover_uuid(rec, uuid);
}

static int
recover_file(struct recovery *rec, int dirfd, uint64_t id, const char *suffix,
    bool all_blocks)
{
	char name[FILE_NAME_SIZE];
	uint8_t block[RECORD_ALIGN];
	AUTO_CLOSE int fd = -1;
	uint64_t size = 0, bad = 0, step = 0;
	int r;

	recover_id(rec, id);
	file_name(id, suffix, name);
	r = file_open(dirfd, name, O_RDONLY, &fd, &size);
	if (r < 0)
		return r == -ELOOP || r == -ENOENT ? 0 : r;
	for (uint64_t at = 0; at + RECORD_HEAD <= size && r == 0; at += step) {
		memset(block, 0, sizeof(block));
		if (file_pread_rest(fd, block, sizeof(block), at, &bad) < 0)
			return 0;
		r = recover_block(rec, block, at == 0, &step);
		if (!all_blocks)
			break;
	}
	return r;
}

static int
recover_segment(void *arg, int dirfd, uint64_t id)
{
	return recover_file(arg, dirfd, id, FILE_SEGMENT, true);
}

static int
recover_own(void *arg, int dirfd, uint64_t id)
{
	return recover_file(arg, dirfd, id, FILE_OWN, false);
}

static int
recover_folder(int dirfd, const char *name, struct recovery *rec)
{
	AUTO_CLOSE int fd = -1;
	int r;

	r = file_open_dir(dirfd, name, &fd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (strcmp(name, "segments") == 0)
		return file_walk(fd, FILE_SEGMENT, recover_segment, rec);
	if (strcmp(name, "objects") == 0)
		return file_walk_objects(fd, recover_own, rec);
	return file_walk(fd, FILE_OWN, recover_own, rec);
}

int
identity_recover(int dirfd, uint8_t ret_uuid[static SPOOL_UUID],
    uint64_t *ret_highest)
{
	static const char *const folders[] = { "segments", "objects", "open",
		"damaged" };
	struct recovery rec = { 0 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders) && r == 0; i++)
		r = recover_folder(dirfd, folders[i], &rec);
	if (r < 0)
		return r;
	if (!rec.found)
		return -ENOENT;
	memcpy(ret_uuid, rec.uuid, SPOOL_UUID);
	*ret_highest = rec.highest;
	return 0;
}
