/* conflict.c - the destination holds other bytes under our UID (rules 3 and 4).
 *
 * Refused, unless the site says `on_conflict: replace`: then the intent is made
 * durable first, the old bytes are deleted, ours are sent, and reading back
 * decides. A crash anywhere between resumes here, because the item says that it
 * was being replaced.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/stow_int.h"

#define LOOKUP_MAX (64u << 10)

/* ---- deleting, by flavor ------------------------------------------------- */

static enum stow_deleted
judge_deletion(const struct http_reply *r, struct destination_result *ret)
{
	if (r->outcome == HTTP_ANSWERED) {
		if ((r->status >= 200 && r->status < 300) || r->status == 404 ||
		    r->status == 410)
			return STOW_DELETED;
		if (r->status == 400 || r->status == 403 || r->status == 405 ||
		    r->status == 501)
			return STOW_CANNOT;
	}
	stow_health(r, ret);
	return STOW_UNSURE;
}

static enum stow_deleted
delete_path(struct http_client *http, const char *path,
    struct destination_result *ret)
{
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	struct http_request req = {
		.method = "DELETE",
		.path = path,
		.deadline_ms = CLOCK_NEVER,
	};

	(void)http_call(http, &req, &reply);
	return judge_deletion(&reply, ret);
}

static enum stow_deleted
delete_dicomweb(struct stow *s, const struct destination_item *item,
    struct destination_result *ret)
{
	AUTO_FREE char *path = NULL;

	if (stow_instance_path(&item->in, &path) < 0)
		return STOW_CANNOT;
	return delete_path(s->http, path, ret);
}

struct text_body { const char *text; size_t at; };

static ssize_t
give_text(void *arg, void *data, size_t size)
{
	struct text_body *b = arg;
	size_t n = strlen(b->text) - b->at;

	if (n > size)
		n = size;
	memcpy(data, b->text + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static int
rewind_text(void *arg)
{
	((struct text_body *)arg)->at = 0;
	return 0;
}

/* Orthanc's own identifier of an instance: five groups of hexadecimal digits. */
static bool
orthanc_id_ok(const char *id)
{
	return id != NULL && strlen(id) == 44 &&
	    strspn(id, "0123456789abcdef-") == 44;
}

static enum stow_deleted
delete_found(struct stow *s, const char *json, struct destination_result *ret)
{
	json_t *found = json_loads(json, 0, NULL);
	enum stow_deleted r = STOW_DELETED;
	json_t *entry;
	size_t i;

	json_array_foreach(found, i, entry) {
		const char *id = json_string_value(json_object_get(entry, "ID"));
		const char *type = json_string_value(
		    json_object_get(entry, "Type"));
		char path[64];

		if (type == NULL || strcmp(type, "Instance") != 0 ||
		    !orthanc_id_ok(id) || r != STOW_DELETED)
			continue;
		(void)snprintf(path, sizeof(path), "/instances/%s", id);
		r = delete_path(s->rest, path, ret);
	}
	json_decref(found);
	return r;
}

/* Its DICOMweb deletes nothing; its own interface does, where the site lets us
 * reach it. Where it does not, OverwriteInstances makes the next POST replace,
 * and reading back tells. */
static enum stow_deleted
delete_orthanc(struct stow *s, const struct destination_item *item,
    struct destination_result *ret)
{
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	struct text_body body = { .text = item->in.sop_instance };
	struct http_request req = {
		.method = "POST",
		.path = "/tools/lookup",
		.content_type = "text/plain",
		.body = give_text,
		.body_arg = &body,
		.body_rewind = rewind_text,
		.body_length = strlen(body.text),
		.reply_max = LOOKUP_MAX,
		.deadline_ms = CLOCK_NEVER,
	};

	if (s->rest == NULL)
		return STOW_DELETED;
	(void)http_call(s->rest, &req, &reply);
	if (reply.outcome == HTTP_ANSWERED && reply.status == 200 &&
	    reply.body.len > 0)
		return delete_found(s, reply.body.data, ret);
	if (reply.outcome == HTTP_ANSWERED && reply.status < 500)
		return STOW_DELETED;
	stow_health(&reply, ret);
	return STOW_UNSURE;
}

static const struct stow_flavor flavor_generic = {
	.name = "generic",
	.remove = delete_dicomweb,
	.cannot_replace = "it does not let us delete single instances",
};

static const struct stow_flavor flavor_orthanc = {
	.name = "orthanc",
	.originals = true,
	.rest = true,
	.remove = delete_orthanc,
	.cannot_replace = "set OverwriteInstances there, or let this gateway reach "
	    "Orthanc's REST interface beside its DICOMweb",
};

const struct stow_flavor *const stow_flavors[] = {
	&flavor_generic,
	&flavor_orthanc,
	NULL,
};

/* ---- replacing ----------------------------------------------------------- */

static void
settle_replaced(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	switch (stow_read_back(s, item, ret)) {
	case STOW_EQUAL:
		stow_settle(item, DESTINATION_OK, "%s", "");
		break;
	case STOW_ABSENT:
		stow_settle(item, DESTINATION_RETRY, "it was replaced, but cannot be "
		    "read back yet");
		item->retry_soon = true;
		break;
	case STOW_DIFFERENT:
		stow_settle(item, DESTINATION_REFUSED, "the cloud holds other bytes "
		    "under this UID and keeps them: %s",
		    s->flavor->cannot_replace);
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
}

static void
replace(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	int r;

	/* Durable before the first byte over there is gone (rule 4). */
	r = spool_set_replacing(s->spool, item->in.id, s->name);
	if (r < 0) {
		stow_settle(item, DESTINATION_RETRY, "the intent to replace it could "
		    "not be recorded: %s", strerror(-r));
		return;
	}
	item->in.replacing = true;
	switch (s->flavor->remove(s, item, ret)) {
	case STOW_DELETED:
		break;
	case STOW_CANNOT:
		stow_settle(item, DESTINATION_REFUSED, "the cloud holds other bytes "
		    "under this UID and cannot replace them: %s",
		    s->flavor->cannot_replace);
		return;
	case STOW_UNSURE:
		return;
	}
	if (stow_send_one(s, item, ret))
		settle_replaced(s, item, ret);
}

void
stow_resolve(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	if (s->on_conflict == CONFIG_CONFLICT_REPLACE)
		replace(s, item, ret);
	else
		stow_settle(item, DESTINATION_REFUSED, "the cloud holds other bytes "
		    "under this UID");
}
