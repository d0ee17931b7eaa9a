/* export.c - causewayctl export: a study's images as DIR/STUDY/SERIES/SOP.dcm.
 *
 * A file gets its name only when it is whole; the daemon compares the checksum
 * before it sends the last bytes. Of several versions under one UID the newest
 * has the plain name, older ones end in .vN.dcm. Names come from the wire: what
 * could be anything but a part of a file's name is written as _.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/ctl/ctl_int.h"

#define PAGE	  500
#define NAME_SIZE 160
#define FILE_MODE 0600		/* patient data */
#define DIR_MODE  0700

struct export {
	struct ctl *ctl;
	int	 study_fd;
	json_t	*newest;	/* SOP Instance UID -> version */
	json_t	*failures;	/* sentences */
	uint64_t written, bytes, gone;
};

/* ---- names -------------------------------------------------------------- */

/* Two that become the same are told apart by our number. */
static void
safe_name(const char *uid, uint64_t id, const char *ending, char ret[NAME_SIZE])
{
	char name[72];
	size_t n = 0;
	bool same = uid[0] != '\0' && uid[0] != '.' && uid[0] != '-';

	for (; uid[n] != '\0' && n < sizeof(name) - 1; n++) {
		unsigned char c = (unsigned char)uid[n];
		bool ok = c < 0x80 && (isalnum(c) || c == '.' || c == '-');

		if (n == 0 && (c == '.' || c == '-'))
			ok = false;
		name[n] = ok ? (char)c : '_';
		same = same && ok;
	}
	same = same && uid[n] == '\0';
	name[n] = '\0';
	if (same)
		(void)snprintf(ret, NAME_SIZE, "%s%s", name, ending);
	else
		(void)snprintf(ret, NAME_SIZE, "%s~%llu%s", name,
		    (unsigned long long)id, ending);
}

static int
open_folder(int parent, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(parent, name, DIR_MODE) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    (parent == AT_FDCWD ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* ---- one file ----------------------------------------------------------- */

static int
fetch(struct export *x, uint64_t id, int folder, const char *name, char *why,
    size_t size)
{
	AUTO_FREE char *path = xasprintf("/v1/instances/%llu/file",
	    (unsigned long long)id);
	AUTO_FREE char *partial = xasprintf(".partial-%llu",
	    (unsigned long long)id);
	AUTO_CLOSE int fd = -1;
	struct stat st;
	int r;

	fd = fdio_openat(folder, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
	    O_CLOEXEC, FILE_MODE);
	if (fd < 0) {
		(void)snprintf(why, size, "%s", strerror(-fd));
		return fd;
	}
	r = ctl_download(x->ctl, path, fd, why, size);
	if (r == 0 && fstat(fd, &st) == 0)
		x->bytes += (uint64_t)st.st_size;
	if (r == 0 && renameat(folder, partial, folder, name) < 0) {
		r = -errno;
		(void)snprintf(why, size, "%s", strerror(-r));
	}
	if (r < 0)
		(void)unlinkat(folder, partial, 0);
	return r;
}

static void
note_failure(struct export *x, const char *uid, const char *why)
{
	struct buf text = BUF_INIT(8192), shown = BUF_INIT(32768);

	(void)buf_printf(&text, "%s: %s", uid, why);
	ctl_escape(&shown, text.data);
	(void)json_array_append_new(x->failures, json_string(shown.data));
	if (!x->ctl->json)
		(void)fprintf(x->ctl->err, "%s\n", shown.data);
	buf_free(&text);
	buf_free(&shown);
}

static void
export_instance(struct export *x, const json_t *in)
{
	const char *uid = ctl_str(in, "sop_instance");
	uint64_t id = ctl_u64(in, "id"), version = ctl_u64(in, "version");
	char series[NAME_SIZE], name[NAME_SIZE], ending[32] = ".dcm", why[512];
	AUTO_CLOSE int folder = -1;
	int r;

	if (!ctl_bool(in, "kept")) {
		x->gone++;
		return;
	}
	if (version < ctl_u64(x->newest, uid))
		(void)snprintf(ending, sizeof(ending), ".v%llu.dcm",
		    (unsigned long long)version);
	safe_name(ctl_str(in, "series"), 0, "", series);
	safe_name(uid, id, ending, name);
	r = open_folder(x->study_fd, series, &folder);
	if (r < 0)
		(void)snprintf(why, sizeof(why), "%s: %s", series, strerror(-r));
	else
		r = fetch(x, id, folder, name, why, sizeof(why));
	if (r < 0)
		note_failure(x, uid, why);
	else
		x->written++;
}

/* ---- the study ---------------------------------------------------------- */

static int
list_instances(struct export *x, uint64_t study, json_t *list)
{
	uint64_t after = 0;

	do {
		AUTO_FREE char *path = xasprintf("/v1/studies/id:%llu/instances?"
		    "limit=%d&after=%llu", (unsigned long long)study, PAGE,
		    (unsigned long long)after);
		const json_t *in;
		json_t *page;
		size_t i;

		if (ctl_call(x->ctl, "GET", path, NULL, &page) != CTL_DONE)
			return CTL_FAILED;
		json_array_foreach(json_object_get(page, "instances"), i, in)
			if (ctl_u64(in, "version") >
			    ctl_u64(x->newest, ctl_str(in, "sop_instance")))
				(void)json_object_set(x->newest,
				    ctl_str(in, "sop_instance"),
				    json_object_get(in, "version"));
		(void)json_array_extend(list, json_object_get(page, "instances"));
		after = ctl_u64(page, "next");
		json_decref(page);
	} while (after != 0);
	return CTL_DONE;
}

static int
open_target(struct export *x, const json_t *study, const char *dir, char *why,
    size_t size)
{
	AUTO_CLOSE int parent = -1;
	char name[NAME_SIZE];
	int r;

	safe_name(ctl_str(study, "uid"), ctl_u64(study, "id"), "", name);
	r = open_folder(AT_FDCWD, dir, &parent);
	if (r == 0)
		r = open_folder(parent, name, &x->study_fd);
	if (r < 0)
		(void)snprintf(why, size, "%s: %s", dir, strerror(-r));
	return r;
}

static int
report(struct export *x, size_t all)
{
	uint64_t failed = json_array_size(x->failures);
	char size[32];

	if (x->ctl->json) {
		json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:O}", "instances",
		    (json_int_t)all, "files", (json_int_t)x->written, "bytes",
		    (json_int_t)x->bytes, "gone", (json_int_t)x->gone,
		    "failures", x->failures);

		ctl_print_json(x->ctl, o);
		json_decref(o);
	} else {
		(void)fprintf(x->ctl->out, "%llu of %zu images exported, %s\n",
		    (unsigned long long)x->written, all,
		    ctl_size(x->bytes, size, sizeof(size)));
		if (x->gone > 0)
			(void)fprintf(x->ctl->out, "%llu are no longer on this "
			    "machine\n", (unsigned long long)x->gone);
		if (failed > 0)
			(void)fprintf(x->ctl->out, "%llu could not be exported\n",
			    (unsigned long long)failed);
	}
	return x->written == all ? CTL_DONE : CTL_FAILED;
}

static int
export_study(struct export *x, const json_t *study, const char *dir)
{
	json_t *list = json_array();
	const json_t *in;
	char why[4400];
	size_t i;
	int r = list_instances(x, ctl_u64(study, "id"), list);

	if (r == CTL_DONE && open_target(x, study, dir, why, sizeof(why)) < 0)
		r = ctl_fail(x->ctl, "%s", why);
	if (r == CTL_DONE) {
		json_array_foreach(list, i, in)
			export_instance(x, in);
		/* One sync for all: what is told as exported is on the disk. */
		if (syncfs(x->study_fd) < 0)
			note_failure(x, dir, strerror(errno));
		r = report(x, json_array_size(list));
		if (json_array_size(x->failures) > 0)
			r = CTL_FAILED;
	}
	json_decref(list);
	return r;
}

int
ctl_export(struct ctl *c)
{
	struct export x = { .ctl = c, .study_fd = -1 };
	struct buf path = BUF_INIT(16 << 10);
	json_t *study;
	int r;

	ctl_path(&path, "/v1/studies/%s", c->words[0]);
	r = ctl_call(c, "GET", path.data, NULL, &study);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	x.newest = json_object();
	x.failures = json_array();
	r = export_study(&x, study, c->words[1]);
	cleanup_close(&x.study_fd);
	json_decref(x.newest);
	json_decref(x.failures);
	json_decref(study);
	return r;
}
