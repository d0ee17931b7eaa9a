/* peer.c - which entry of `peers` a caller is (rule 17): vendors ship one title
 * for all their machines, so an entry is a title plus, perhaps, an address.
 */
#include <string.h>

#include "config/config.h"

/* The longest prefix that holds the address; -1 when none does. An entry without
 * addresses holds all of them, less specifically than any network. */
static int
match_address(const struct config_peer *p, const char *address)
{
	int best = -1;

	if (p->address.n == 0)
		return 0;
	for (size_t i = 0; i < p->address.n; i++) {
		if (config_network_has(p->address.v[i], address)) {
			int bits = 1 + config_network_bits(p->address.v[i]);

			best = bits > best ? bits : best;
		}
	}
	return best;
}

const struct config_peer *
config_peer_find(const struct config *c, const char *ae_title, const char *address)
{
	const struct config_peer *best = NULL;
	int best_score = -1;

	for (size_t i = 0; i < c->peers.n; i++) {
		const struct config_peer *p = c->peers.v[i];
		bool exact = strcmp(p->ae_title, ae_title) == 0;
		int bits;

		if (!exact && strcmp(p->ae_title, "*") != 0)
			continue;
		bits = match_address(p, address);
		if (bits < 0)
			continue;
		if (exact)
			bits += 1000;	/* the title outranks any network */
		if (bits > best_score) {
			best_score = bits;
			best = p;
		}
	}
	return best;
}
