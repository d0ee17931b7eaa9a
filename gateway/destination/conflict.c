/* conflict.c - the destination holds other bytes under our UID (rules 3 and 4).
 *
 * Refused, unless the site says `on_conflict: replace`: then the intent is made
 * durable first, the old bytes are deleted, ours are sent, and reading back
 * decides. A crash anywhere between resumes here, because the item says that it
 * was being replaced.
 */
#include <string.h>

#include "gateway/destination/stow_int.h"

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
	case STOW_TRANSCODED:
		stow_settle_transcoded(item);
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
}

/* True: what is sent now takes the place of what is there. */
static bool
make_room(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	if (s->flavor->remove == NULL)
		return true;
	switch (s->flavor->remove(s, &item->in, ret)) {
	case STOW_DELETED:
		return true;
	case STOW_CANNOT:
		stow_settle(item, DESTINATION_REFUSED, "the cloud holds other bytes "
		    "under this UID and cannot replace them: %s",
		    s->flavor->cannot_replace);
		return false;
	case STOW_UNSURE:
		return false;
	}
	return false;
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
	if (!make_room(s, item, ret))
		return;
	if (stow_send_one(s, item, s->flavor->replace_by, ret))
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
