/* test_destination_body.c - the body of a STOW request: its length is the one that
 * was announced, its parts are the promised bytes or their explicit little endian
 * form, and nothing damaged leaves whole.
 */
#include <stdio.h>
#include <string.h>

#include <zlib.h>

#include "gateway/destination/stow_int.h"
#include "tests/unit/stow_support.h"

static struct stow stow = { .name = "cloud", .spool = &fake_spool };
static struct destination_item items[OBJECTS_MAX];

static int
forget(void **state)
{
	(void)state;
	forget_objects();
	stow.flavor = stow_flavors[0];
	return 0;
}

static struct stow_body *
body_of_all(void)
{
	static struct destination_item *p[OBJECTS_MAX];

	memset(items, 0, sizeof(items));
	for (size_t i = 0; i < fake_spool.n; i++) {
		items[i].in = fake_spool.o[i].in;
		p[i] = &items[i];
	}
	return stow_body_new(&stow, p, fake_spool.n);
}

/* All of it in such portions; the first error or 0. */
static ssize_t
drain(struct stow_body *b, size_t portion, struct buf *out)
{
	AUTO_FREE char *data = xcalloc(1, portion);
	ssize_t n;

	for (;;) {
		n = stow_body_give(b, data, portion);
		if (n <= 0)
			return n;
		assert_int_equal(buf_add(out, data, (size_t)n), 0);
	}
}

/* ---- reading it as a server would ---------------------------------------- */

struct parts { unsigned n; struct buf file[64]; };

static int
part_begins(void *arg, const char *type)
{
	struct parts *p = arg;

	assert_string_equal(type, "application/dicom");
	p->file[p->n] = (struct buf)BUF_INIT(256u << 20);
	return 0;
}

static int
part_data(void *arg, const void *data, size_t len)
{
	struct parts *p = arg;

	return buf_add(&p->file[p->n], data, len);
}

static int
part_ends(void *arg)
{
	((struct parts *)arg)->n++;
	return 0;
}

static void
split(const struct stow_body *b, const struct buf *all, struct parts *ret)
{
	static const struct http_multipart_events ev = { part_begins, part_data,
		part_ends };
	struct http_multipart *m;

	assert_int_equal(http_multipart_new(stow_body_type(b), &ev, ret, &m), 0);
	assert_int_equal(http_multipart_feed(m, all->data, all->len), 0);
	assert_int_equal(http_multipart_end(m), 0);
	http_multipart_free(m);
}

static void
free_parts(struct parts *p)
{
	for (unsigned i = 0; i < p->n; i++)
		buf_free(&p->file[i]);
}

static void
check_part(const struct buf *file, const struct spool_instance *in,
    const char *syntax, const void *data, size_t len)
{
	struct dicom_part10 head;
	size_t size;

	assert_int_equal(dicom_part10_parse(file->data, file->len, &head, &size),
	    0);
	assert_string_equal(head.syntax, syntax);
	assert_string_equal(head.sop_instance, in->sop_instance);
	assert_string_equal(head.sop_class, in->sop_class);
	assert_int_equal(file->len - size, len);
	assert_memory_equal(file->data + size, data, len);
}

/* ---- tests --------------------------------------------------------------- */

static void
test_03_originals_go_bit_for_bit(void **state)
{
	static const size_t portions[] = { 1, 7, 1000, 65536, 600000 };
	struct stow_body *b;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		(void)add_object(i, 1);
	(void)add_sized(DICOM_UID_EXPLICIT_LE, 6, 1, 3 << 20);
	(void)add_sized("1.2.840.10008.1.2.4.70", 7, 1, 30000);
	(void)add_sized("1.2.840.113619.5.2", 8, 1, 1000);
	(void)keep_object("1.2.3.4.private", 9, 1, xstrdup("anything"), 8);
	b = body_of_all();
	for (size_t i = 0; i < ARRAY_LEN(portions); i++) {
		struct buf all = BUF_INIT(256u << 20);
		struct parts p = { 0 };

		assert_int_equal(drain(b, portions[i], &all), 0);
		assert_int_equal(all.len, stow_body_length(b));
		split(b, &all, &p);
		assert_int_equal(p.n, fake_spool.n);
		for (unsigned k = 0; k < p.n; k++)
			check_part(&p.file[k], &items[k].in, items[k].in.syntax,
			    fake_spool.o[k].data, fake_spool.o[k].length);
		free_parts(&p);
		buf_free(&all);
		assert_int_equal(stow_body_rewind(b), 0);
	}
	stow_body_free(b);
}

static void
check_reencoded(size_t pixels)
{
	struct buf all = BUF_INIT(256u << 20);
	struct buf expected = BUF_INIT(256u << 20);
	struct parts p = { 0 };
	struct stow_body *b = body_of_all();

	assert_int_equal(drain(b, 500000, &all), 0);
	assert_int_equal(all.len, stow_body_length(b));
	split(b, &all, &p);
	assert_int_equal(p.n, 1);
	build_dataset(&expected, DICOM_EXPLICIT_LE, 1, 1, pixels);
	check_part(&p.file[0], &items[0].in, DICOM_UID_EXPLICIT_LE,
	    expected.data, expected.len);
	free_parts(&p);
	buf_free(&all);
	buf_free(&expected);
	stow_body_free(b);
}

static void
test_23_implicit_becomes_explicit(void **state)
{
	static const size_t pixels[] = { 0, 1000, 65536, 1 << 20, 5 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pixels); i++) {
		forget(NULL);
		(void)add_sized(DICOM_UID_IMPLICIT_LE, 1, 1, pixels[i]);
		check_reencoded(pixels[i]);
		/* Orthanc takes it as it is. */
		stow.flavor = stow_flavors[1];
		struct stow_body *b = body_of_all();
		const struct stow_part *parts;

		assert_int_equal(stow_body_parts(b, &parts), 1);
		assert_false(parts[0].reencode);
		assert_int_equal(parts[0].length, fake_spool.o[0].length);
		stow_body_free(b);
	}
}

static void
test_23_deflated_becomes_explicit(void **state)
{
	struct buf plain = BUF_INIT(256u << 20);
	size_t pixels = 8 << 20;
	uLong size;
	char *packed;
	z_stream z = { 0 };

	(void)state;
	build_dataset(&plain, DICOM_EXPLICIT_LE, 1, 1, pixels);
	size = compressBound(plain.len) + 100;
	packed = xcalloc(1, size);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9,
	    Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)plain.data;
	z.avail_in = (uInt)plain.len;
	z.next_out = (Bytef *)packed;
	z.avail_out = (uInt)size;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	(void)keep_object(DICOM_UID_DEFLATED_LE, 1, 1, packed, z.total_out);
	assert_true(z.total_out < 100000);
	(void)deflateEnd(&z);
	buf_free(&plain);
	check_reencoded(pixels);
}

static void
test_23_inconvertible_is_refused_by_name(void **state)
{
	struct stow_body *b;
	const struct stow_part *parts;

	(void)state;
	(void)add_object(1, 1);
	(void)keep_object(DICOM_UID_IMPLICIT_LE, 2, 1,
	    xstrdup("this is no data set at all"), 26);
	(void)add_object(3, 1);
	b = body_of_all();
	assert_int_equal(stow_body_parts(b, &parts), 2);
	assert_int_equal(items[1].verdict, DESTINATION_REFUSED);
	SAYS(items[1].reason, "cannot be re-encoded");
	assert_int_equal(items[0].verdict, DESTINATION_RETRY);
	stow_body_free(b);
}

static void
check_damaged(size_t victim, uint64_t may_leave)
{
	struct buf all = BUF_INIT(256u << 20);
	struct stow_body *b;

	b = body_of_all();
	fake_spool.o[victim].data[fake_spool.o[victim].length - 3] ^= 1;
	assert_int_equal(drain(b, 100000, &all), -EUCLEAN);
	assert_int_equal(items[victim].verdict, DESTINATION_DAMAGED);
	SAYS(items[victim].reason, "damaged on this disk");
	for (size_t i = 0; i < fake_spool.n; i++) {
		if (i != victim)
			assert_int_equal(items[i].verdict, DESTINATION_RETRY);
	}
	assert_true(all.len <= may_leave);
	assert_true(all.len == 0 || memmem(all.data, all.len,
	    fake_spool.o[victim].data + fake_spool.o[victim].length - 100, 100) ==
	    NULL);
	fake_spool.o[victim].data[fake_spool.o[victim].length - 3] ^= 1;
	stow_body_free(b);
	buf_free(&all);
}

static void
test_invariant_11_damage_never_leaves_whole(void **state)
{
	static const char *const syntaxes[] = { DICOM_UID_EXPLICIT_LE,
		DICOM_UID_IMPLICIT_LE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(syntaxes); i++) {
		forget(NULL);
		(void)add_sized(syntaxes[i], 1, 1, 1000);
		(void)add_sized(syntaxes[i], 2, 1, 200000);
		(void)add_sized(syntaxes[i], 3, 1, 3 << 20);
		(void)add_sized(syntaxes[i], 4, 1, 1000);
		check_damaged(1, 10000);
		check_damaged(2, (3 << 20) + 210000);
	}
}

static void
test_damage_found_while_measuring(void **state)
{
	struct stow_body *b;
	const struct stow_part *parts;

	(void)state;
	(void)add_sized(DICOM_UID_IMPLICIT_LE, 1, 1, 1000);
	fake_spool.o[0].data[7] = 0x7f;	/* a length beyond all bytes */
	b = body_of_all();
	assert_int_equal(stow_body_parts(b, &parts), 0);
	assert_int_equal(items[0].verdict, DESTINATION_DAMAGED);
	stow_body_free(b);
}

static void
test_swept_meanwhile(void **state)
{
	struct buf all = BUF_INIT(256u << 20);
	struct stow_body *b;

	(void)state;
	(void)add_object(1, 1);
	(void)add_object(2, 1);
	b = body_of_all();
	fake_spool.o[1].gone = true;
	assert_int_equal(drain(b, 1000, &all), -ENOENT);
	SAYS(items[1].reason, "no longer in the spool");
	stow_body_free(b);
	buf_free(&all);
}

/* Every real object: bit for bit, or converted, or refused by name. */
static void
send_real(const struct object *o, void *arg)
{
	char *data = xcalloc(1, o->len - o->at + 1);
	struct buf all = BUF_INIT(256u << 20);
	const struct stow_part *parts;
	struct stow_body *b;

	forget(NULL);
	memcpy(data, o->data + o->at, o->len - o->at);
	(void)keep_object(o->meta.syntax, 1, 1, data, o->len - o->at);
	b = body_of_all();
	if (stow_body_parts(b, &parts) == 1) {
		assert_int_equal(drain(b, 70000, &all), 0);
		assert_int_equal(all.len, stow_body_length(b));
		++*(unsigned *)arg;
	} else {
		print_message("%s: %s\n", o->name, items[0].reason);
		assert_int_equal(items[0].verdict, DESTINATION_REFUSED);
	}
	stow_body_free(b);
	buf_free(&all);
}

static void
test_real_objects(void **state)
{
	unsigned sent = 0, n = visit_objects(send_real, &sent);

	(void)state;
	print_message("%u of %u objects can be sent\n", sent, n);
	assert_true(sent * 10 >= n * 9);
}

static int
tear_down(void **state)
{
	(void)state;
	forget_objects();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_03_originals_go_bit_for_bit, forget),
		cmocka_unit_test_setup(test_23_implicit_becomes_explicit, forget),
		cmocka_unit_test_setup(test_23_deflated_becomes_explicit, forget),
		cmocka_unit_test_setup(test_23_inconvertible_is_refused_by_name,
		    forget),
		cmocka_unit_test_setup(test_invariant_11_damage_never_leaves_whole,
		    forget),
		cmocka_unit_test_setup(test_damage_found_while_measuring, forget),
		cmocka_unit_test_setup(test_swept_meanwhile, forget),
		cmocka_unit_test_setup(test_real_objects, forget),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
