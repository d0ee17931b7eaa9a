/* socket.c - the control socket: made so that only those get in who should, and
 * never taken away from a daemon that still answers.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"

#define SOCKET_MODE 0660
#define BACKLOG	    64

static int
say(struct buf *why, const char *path, const char *what, int r)
{
	(void)buf_printf(why, "%s: %s: %s", path, what, strerror(-r));
	return r;
}

static int
fill_address(const char *path, struct sockaddr_un *ret, struct buf *why)
{
	if (strlen(path) >= sizeof(ret->sun_path)) {
		(void)buf_printf(why, "%s: gateway.control_socket may have at most "
		    "%zu characters", path, sizeof(ret->sun_path) - 1);
		return -ENAMETOOLONG;
	}
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A socket that nobody listens on is left from a crash. */
static int
remove_stale(const struct sockaddr_un *sun, struct buf *why)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 :
		    say(why, sun->sun_path, "cannot be looked at", -errno);
	if (!S_ISSOCK(st.st_mode)) {
		(void)buf_printf(why, "%s: is there already and is no socket",
		    sun->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno != ECONNREFUSED) {
		(void)buf_printf(why, "%s: another daemon answers there",
		    sun->sun_path);
		return -EADDRINUSE;
	}
	if (unlink(sun->sun_path) < 0 && errno != ENOENT)
		return say(why, sun->sun_path, "cannot be replaced", -errno);
	return 0;
}

/* Nobody can connect before listen(), so the mode is right in time. */
int
admin_socket_open(struct admin *a, int *ret_fd, struct buf *why)
{
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un sun;
	struct stat st;
	int r;

	r = fill_address(a->path, &sun, why);
	if (r == 0)
		r = remove_stale(&sun, why);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0)
		return say(why, a->path, "cannot be made", -errno);
	if (chmod(a->path, SOCKET_MODE) < 0 || listen(fd, BACKLOG) < 0 ||
	    lstat(a->path, &st) < 0) {
		r = say(why, a->path, "cannot be used", -errno);
		(void)unlink(a->path);
		return r;
	}
	a->socket_dev = st.st_dev;
	a->socket_ino = st.st_ino;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void
admin_socket_remove(struct admin *a)
{
	struct stat st;

	if (a->socket_ino != 0 && lstat(a->path, &st) == 0 &&
	    st.st_dev == a->socket_dev && st.st_ino == a->socket_ino)
		(void)unlink(a->path);
	a->socket_ino = 0;
}

/* The kernel's word on who connected; the mode of the socket decided whether he
 * could. */
int
admin_socket_actor(int fd, char actor[ADMIN_ACTOR_MAX])
{
	struct passwd pw, *found = NULL;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char text[4096];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (cred.uid == (uid_t)-1)
		return -EPERM;
	if (getpwuid_r(cred.uid, &pw, text, sizeof(text), &found) == 0 &&
	    found != NULL && strlen(pw.pw_name) < ADMIN_ACTOR_MAX)
		(void)snprintf(actor, ADMIN_ACTOR_MAX, "%s", pw.pw_name);
	else
		(void)snprintf(actor, ADMIN_ACTOR_MAX, "uid %u",
		    (unsigned)cred.uid);
	return 0;
}
