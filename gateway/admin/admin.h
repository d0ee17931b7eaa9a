/* admin.h - the JSON API on the control socket: looks at everything, owns nothing.
 *
 * HTTP over a UNIX socket (mode 0660, group of the daemon). Who may: root, the
 * daemon's user, and members of the socket's group, by the kernel's word on the
 * peer (SO_PEERCRED); whoever connects is the actor of what he changes. One
 * thread with its own event loop; commands that wait for a commit run there too:
 * they are short.
 *
 * docs/API.md describes the calls; `causewayctl` prints them for people.
 */
#ifndef CW_ADMIN_ADMIN_H
#define CW_ADMIN_ADMIN_H

#include "config/config.h"
#include "gateway/association/association.h"
#include "gateway/base/buf.h"
#include "gateway/dimse/dimse.h"
#include "gateway/upload/upload.h"
#include "spool/spool.h"

struct admin;

struct admin_options {
	const char	    *control_socket;	/* replaced if nobody listens there */
	struct spool	    *spool;
	struct upload	    *upload;
	struct dimse	    *dimse;
	struct assoc_server *associations;
	/* Reads the configuration anew and puts it in force; problems for people.
	 * Called in the admin thread. */
	int (*reload)(void *arg, const char *actor, struct buf *problems);
	/* The snapshot in force, with a reference for the caller. */
	const struct config *(*config)(void *arg);
	void *arg;
};

int  admin_new(const struct admin_options *opt, struct admin **ret, struct buf *why);
int  admin_start(struct admin *a);
void admin_stop(struct admin *a);
void admin_free(struct admin *a);

/* What of a configuration people should know, in sentences that name the key to
 * set: for `status`, and for the log when the daemon starts. Any thread. */
typedef void admin_warning_fn(void *arg, const char *text);
void admin_config_warnings(const struct config *cfg, admin_warning_fn *fn, void *arg);

#endif
