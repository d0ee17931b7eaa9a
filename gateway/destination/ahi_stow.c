/* ahi_stow.c - HealthImaging's DICOMweb host: STOW up to 1 GB a request, and what
 * the data store shows by QIDO and WADO.
 *
 * HealthImaging groups and replaces by itself, and the last write wins: nothing is
 * deleted first, a later version goes like a first one, and what the answer says of
 * it counts. It keeps pixels in an encoding of its own.
 *
 * Sources: AWS HealthImaging developer guide, "Using DICOMweb"; AWS's own gateway
 * (aws-healthimaging-samples) for what answers look like.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_int.h"

#define PROBE_MS 60000

const struct stow_flavor ahi_flavor = {
	.name = "healthimaging",
	.transcodes = true,
	.request_bytes = AHI_STOW_MAX,
	.limit_name = "a STOW request to HealthImaging may be (1 GB)",
	.replace_by = "POST",
	.page = 1000,
	.cannot_replace = "it keeps the older ones",
};

void
ahi_query(struct ahi *a, struct destination_look *looks, size_t n,
    struct destination_result *ret)
{
	stow_verify(&a->stow, looks, n, false, ret);
}

static bool
is_to_be_asked(const struct spool_instance *in)
{
	return in->check && in->version == 1 && !in->later;
}

size_t
ahi_ask_first(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret)
{
	AUTO_FREE struct destination_look *looks = xcalloc(n, sizeof(*looks));
	size_t asked = 0, left = 0, at = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_to_be_asked(&items[i]->in))
			looks[asked++].in = items[i]->in;
	}
	if (asked == 0)
		return n;
	ahi_query(a, looks, asked, ret);
	for (size_t i = 0; i < n; i++) {
		if (is_to_be_asked(&items[i]->in) &&
		    looks[at++].presence == DESTINATION_THERE)
			stow_settle(items[i], DESTINATION_OK, "%s", "");
		else
			items[left++] = items[i];
	}
	return left;
}

/* Where it cannot be asked, sending again does no harm. */
void
ahi_stow(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret)
{
	struct destination_result asked = { .health = DESTINATION_UP };

	n = ahi_ask_first(a, items, n, &asked);
	if (n > 0)
		stow_send(&a->stow, items, n, ret);
}

/* ---- verifying ----------------------------------------------------------- */

struct remote { const char *destination; char *ret; size_t size; };

static int
take_remote(void *arg, const struct spool_delivery_row *row)
{
	struct remote *r = arg;

	if (strcmp(row->destination, r->destination) == 0)
		(void)snprintf(r->ret, r->size, "%s", row->remote);
	return 0;
}

/* What is not primary is read where it is; no query shows it. */
static void
look_aside(struct ahi *a, struct destination_look *look, bool bytes,
    struct destination_result *ret)
{
	struct destination_item item = { .in = look->in };
	struct remote r = { a->name, item.remote, sizeof(item.remote) };

	if (spool_deliveries(a->spool, look->in.id, take_remote, &r) < 0 ||
	    item.remote[0] == '\0')
		return;
	switch (stow_read_back(&a->stow, &item, ret)) {
	case STOW_EQUAL:
		look->presence = bytes ? DESTINATION_EQUAL : DESTINATION_THERE;
		break;
	case STOW_DIFFERENT:
		look->presence = bytes ? DESTINATION_DIFFERENT : DESTINATION_THERE;
		break;
	case STOW_TRANSCODED:
		look->presence = bytes ? DESTINATION_UNKNOWN : DESTINATION_THERE;
		break;
	case STOW_ABSENT:
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		return;
	}
	(void)snprintf(look->reason, sizeof(look->reason), "beside its series, in "
	    "image set %s", item.remote + strlen("imageset:"));
}

void
ahi_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret)
{
	struct ahi *a = self;

	stow_verify(&a->stow, looks, n, bytes, ret);
	for (size_t i = 0; i < n && ret->health == DESTINATION_UP; i++) {
		if (looks[i].presence == DESTINATION_MISSING)
			look_aside(a, &looks[i], bytes, ret);
	}
}

/* ---- probing ------------------------------------------------------------- */

void
ahi_probe_web(struct ahi *a, struct destination_result *ret)
{
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	struct http_request req = {
		.method = "GET",
		.path = "/studies?limit=1",
		.accept = "application/dicom+json",
		.deadline_ms = clock_mono_ms() + PROBE_MS,
	};

	(void)http_call(a->stow.http, &req, &reply);
	if (reply.outcome != HTTP_ANSWERED || reply.status < 200 ||
	    reply.status > 299)
		stow_health(&reply, ret);
}
