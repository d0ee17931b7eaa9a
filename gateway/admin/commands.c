/* commands.c - POST /v1/studies/REF/VERB and /v1/destinations/NAME/VERB: each
 * becomes one spool_command() in the name of the socket's peer.
 *
 * What lets go of images or destroys them wants `yes` and a reason, here too and
 * not only in causewayctl. The reason is kept with the images; it is not logged,
 * for people write names into it (rule 34).
 */
#include <errno.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"

static const struct verb {
	const char *name;
	enum spool_verb verb;
	bool on_destination;	/* POST /v1/destinations/NAME/VERB, too */
	bool one_destination;	/* of a study: may name one */
	bool consent;		/* wants yes and a reason */
	bool priority;		/* wants a priority */
	bool nudge;		/* try at once */
} verbs[] = {
	{ "retry", SPOOL_RETRY, .on_destination = true, .one_destination = true,
	    .nudge = true },
	{ "resend", SPOOL_RESEND, .one_destination = true, .nudge = true },
	{ "accept", SPOOL_ACCEPT, .one_destination = true },
	{ "hold", SPOOL_HOLD, .on_destination = true },
	{ "release", SPOOL_RELEASE, .on_destination = true, .nudge = true },
	{ "priority", SPOOL_PRIORITY, .priority = true },
	{ "drop", SPOOL_DROP, .on_destination = true, .one_destination = true,
	    .consent = true },
	{ "purge", SPOOL_PURGE, .consent = true },
};

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int
find_priority(const char *name, enum spool_priority *ret)
{
	static const char *const names[] = {
		[SPOOL_LOW] = "low", [SPOOL_NORMAL] = "normal",
		[SPOOL_STAT] = "stat",
	};

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0) {
			*ret = (enum spool_priority)i;
			return 0;
		}
	return -EINVAL;
}

/* Keys that are misspelt must not be passed over: `destination` decides how much
 * is dropped. */
static bool
check_keys(struct admin_call *c)
{
	static const char *const known[] = { "destination", "reason", "level", "yes",
		"priority" };
	const char *key;
	json_t *v;

	json_object_foreach(c->body, key, v) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found = found || strcmp(known[i], key) == 0;
		if (!found) {
			admin_fail(c, 400, "%.64s: no such option", key);
			return false;
		}
	}
	return true;
}

static bool
check_level(struct admin_call *c, const char *level)
{
	const char *said;

	if (!admin_body_text(c, "level", &said))
		return false;
	if (said == NULL || strcmp(said, level) == 0)
		return true;
	admin_fail(c, 400, "level: this acts on the %s as a whole", level);
	return false;
}

static bool
check_consent(struct admin_call *c, const struct verb *v,
    const struct spool_command *cmd)
{
	bool yes;

	if (!admin_body_bool(c, "yes", &yes))
		return false;
	if (!v->consent || (yes && cmd->reason != NULL))
		return true;
	admin_fail(c, 400, "%s cannot be undone: it wants yes and a reason", v->name);
	return false;
}

static bool
read_options(struct admin_call *c, const struct verb *v, const char *level,
    struct spool_command *cmd)
{
	const char *priority;

	if (!check_keys(c) || !check_level(c, level) ||
	    !admin_body_text(c, "reason", &cmd->reason) ||
	    !admin_body_text(c, "destination", &cmd->destination) ||
	    !admin_body_text(c, "priority", &priority) ||
	    !check_consent(c, v, cmd))
		return false;
	if (cmd->destination != NULL && !v->one_destination) {
		admin_fail(c, 400, "%s acts on the %s as a whole: no destination "
		    "can be named", v->name, level);
		return false;
	}
	if (v->priority && find_priority(priority, &cmd->priority) < 0) {
		admin_fail(c, 400, "priority: low, normal or stat");
		return false;
	}
	return true;
}

static int
same_destination(void *arg, const struct spool_debt *d)
{
	return strcmp(arg, d->destination) == 0 ? 1 : 0;
}

/* One that is configured, or that something was owed to under an older
 * configuration. */
static bool
check_destination(struct admin_call *c, const char *name)
{
	const struct config *cfg;
	bool known;
	int r = 0;

	if (name == NULL)
		return true;
	cfg = c->admin->opt.config(c->admin->opt.arg);
	known = config_destination_find(cfg, name) != NULL;
	config_unref(cfg);
	if (!known)
		r = spool_debts(c->admin->opt.spool, same_destination,
		    (void *)(uintptr_t)name);
	if (r < 0)
		admin_fail_errno(c, r, "looking for the destination");
	else if (!known && r == 0)
		admin_fail(c, 404, "there is no destination %s", name);
	return known || r > 0;
}

static void
run_command(struct admin_call *c, const struct verb *v,
    struct spool_command *cmd, const char *level, const char *study_uid)
{
	uint64_t n = 0;
	int r;

	cmd->verb = v->verb;
	cmd->actor = c->actor;
	r = spool_command(c->admin->opt.spool, cmd, &n);
	log_info("command", LOG_STR("verb", v->name), LOG_STR("actor", c->actor),
	    LOG_STR("study", study_uid), LOG_STR("destination", cmd->destination),
	    LOG_U64("changed", n), LOG_STR("result", r < 0 ? strerror(-r) : "done"));
	if (r == -ENOENT) {
		admin_fail(c, 404, "the %s is gone", level);
		return;
	}
	if (r < 0) {
		admin_fail_errno(c, r, v->name);
		return;
	}
	if (v->nudge)
		upload_nudge(c->admin->opt.upload, cmd->destination);
	admin_reply(c, 200, json_pack("{s:s, s:s, s:o?, s:o?, s:o}",
	    "verb", v->name, "level", level,
	    "study", study_uid != NULL ? admin_json_text(study_uid) : NULL,
	    "destination",
	    cmd->destination != NULL ? admin_json_text(cmd->destination) : NULL,
	    "changed", admin_json_u64(n)));
}

void
admin_post_study(struct admin_call *c)
{
	const struct verb *v = find_verb(c->part[1]);
	struct spool_command cmd = { 0 };
	char uid[DICOM_UID_MAX + 1];

	if (v == NULL) {
		admin_fail(c, 404, "a study knows no command %s", c->part[1]);
		return;
	}
	if (read_options(c, v, "study", &cmd) &&
	    check_destination(c, cmd.destination) &&
	    admin_find_study(c, c->part[0], &cmd.study, uid))
		run_command(c, v, &cmd, "study", uid);
}

void
admin_post_destination(struct admin_call *c)
{
	const struct verb *v = find_verb(c->part[1]);
	struct spool_command cmd = { 0 };

	if (v == NULL || !v->on_destination) {
		admin_fail(c, 404, "a destination knows no command %s", c->part[1]);
		return;
	}
	if (!read_options(c, v, "destination", &cmd))
		return;
	if (cmd.destination != NULL && strcmp(cmd.destination, c->part[0]) != 0) {
		admin_fail(c, 400, "destination: the path names another one");
		return;
	}
	cmd.destination = c->part[0];
	if (check_destination(c, cmd.destination))
		run_command(c, v, &cmd, "destination", NULL);
}
