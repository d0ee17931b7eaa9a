/* secret.c - a file that holds a password, a token or a passphrase.
 *
 * Read when it is opened and again whenever it is another file than before
 * (time, size, inode), so that whoever rotates a secret need tell nobody. Copies
 * are wiped as soon as they have been used, and no text of it enters a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/fdio.h"
#include "gateway/http/http_int.h"
#include "gateway/http/watch_int.h"

#define BOM "\xef\xbb\xbf"	/* that Windows' editors begin a file with */

struct secret_file {
	char	       *path;
	pthread_mutex_t mu;
	char	       *text;	/* guarded by mu, as is the rest */
	struct stat	st;
};

static int
refuse(struct buf *why, const char *path, const char *what, int error)
{
	(void)buf_printf(why, "%s: %s", path, what);
	return error;
}

static int
check_text(const char *path, char *text, size_t len, struct buf *why)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len] = '\0';
	if (len == 0)
		return refuse(why, path, "is empty", -EINVAL);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse(why, path, "holds more than one line or a "
			    "control character", -EINVAL);
	}
	return 0;
}

static int
read_bytes(const char *path, size_t max, char **ret, size_t *ret_len,
    struct stat *ret_st, struct buf *why)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_FREE char *text = NULL;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, ret_st) < 0) {
		r = -errno;
		return refuse(why, path, strerror(-r), r);
	}
	if (!S_ISREG(ret_st->st_mode))
		return refuse(why, path, "is no file", -EINVAL);
	text = xcalloc(1, max + 2);
	n = fdio_pread(fd, text, max + 1, 0);
	if (n < 0)
		return refuse(why, path, strerror((int)-n), (int)n);
	if (n > (ssize_t)max) {
		explicit_bzero(text, max + 1);
		return refuse(why, path, "is too long for a secret", -EFBIG);
	}
	if (n >= 3 && memcmp(text, BOM, 3) == 0) {
		n -= 3;
		memmove(text, text + 3, (size_t)n + 1);
		explicit_bzero(text + n, 3);
	}
	*ret = TAKE_PTR(text);
	*ret_len = (size_t)n;
	return 0;
}

static void
warn_readable(const char *path, const struct stat *st, struct buf *why)
{
	if ((st->st_mode & S_IROTH) != 0)
		(void)buf_printf(why, "%s%s: everybody on this machine may read it: "
		    "chmod o-r", why->len > 0 ? "; " : "", path);
}

static int
read_file(const char *path, char **ret, struct stat *ret_st, struct buf *why)
{
	AUTO(cleanup_secret_free) char *text = NULL;
	struct stat st;
	size_t len;
	int r;

	r = read_bytes(path, HTTP_SECRET_MAX, &text, &len, &st, why);
	if (r == 0)
		r = check_text(path, text, len, why);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	*ret_st = st;
	return 0;
}

int
secret_read(const char *path, char **ret, size_t *ret_len, struct buf *why)
{
	struct stat st;

	return read_bytes(path, SECRET_TEXT_MAX, ret, ret_len, &st, why);
}

void
secret_warn(const char *path, struct buf *why)
{
	struct stat st;

	if (path != NULL && stat(path, &st) == 0)
		warn_readable(path, &st, why);
}

int
secret_open(const char *path, struct secret_file **ret, struct buf *why)
{
	struct secret_file *s;
	struct stat st;
	char *text;
	int r;

	r = read_file(path, &text, &st, why);
	if (r < 0)
		return r;
	warn_readable(path, &st, why);
	s = xcalloc(1, sizeof(*s));
	s->path = xstrdup(path);
	s->text = text;
	s->st = st;
	(void)pthread_mutex_init(&s->mu, NULL);
	*ret = s;
	return 0;
}

void
secret_close(struct secret_file *s)
{
	if (s == NULL)
		return;
	secret_free(s->text);
	(void)pthread_mutex_destroy(&s->mu);
	free(s->path);
	free(s);
}

int
secret_get(struct secret_file *s, bool force, char **ret, struct buf *why)
{
	struct stat st;
	char *text;
	int r;

	LOCK_SCOPE(&s->mu);
	if (force || stat(s->path, &st) < 0 || !watch_same(&st, &s->st)) {
		r = read_file(s->path, &text, &st, why);
		if (r < 0)
			return r;
		secret_free(s->text);
		s->text = text;
		s->st = st;
	}
	*ret = xstrdup(s->text);
	return 0;
}

void
secret_free(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

const char *
secret_path(const struct secret_file *s)
{
	return s->path;
}
