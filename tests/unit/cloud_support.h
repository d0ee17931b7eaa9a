/* cloud_support.h - a DICOMweb server beside a unit test: one that answers as it is
 * told (tests/system/fakecloud.py), or a real one (tests/system/cloud.py). On free
 * ports, in a directory of its own.
 */
#ifndef CW_TESTS_CLOUD_SUPPORT_H
#define CW_TESTS_CLOUD_SUPPORT_H

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"

struct cloud {
	pid_t	 pid;
	int	 in;		/* closed: it ends */
	char	 dir[128];
	char	 url[128];
	char	 ca[256];
	unsigned port;
	char	 password_file[256];	/* of a real one */
};

/* One for all servers of a test program, made at the first need. */
static char cloud_certs[128];

static inline void
cloud_make_dir(char *buf, size_t size, const char *name)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(buf, size, "%s/%s.XXXXXX", tmp != NULL ? tmp : "/tmp", name);
	if (mkdtemp(buf) == NULL)
		abort();
}

static inline int
cloud_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline void
cloud_remove_dir(const char *dir)
{
	(void)nftw(dir, cloud_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
cloud_read_ready(struct cloud *c, int fd)
{
	FILE *f = fdopen(fd, "r");
	char line[1024];
	json_t *ready;
	const char *ca;

	if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
		c->url[0] = '\0';	/* it did not start */
		return;
	}
	ready = json_loads(line, 0, NULL);
	if (ready == NULL)
		abort();
	(void)snprintf(c->url, sizeof(c->url), "%s",
	    json_string_value(json_object_get(ready, "url")));
	ca = json_string_value(json_object_get(ready, "ca"));
	(void)snprintf(c->ca, sizeof(c->ca), "%s", ca != NULL ? ca : "");
	ca = json_string_value(json_object_get(ready, "password_file"));
	(void)snprintf(c->password_file, sizeof(c->password_file), "%s",
	    ca != NULL ? ca : "");
	c->port = (unsigned)json_integer_value(json_object_get(ready, "port"));
	json_decref(ready);
	(void)fclose(f);
}

static inline void
cloud_run(struct cloud *c, const char **argv)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		abort();
	c->pid = fork();
	if (c->pid == 0) {
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)execvp(argv[0], (char **)argv);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	c->in = in[1];
	cloud_read_ready(c, out[0]);
}

/* certificate NULL: plain HTTP. */
static inline void
cloud_start(struct cloud *c, const char *certificate, bool client_ca)
{
	const char *argv[10] = { "python3", "tests/system/fakecloud.py", c->dir,
		"--certs", cloud_certs };
	size_t n = 5;

	if (cloud_certs[0] == '\0')
		cloud_make_dir(cloud_certs, sizeof(cloud_certs), "certs");
	cloud_make_dir(c->dir, sizeof(c->dir), "cloud");
	if (certificate != NULL) {
		argv[n++] = "--certificate";
		argv[n++] = certificate;
	}
	if (client_ca)
		argv[n++] = "--client-ca";
	cloud_run(c, argv);
	assert(c->url[0] != '\0');
}

/* Orthanc behind nginx; false when it cannot be had here. */
static inline bool
cloud_start_real(struct cloud *c, const char *option, const char *value)
{
	const char *argv[10] = { "python3", "tests/system/cloud.py", "run", c->dir,
		option, value };

	cloud_make_dir(c->dir, sizeof(c->dir), "cloud");
	cloud_run(c, argv);
	return c->url[0] != '\0';
}

static inline void
cloud_stop(struct cloud *c)
{
	(void)close(c->in);
	(void)waitpid(c->pid, NULL, 0);
	cloud_remove_dir(c->dir);
	*c = (struct cloud){ .in = -1 };
}

/* The whole of orders.json; ' stands for ". */
static inline void
cloud_order(struct cloud *c, const char *orders)
{
	char *text = xstrdup(orders);
	int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (char *p = text; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	if (fdio_replace(dir, "orders.json", text, strlen(text), 0644) < 0)
		abort();
	(void)close(dir);
	free(text);
}

/* Lines of the log that hold a text; ' stands for ". */
static inline unsigned
cloud_count(struct cloud *c, const char *text)
{
	char *log, *needle = xstrdup(text), *line, *at;
	int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned n = 0;
	size_t len;

	for (char *p = needle; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	if (fdio_slurp(dir, "log.jsonl", 16u << 20, &log, &len) < 0)
		abort();
	(void)close(dir);
	for (line = strtok_r(log, "\n", &at); line != NULL;
	    line = strtok_r(NULL, "\n", &at))
		n += strstr(line, needle) != NULL;
	free(needle);
	free(log);
	return n;
}

static inline void
cloud_write(const char *dir, const char *name, const char *text, mode_t mode)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fdio_replace(fd, name, text, strlen(text), mode) < 0)
		abort();
	(void)close(fd);
}

#endif
