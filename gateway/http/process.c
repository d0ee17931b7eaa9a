/* process.c - runs a command that prints something secret.
 *
 * posix_spawn(), since fork() in a process with threads and locks copies all of
 * our memory's promises for nothing. A descriptor of the process (pidfd) is polled
 * together with the pipe and with the wish to stop, so nobody has to wait for
 * SIGCHLD. Its stderr goes nowhere, for it may hold what stdout must not show.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/http/process_int.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_MAX	     64

extern char **environ;

struct process {
	char *word[PROCESS_WORDS_MAX + 1];
	size_t n;
	int   stop;	/* eventfd: readable once it is canceled */
};

/* ---- words --------------------------------------------------------------- */

static int
add_word(struct process *p, const char *text, struct buf *why)
{
	if (p->n == PROCESS_WORDS_MAX) {
		(void)buf_add_str(why, "the command has too many words");
		return -E2BIG;
	}
	p->word[p->n++] = xstrdup(text);
	return 0;
}

/* One word from *at on, without its quotes; false: a quote is not closed. */
static bool
take_word(const char **at, char *out)
{
	char quote = '\0';
	const char *s;

	for (s = *at; *s != '\0' && (quote != '\0' || strchr(" \t\r\n", *s) == NULL);
	    s++) {
		if (*s == quote) {
			quote = '\0';
		} else if (quote == '\0' && (*s == '\'' || *s == '"')) {
			quote = *s;
		} else if (*s == '\\' && s[1] != '\0' && (quote == '\0' ||
			(quote == '"' && (s[1] == '"' || s[1] == '\\')))) {
			*out++ = *++s;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
	*at = s;
	return quote == '\0';
}

static int
split_line(struct process *p, const char *line, struct buf *why)
{
	AUTO_FREE char *word = xcalloc(1, strlen(line) + 1);
	int r;

	for (;;) {
		line += strspn(line, " \t\r\n");
		if (*line == '\0')
			return 0;
		if (!take_word(&line, word)) {
			(void)buf_add_str(why, "the command has a quote that is not "
			    "closed");
			return -EINVAL;
		}
		r = add_word(p, word, why);
		if (r < 0)
			return r;
	}
}

static const char *
search_path(void)
{
	const char *path = getenv("PATH");

	return path != NULL && path[0] != '\0' ? path : PATH_DEFAULT;
}

/* The first word becomes the program's whole path. */
static int
find_program(struct process *p, struct buf *why)
{
	const char *name = p->word[0];
	int error = ENOENT;

	if (strchr(name, '/') != NULL) {
		if (access(name, X_OK) == 0)
			return 0;
		error = errno;
	}
	for (const char *at = search_path(); strchr(name, '/') == NULL;
	    at += strcspn(at, ":") + 1) {
		AUTO_FREE char *whole = xasprintf("%.*s/%s",
		    (int)strcspn(at, ":"), at, name);

		if (at[0] == '/' && access(whole, X_OK) == 0) {
			free(p->word[0]);
			p->word[0] = TAKE_PTR(whole);
			return 0;
		}
		if (at[strcspn(at, ":")] == '\0')
			break;
	}
	(void)buf_printf(why, "%s: %s: the command must begin with a program that "
	    "this user may run", name, strerror(error));
	return -error;
}

int
process_new(const struct config_strings *command, struct process **ret,
    struct buf *why)
{
	struct process *p = xcalloc(1, sizeof(*p));
	int r = 0;

	p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->stop < 0)
		r = -errno;
	if (r == 0 && command->n == 1)
		r = split_line(p, command->v[0], why);
	for (size_t i = 0; r == 0 && command->n > 1 && i < command->n; i++)
		r = add_word(p, command->v[i], why);
	if (r == 0 && p->n == 0) {
		(void)buf_add_str(why, "the command is empty");
		r = -EINVAL;
	}
	if (r == 0)
		r = find_program(p, why);
	if (r < 0) {
		process_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void
process_free(struct process *p)
{
	if (p == NULL)
		return;
	if (p->stop >= 0)
		(void)close(p->stop);
	while (p->n > 0)
		free(p->word[--p->n]);
	free(p);
}

const char *
process_program(const struct process *p)
{
	return p->word[0];
}

void
process_cancel(struct process *p)
{
	const uint64_t one = 1;

	(void)!write(p->stop, &one, sizeof(one));
}

void
process_wipe(char *output)
{
	if (output == NULL)
		return;
	explicit_bzero(output, PROCESS_OUTPUT_MAX + 1);
	free(output);
}

/* ---- starting it --------------------------------------------------------- */

/* Nothing of the service manager's: its sockets and tokens are ours alone. */
static bool
is_passed_on(const char *variable)
{
	static const char *const names[] = { "AWS_", "PATH=", "HOME=", "LANG=",
		"LC_", "TZ=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=",
		"http_proxy=", "https_proxy=", "no_proxy=", "SSL_CERT_" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static void
make_environment(const char **env)
{
	static const char path[] = "PATH=" PATH_DEFAULT;
	size_t n = 0;

	if (getenv("PATH") == NULL)
		env[n++] = path;
	for (char **e = environ; e != NULL && *e != NULL && n < ENV_MAX; e++) {
		if (is_passed_on(*e))
			env[n++] = *e;
	}
	env[n] = NULL;
}

static int
set_files(posix_spawn_file_actions_t *files, int out)
{
	int r;

	r = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(files, 2, "/dev/null",
		    O_WRONLY, 0);
	/* What a library forgot to mark. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(files, 3);
	return -r;
}

static int
set_attributes(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	int r;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	return -r;
}

static int
spawn(const struct process *p, int out, pid_t *ret)
{
	const char *env[ENV_MAX + 1];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	if (posix_spawn_file_actions_init(&files) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return -ENOMEM;
	}
	make_environment(env);
	r = set_files(&files, out);
	if (r == 0)
		r = set_attributes(&attr);
	if (r == 0)
		r = -posix_spawn(ret, p->word[0], &files, &attr, p->word,
		    (char **)env);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return r;
}

/* ---- listening to it ----------------------------------------------------- */

struct run {
	int    pipe, child;	/* child: a pidfd */
	int    stop;
	char  *data;
	size_t len;
	bool   ended;		/* the process itself */
};

/* 0: the pipe is at its end (or, once the process has ended, empty); 1: there may
 * be more. */
static int
read_some(struct run *r)
{
	ssize_t n;

	do {
		n = read(r->pipe, r->data + r->len, PROCESS_OUTPUT_MAX + 1 - r->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno != EAGAIN ? -errno : r->ended ? 0 : 1;
	r->len += (size_t)n;
	if (r->len > PROCESS_OUTPUT_MAX)
		return -EFBIG;
	return n > 0;
}

/* Until it has ended and nothing is left to read: those that it left behind may
 * keep the pipe open as long as they like. */
static int
listen_to(struct run *r, int64_t deadline_ms)
{
	int more = 1, n;

	while (more != 0 || !r->ended) {
		struct pollfd fd[] = {
			{ .fd = more != 0 ? r->pipe : -1, .events = POLLIN },
			{ .fd = r->ended ? -1 : r->child, .events = POLLIN },
			{ .fd = r->stop, .events = POLLIN },
		};

		n = poll(fd, ARRAY_LEN(fd), r->ended ? 0 : clock_timeout(deadline_ms));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (fd[2].revents != 0)
			return -ECANCELED;
		if (n == 0 && !r->ended)
			return -ETIMEDOUT;
		r->ended = r->ended || fd[1].revents != 0;
		if (more != 0)
			more = read_some(r);
		if (more < 0)
			return more;
	}
	return 0;
}

/* Its exit status, or minus the signal that ended it. The group is ended before its
 * leader is reaped: until then its number is not given to others. */
static int
end_process(pid_t pid)
{
	siginfo_t info = { 0 };
	int r;

	(void)kill(-pid, SIGKILL);
	do {
		r = waitid(P_PID, (id_t)pid, &info, WEXITED);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -SIGCHLD;	/* reaped by nobody that we know */
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

static int
explain(const struct process *p, int error, int status, int64_t limit_ms,
    struct buf *why)
{
	const char *name = p->word[0];

	if (error == -ETIMEDOUT)
		(void)buf_printf(why, "%s: not done within %lld s: run it by hand as "
		    "this user", name, (long long)(limit_ms / 1000));
	else if (error == -EFBIG)
		(void)buf_printf(why, "%s: it prints more than any keys have", name);
	else if (error == -ECANCELED)
		(void)buf_add_str(why, "it is being stopped");
	else if (error < 0)
		(void)buf_printf(why, "%s: %s", name, strerror(-error));
	else if (status < 0)
		(void)buf_printf(why, "%s: ended by signal %d: run it by hand as "
		    "this user", name, -status);
	else
		(void)buf_printf(why, "%s: exit status %d: run it by hand as this "
		    "user to see what it says", name, status);
	return error < 0 ? error : -EIO;
}

int
process_run(struct process *p, int64_t limit_ms, char **ret, size_t *ret_len,
    struct buf *why)
{
	AUTO_CLOSE int in = -1;
	AUTO_CLOSE int out = -1;
	AUTO_CLOSE int child = -1;
	struct run run = { .stop = p->stop };
	int fd[2], r, status;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return explain(p, -errno, 0, limit_ms, why);
	in = fd[0];
	out = fd[1];
	(void)fcntl(in, F_SETFL, O_NONBLOCK);
	r = spawn(p, out, &pid);
	if (r < 0)
		return explain(p, r, 0, limit_ms, why);
	(void)close(TAKE_FD(out));
	child = (int)syscall(SYS_pidfd_open, pid, 0);
	r = child < 0 ? -errno : 0;
	run.pipe = in;
	run.child = child;
	run.data = xcalloc(1, PROCESS_OUTPUT_MAX + 2);
	if (r == 0)
		r = listen_to(&run, clock_mono_ms() + limit_ms);
	status = end_process(pid);
	if (r < 0 || status != 0) {
		process_wipe(run.data);
		return explain(p, r, status, limit_ms, why);
	}
	run.data[run.len] = '\0';
	*ret = run.data;
	*ret_len = run.len;
	return 0;
}
