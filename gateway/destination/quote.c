/* quote.c - what a destination says of an instance, in the reason that people read.
 * Kinds call it, so it lies apart from the table that knows them all.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/destination/destination.h"

void
destination_quote(struct destination_item *item, const char *said)
{
	size_t n = strlen(item->reason);

	if (said[0] == '\0')
		return;
	item->quote_at = n;
	(void)snprintf(item->reason + n, sizeof(item->reason) - n, ": %s", said);
}
