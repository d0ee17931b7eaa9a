/* test_dicom_objects.c - whole objects, compared with what an independent
 * decoder (pydicom, by objects.py) reads: made by DCMTK in every encoding, and,
 * if there are any, the real ones of CAUSEWAY_TEST_DATA.
 *
 * Skips what needs pydicom or DCMTK when they are not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/charset.h"
#include "gateway/dicom/reencode.h"
#include "tests/unit/dicom_fixture.h"

#define SCRIPT	"tests/unit/objects.py"
#define MISSING 77

extern char **environ;

/* pydicom belongs to the system's python, which need not be the first one. */
static int
run_script(const char *what, const char *argument)
{
	static const char *const pythons[] = { "/usr/bin/python3", "python3" };
	int status = MISSING << 8;

	for (size_t i = 0; i < ARRAY_LEN(pythons); i++) {
		char *argv[] = { (char *)(uintptr_t)pythons[i],
			(char *)(uintptr_t)SCRIPT, (char *)(uintptr_t)what,
			(char *)(uintptr_t)argument, NULL };
		pid_t pid;

		if (posix_spawnp(&pid, pythons[i], NULL, NULL, argv, environ) != 0)
			continue;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != MISSING)
			break;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct place {
	char  dir[300];
	FILE *list;
	char  list_path[400];
	unsigned n, refused, slices;
};

static void
open_place(struct place *p)
{
	const char *tmp = getenv("TMPDIR");

	memset(p, 0, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%s/objects-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->list_path, sizeof(p->list_path), "%s/list", p->dir);
	p->list = fopen(p->list_path, "w");
	assert_non_null(p->list);
}

static void
close_place(struct place *p)
{
	DIR *d = opendir(p->dir);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
	(void)rmdir(p->dir);
}

static int
collect(void *arg, const void *data, size_t len)
{
	return buf_add(arg, data, len);
}

static int
convert(const char *syntax, bool compared, const void *data, size_t len,
    struct buf *out)
{
	const struct dicom_syntax *s = dicom_syntax_find(syntax);
	struct dicom_reencode *r = compared ?
	    dicom_reencode_new_compare(s, collect, out) :
	    dicom_reencode_new(s, collect, out);
	int error = 0;

	for (size_t at = 0; at < len && error == 0; at += 5000)
		error = dicom_reencode_feed(r, (const char *)data + at,
		    len - at < 5000 ? len - at : 5000);
	if (error == 0)
		error = dicom_reencode_end(r);
	dicom_reencode_free(r);
	return error;
}

static uint64_t
count_dry(const struct object *o)
{
	struct dicom_reencode *r =
	    dicom_reencode_new(dicom_syntax_find(o->meta.syntax), NULL, NULL);
	uint64_t length;

	for (size_t at = o->at; at < o->len;) {
		uint64_t skip = dicom_reencode_skippable(r);

		if (skip > o->len - at)
			skip = o->len - at;
		dicom_reencode_skipped(r, skip);
		at += (size_t)skip;
		if (at < o->len && skip == 0)
			assert_int_equal(dicom_reencode_feed(r, o->data + at++, 1), 0);
	}
	assert_int_equal(dicom_reencode_end(r), 0);
	length = dicom_reencode_length(r);
	dicom_reencode_free(r);
	return length;
}

static void
write_object(struct place *p, const struct object *o, const struct buf *out)
{
	struct dicom_part10 head = o->meta;
	struct buf b = BUF_INIT(DICOM_PART10_MAX);
	char path[400];
	FILE *f;

	(void)snprintf(head.syntax, sizeof(head.syntax), "%s",
	    DICOM_UID_EXPLICIT_LE);
	assert_int_equal(dicom_part10_write(&b, &head), 0);
	(void)snprintf(path, sizeof(path), "%s/out-%u", p->dir, p->n++);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
	if (out->len > 0)
		assert_int_equal(fwrite(out->data, 1, out->len, f), out->len);
	assert_int_equal(fclose(f), 0);
	(void)fprintf(p->list, "%s\t%s\n", o->path, path);
	buf_free(&b);
}

/* Those whose refusal is right, and why. */
static bool
is_refusable(const char *name)
{
	static const char *const names[] = {
		"MR_truncated.dcm", "rtplan_truncated.dcm",	/* cut short */
		/* big-endian pixels of 32 bits in OW, of 16 and 32 in OB */
		"rtdose_expb.dcm", "rtdose_expb_1frame.dcm",
		"SC_rgb_expb_16bit.dcm", "SC_rgb_expb_16bit_2frame.dcm",
		"SC_rgb_expb_32bit.dcm", "SC_rgb_expb_32bit_2frame.dcm",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void
check_object(const struct object *o, void *arg)
{
	struct place *p = arg;
	struct buf out = BUF_INIT(FIXTURE_MAX), again = BUF_INIT(FIXTURE_MAX);
	int error;

	if (!o->has_meta ||
	    !dicom_syntax_convertible(dicom_syntax_find(o->meta.syntax)))
		return;
	error = convert(o->meta.syntax, false, o->data + o->at, o->len - o->at,
	    &out);
	if (error != 0) {
		if (!is_refusable(o->name))
			fail_msg("%s: %s", o->name, strerror(-error));
		p->refused++;
		buf_free(&out);
		return;
	}
	assert_false(is_refusable(o->name));
	assert_int_equal(count_dry(o), out.len);
	assert_int_equal(convert(DICOM_UID_EXPLICIT_LE, false, out.data, out.len,
	    &again), 0);
	assert_int_equal(again.len, out.len);
	if (out.len > 0)
		assert_memory_equal(again.data, out.data, out.len);
	/* The slices of one study are much alike: one of eight for pydicom. */
	if (strstr(o->path, "/ct-study/") == NULL || p->slices++ % 8 == 0)
		write_object(p, o, &out);
	buf_free(&out);
	buf_free(&again);
}

static void
judge(struct place *p, const char *what)
{
	int status;

	assert_int_equal(fclose(p->list), 0);
	status = run_script(what, p->list_path);
	close_place(p);
	if (status == MISSING)
		skip();
	assert_int_equal(status, 0);
}

static void
test_real_objects_decode_to_the_same(void **state)
{
	struct place p;

	(void)state;
	open_place(&p);
	if (visit_objects(check_object, &p) == 0) {
		(void)fclose(p.list);
		close_place(&p);
		skip();
	}
	judge(&p, "compare");
}

/* --- one data set by DCMTK in every encoding ------------------------------- */

struct form {
	struct buf plain, compared;
};

static void
load_form(const char *dir, const char *name, struct place *p, struct form *ret)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	AUTO_FREE char *data = NULL;
	struct object o = { .name = name, .path = path };
	size_t len;

	*ret = (struct form){ BUF_INIT(FIXTURE_MAX), BUF_INIT(FIXTURE_MAX) };
	assert_int_equal(
	    fdio_slurp(AT_FDCWD, path, FIXTURE_MAX, &data, &len), 0);
	assert_int_equal(dicom_part10_parse(data, len, &o.meta, &o.at), 0);
	o.data = (const uint8_t *)data;
	o.len = len;
	assert_int_equal(convert(o.meta.syntax, false, data + o.at, len - o.at,
	    &ret->plain), 0);
	assert_int_equal(convert(o.meta.syntax, true, data + o.at, len - o.at,
	    &ret->compared), 0);
	o.has_meta = true;
	check_object(&o, p);
}

static void
free_form(struct form *f)
{
	buf_free(&f->plain);
	buf_free(&f->compared);
}

static void
expect_same(const struct buf *a, const struct buf *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

/* Private elements lose their VRs in implicit VR, so only the compared form
 * can be the same; a private sequence also must not have a defined length. */
static void
compare_forms(const char *dir, const char *name, struct place *p)
{
	static const char *const forms[] = { "eleu", "ele", "eleg", "ebe", "ebeu",
		"dfl", "ileu", "ile" };
	bool private = strcmp(name, "private") == 0;
	struct form first;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		AUTO_FREE char *file = xasprintf("%s.%s", name, forms[i]);
		bool implicit = forms[i][0] == 'i';
		struct form f;

		if (private && strcmp(forms[i], "ile") == 0)
			continue;
		load_form(dir, file, p, &f);
		if (i == 0) {
			first = f;
			continue;
		}
		if (!private || !implicit)
			expect_same(&first.plain, &f.plain);
		expect_same(&first.compared, &f.compared);
		free_form(&f);
	}
	free_form(&first);
}

static void
test_every_encoding_by_dcmtk_gives_the_same_bytes(void **state)
{
	static const char *const names[] = { "plain", "bytes", "private",
		"waveform", "contour" };
	struct place p;
	int status;

	(void)state;
	open_place(&p);
	status = run_script("make", p.dir);
	if (status != 0) {
		(void)fclose(p.list);
		close_place(&p);
		if (status == MISSING)
			skip();
		fail_msg("DCMTK did not make the objects: %d", status);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		compare_forms(p.dir, names[i], &p);
	judge(&p, "compare");
}

/* --- texts ----------------------------------------------------------------- */

#define STEPS 16

struct reader {
	const struct object *o;
	FILE	   *list;
	char	    charset[STEPS][200];	/* of the items that are open */
	struct { dicom_tag_t tag; int item; } step[STEPS];
	char	    value[4096];
	size_t	    len;
};

static int
begin_element(void *arg, const struct dicom_element *el)
{
	struct reader *r = arg;

	assert_true(el->depth + 1 < STEPS);
	r->step[el->depth].tag = el->tag;
	r->step[el->depth].item = -1;
	r->len = 0;
	return 0;
}

static int
begin_item(void *arg, const struct dicom_element *el, uint32_t length)
{
	struct reader *r = arg;

	(void)length;
	r->step[el->depth].item++;
	memcpy(r->charset[el->depth + 1], r->charset[el->depth],
	    sizeof(r->charset[0]));
	return 0;
}

static int
add_value(void *arg, const struct dicom_element *el, const void *data,
    size_t len)
{
	struct reader *r = arg;

	(void)el;
	if (len > sizeof(r->value) - r->len)
		len = sizeof(r->value) - r->len;
	memcpy(r->value + r->len, data, len);
	r->len += len;
	return 0;
}

static int
end_element(void *arg, const struct dicom_element *el)
{
	struct reader *r = arg;
	struct buf b = BUF_INIT(1 << 16);

	if (el->tag == 0x00080005)
		(void)snprintf(r->charset[el->depth], sizeof(r->charset[0]), "%.*s",
		    (int)r->len, r->value);
	if (!dicom_vr_text(el->vr) || r->len == 0 || el->tag >> 16 & 1)
		return 0;
	while (r->len > 0 && r->value[r->len - 1] == '\0')
		r->len--;
	assert_int_equal(dicom_to_utf8(r->charset[el->depth], el->vr, r->value,
	    r->len, &b), 0);
	(void)fprintf(r->list, "%s\t", r->o->path);
	for (unsigned d = 0; d < el->depth; d++)
		(void)fprintf(r->list, "%08x.%d/", (unsigned)r->step[d].tag,
		    r->step[d].item);
	(void)fprintf(r->list, "%08x\t", (unsigned)el->tag);
	for (size_t i = 0; i < b.len; i++)
		(void)fprintf(r->list, "\\x%02x", (unsigned char)b.data[i]);
	(void)fputc('\n', r->list);
	buf_free(&b);
	return 0;
}

static void
read_texts(const struct object *o, void *arg)
{
	static const struct dicom_scan_events events = {
		.element = begin_element, .value = add_value,
		.end = end_element, .item = begin_item,
	};
	struct place *p = arg;
	struct reader r = { .o = o, .list = p->list };
	const struct dicom_syntax *syntax = dicom_syntax_find(o->meta.syntax);
	struct dicom_scan *s;

	if (strstr(o->path, "/encodings/") == NULL)
		return;
	s = dicom_scan_new(syntax->encoding, &events, &r);
	assert_int_equal(dicom_scan_feed(s, o->data + o->at, o->len - o->at), 0);
	assert_int_equal(dicom_scan_end(s), 0);
	dicom_scan_free(s);
}

static void
test_real_texts_are_what_pydicom_reads(void **state)
{
	struct place p;

	(void)state;
	open_place(&p);
	if (visit_objects(read_texts, &p) == 0) {
		(void)fclose(p.list);
		close_place(&p);
		skip();
	}
	judge(&p, "texts");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_objects_decode_to_the_same),
		cmocka_unit_test(test_every_encoding_by_dcmtk_gives_the_same_bytes),
		cmocka_unit_test(test_real_texts_are_what_pydicom_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
