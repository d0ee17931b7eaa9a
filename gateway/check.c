/* check.c - is the configuration one that we could start with. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"
#include "gateway/gateway_int.h"
#include "gateway/http/http.h"

#define KINDS_MAX 16

/* The tables of kinds, as config wants them. */
void
gateway_register_kinds(void)
{
	static const struct config_kind *destinations[KINDS_MAX + 1];
	static const struct config_kind *credentials[KINDS_MAX + 1];
	const struct destination_kind *const *d = destination_kinds();
	const struct http_credential_kind *const *c = http_credential_kinds();
	size_t i;

	for (i = 0; d[i] != NULL; i++) {
		assert(i < KINDS_MAX);
		destinations[i] = &d[i]->config;
	}
	for (i = 0; c[i] != NULL; i++) {
		assert(i < KINDS_MAX);
		credentials[i] = &c[i]->config;
	}
	config_set_kinds(destinations, credentials);
}

int
gateway_listener_tls(const struct config_listen *l, struct assoc_tls **ret,
    struct buf *why)
{
	const struct config_server_tls *t = l->tls;
	struct assoc_tls_options opt;

	if (t == NULL) {
		*ret = NULL;
		return 0;
	}
	opt = (struct assoc_tls_options){
		.certificate_file = t->certificate_file, .key_file = t->key_file,
		.key_passphrase_file = t->key_passphrase_file,
		.client_ca_file = t->client_ca_file, .crl_file = t->crl_file,
		.profile = t->profile == CONFIG_TLS_LEGACY_AES ?
		    ASSOC_TLS_LEGACY_AES : ASSOC_TLS_BCP195,
	};
	return assoc_tls_new(&opt, ret, why);
}

static bool
check_listeners(const char *path, const struct config *cfg, struct buf *problems)
{
	bool good = true;

	for (size_t i = 0; i < cfg->gateway->listen.n; i++) {
		const struct config_listen *l = cfg->gateway->listen.v[i];
		struct buf why = BUF_INIT(4096);
		struct assoc_tls *tls = NULL;

		if (gateway_listener_tls(l, &tls, &why) < 0) {
			(void)buf_printf(problems, "%s:%u: gateway.listen[%zu].tls: "
			    "%s\n", path, l->tls->line, i,
			    why.len > 0 ? why.data : "cannot be used");
			good = false;
		}
		assoc_tls_unref(tls);
		buf_free(&why);
	}
	return good;
}

static bool
try_destination(const char *path, const struct config *cfg,
    const struct config_destination *d, struct buf *problems)
{
	struct buf why = BUF_INIT(4096);
	struct destination *opened;
	int r = destination_open(d, NULL, &opened, &why);

	if (r == 0) {
		if (why.len == 0)
			destination_check(opened, cfg, &why);
		destination_close(opened);
	}
	if (r < 0 || why.len > 0)
		(void)buf_printf(problems, "%s:%u: destination %s: %s%s\n", path,
		    d->line, d->name, r < 0 ? "" : "warning: ",
		    why.len > 0 ? why.data : strerror(-r));
	buf_free(&why);
	return r == 0;
}

int
gateway_try_destinations(const char *path, const struct config *cfg,
    struct buf *problems)
{
	bool good = true;

	for (size_t i = 0; i < cfg->destinations.n; i++)
		good &= try_destination(path, cfg, cfg->destinations.v[i], problems);
	return good ? 0 : GATEWAY_BAD_CONFIG;
}

int
gateway_load(const char *path, const struct config **ret, struct buf *problems)
{
	const struct config *cfg;

	if (config_load(path, &cfg, problems) < 0)
		return GATEWAY_BAD_CONFIG;
	if (!check_listeners(path, cfg, problems)) {
		config_unref(cfg);
		return GATEWAY_BAD_CONFIG;
	}
	*ret = cfg;
	return 0;
}
