/* warning.c - what of a configuration people should know: each sentence names
 * the key to set.
 */
#include <stdio.h>

#include "gateway/admin/admin_int.h"
#include "gateway/dicom/uid.h"

static bool
has_legacy_tls(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->gateway->listen.n; i++) {
		const struct config_listen *l = cfg->gateway->listen.v[i];

		if (l->tls != NULL && l->tls->profile == CONFIG_TLS_LEGACY_AES)
			return true;
	}
	return false;
}

static void
warn_access(const struct config *cfg, admin_warning_fn *fn, void *arg)
{
	if (cfg->access == CONFIG_ACCESS_OPEN)
		fn(arg, "everybody may send images: access is open; list the "
		    "modalities under peers and set access: listed");
	else if (cfg->peers.n == 0)
		fn(arg, "nobody may send images: list the modalities under peers");
}

static void
warn_destination(const struct config *cfg, admin_warning_fn *fn, void *arg)
{
	if (cfg->destinations.n > 0)
		return;
	if (cfg->unrouted == CONFIG_UNROUTED_HOLD && cfg->unrouted_written)
		fn(arg, "there is nowhere to send images, they are only held: name "
		    "a destination under destinations");
	else
		fn(arg, "there is nowhere to send images, so they are refused: name "
		    "a destination under destinations");
}

/* Which keywords there are the configuration itself does not know. */
static void
warn_routes(const struct config *cfg, admin_warning_fn *fn, void *arg)
{
	char text[240];

	for (size_t i = 0; i < cfg->routes.n; i++) {
		const struct config_route *r = cfg->routes.v[i];

		for (size_t k = 0; k < r->sop_class.n; k++) {
			const char *name = r->sop_class.v[k];

			if (name[0] >= '0' && name[0] <= '9')
				continue;	/* a UID, perhaps a private one */
			if (dicom_keyword_known(name))
				continue;
			(void)snprintf(text, sizeof(text), "a route matches nothing: "
			    "no SOP class has the keyword %s; correct sop_class under "
			    "routes (line %u)", name, r->line);
			fn(arg, text);
		}
	}
}

void
admin_config_warnings(const struct config *cfg, admin_warning_fn *fn, void *arg)
{
	warn_access(cfg, fn, arg);
	warn_destination(cfg, fn, arg);
	if (has_legacy_tls(cfg))
		fn(arg, "TLS accepts outdated ciphers: profile is legacy_aes under "
		    "gateway.listen[].tls; set bcp195 once all modalities can");
	warn_routes(cfg, fn, arg);
}
