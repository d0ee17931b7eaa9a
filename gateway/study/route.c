/* route.c - the routes of the configuration, applied to one instance. */
#include <string.h>

#include "gateway/dicom/uid.h"
#include "gateway/study/study.h"
#include "gateway/study/study_int.h"

static bool
match_any(const struct config_strings *patterns, const char *text)
{
	if (patterns->n == 0)
		return true;
	for (size_t i = 0; i < patterns->n; i++) {
		if (dicom_glob_match(patterns->v[i], text))
			return true;
	}
	return false;
}

/* Any of the study's modalities will do: the dose report travels with the CT. */
static bool
match_modality(const struct config_strings *wanted, const char *modalities)
{
	const char *p = modalities;

	if (wanted->n == 0)
		return true;
	while (*p != '\0') {
		size_t len = strcspn(p, "\\");

		for (size_t i = 0; i < wanted->n; i++) {
			if (strlen(wanted->v[i]) == len &&
			    memcmp(wanted->v[i], p, len) == 0)
				return true;
		}
		p += len;
		if (*p == '\\')
			p++;
	}
	return false;
}

static void
mark_destinations(const struct config *cfg, const struct config_strings *names,
    bool *to)
{
	for (size_t i = 0; i < names->n; i++) {
		for (size_t d = 0; d < cfg->destinations.n; d++) {
			const struct config_destination *dest =
			    cfg->destinations.v[d];

			if (strcmp(dest->name, names->v[i]) == 0)
				to[d] = true;
		}
	}
}

static bool
match_route(const struct config *cfg, size_t i, const struct study_facts *f)
{
	const struct config_route *r = cfg->routes.v[i];

	return match_any(&r->from, f->calling) && match_any(&r->called, f->called) &&
	    match_modality(&r->modality, f->modalities) &&
	    study_traits_meet(f->traits, cfg, i);
}

size_t
study_route(const struct config *cfg, const struct study_facts *f, bool *to,
    bool *matched)
{
	size_t n = 0;

	for (size_t d = 0; d < cfg->destinations.n; d++)
		to[d] = cfg->routes.n == 0;
	for (size_t i = 0; matched != NULL && i < cfg->routes.n; i++)
		matched[i] = false;

	for (size_t i = 0; i < cfg->routes.n; i++) {
		const struct config_route *r = cfg->routes.v[i];

		if (!match_route(cfg, i, f))
			continue;
		if (matched != NULL)
			matched[i] = true;
		mark_destinations(cfg, &r->to, to);
		if (r->final)
			break;
	}

	for (size_t d = 0; d < cfg->destinations.n; d++)
		n += to[d] ? 1 : 0;
	return n;
}

bool
study_routable(const struct config *cfg, const char *calling, const char *called)
{
	if (cfg->destinations.n == 0)
		return false;
	if (cfg->routes.n == 0)
		return true;
	for (size_t i = 0; i < cfg->routes.n; i++) {
		const struct config_route *r = cfg->routes.v[i];

		if (!match_any(&r->from, calling) || !match_any(&r->called, called))
			continue;
		if (r->to.n > 0)
			return true;
		if (r->final && r->modality.n == 0 && study_route_asks(r) == 0)
			return false;
	}
	return false;
}
