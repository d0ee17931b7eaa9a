/* flavors.c - how the servers differ that speak DICOMweb: what they take, how much
 * at once, how an instance of theirs is replaced or deleted.
 *
 * A flavor is one entry of the table below, in the order of the option's choices.
 * Sources: the conformance statements of Google's Cloud Healthcare API and Azure's
 * DICOM service (v2); Orthanc's DICOMweb plugin and REST API; dcm4chee-arc.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/stow_int.h"

#define LOOKUP_MAX (64u << 10)

/* ---- deleting ------------------------------------------------------------ */

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
delete_dicomweb(struct stow *s, const struct spool_instance *in,
    struct destination_result *ret)
{
	AUTO_FREE char *path = NULL;

	if (stow_instance_path(in, &path) < 0)
		return STOW_CANNOT;
	return delete_path(s->http, path, ret);
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
delete_orthanc(struct stow *s, const struct spool_instance *in,
    struct destination_result *ret)
{
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	struct http_memory body = { .data = in->sop_instance,
		.len = strlen(in->sop_instance) };
	struct http_request req = {
		.method = "POST",
		.path = "/tools/lookup",
		.content_type = "text/plain",
		.body = http_memory_read,
		.body_arg = &body,
		.body_rewind = http_memory_rewind,
		.body_length = body.len,
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

/* ---- the table ----------------------------------------------------------- */

static const struct stow_flavor flavor_generic = {
	.name = "generic",
	.remove = delete_dicomweb,
	.delete = delete_dicomweb,
	.replace_by = "POST",
	.page = 100,
	.cannot_replace = "it does not let us delete single instances",
};

static const struct stow_flavor flavor_orthanc = {
	.name = "orthanc",
	.originals = true,
	.rest = true,
	.remove = delete_orthanc,
	.delete = delete_orthanc,
	.replace_by = "POST",
	.page = 1000,
	.cannot_replace = "set OverwriteInstances there, or let this gateway reach "
	    "Orthanc's REST interface beside its DICOMweb",
};

/* Cloud Healthcare API: the same bytes again are fine, others under a UID are
 * refused (409), like what cannot be parsed, and the failure's reason does not tell
 * them apart. DELETE of an instance is its extension. */
static const struct stow_flavor flavor_google = {
	.name = "google",
	.vague = true,
	.remove = delete_dicomweb,
	.delete = delete_dicomweb,
	.replace_by = "POST",
	.page = 1000,
	.cannot_replace = "the service account lacks "
	    "healthcare.dicomStores.dicomWebDelete",
};

/* Health Data Services: explicit VR alone, 4 GB a request; POST refuses what
 * exists (45070), PUT replaces it. */
static const struct stow_flavor flavor_azure = {
	.name = "azure",
	.request_bytes = UINT64_C(4000000000),
	.limit_name = "a request to Azure's DICOM service takes 4 GB",
	.delete = delete_dicomweb,
	.replace_by = "PUT",
	.page = 200,
	.cannot_replace = "PUT was refused: the application needs the role DICOM "
	    "Data Owner, and the service the API version v2",
};

/* Its Overwrite Policy decides whether a POST replaces; reading back tells. */
static const struct stow_flavor flavor_dcm4chee = {
	.name = "dcm4chee",
	.replace_by = "POST",
	.page = 1000,
	.cannot_replace = "set the archive's Overwrite Policy (dcmOverwritePolicy) to "
	    "SAME_SOURCE or ALWAYS",
};

const struct stow_flavor *const stow_flavors[] = {
	&flavor_generic,
	&flavor_orthanc,
	&flavor_google,
	&flavor_azure,
	&flavor_dcm4chee,
	NULL,
};
