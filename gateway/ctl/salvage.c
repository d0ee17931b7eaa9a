/* salvage.c - causewayctl salvage: images out of a bare spool directory, without
 * index and without the daemon.
 */
#include "gateway/ctl/ctl_int.h"
#include "spool/spool.h"

#define PROBLEMS_SHOWN 1000

struct tally {
	struct ctl *ctl;
	uint64_t whole, damaged;
	json_t	*problems;
};

static void
count_file(void *arg, const char *file, const char *problem)
{
	struct tally *t = arg;
	struct buf text = BUF_INIT(32 << 10), shown = BUF_INIT(128 << 10);

	if (problem == NULL) {
		t->whole++;
		return;
	}
	t->damaged++;
	(void)buf_printf(&text, "%s: %s", file, problem);
	ctl_escape(&shown, text.len > 0 ? text.data : "");
	if (!t->ctl->json)
		(void)fprintf(t->ctl->err, "%s\n", shown.len > 0 ? shown.data : "");
	else if (json_array_size(t->problems) < PROBLEMS_SHOWN)
		(void)json_array_append_new(t->problems,
		    json_string(shown.len > 0 ? shown.data : ""));
	buf_free(&text);
	buf_free(&shown);
}

int
ctl_salvage(struct ctl *c)
{
	struct buf why = BUF_INIT(4096);
	struct tally t = { .ctl = c, .problems = json_array() };
	int r = spool_salvage(c->words[0], c->words[1], count_file, &t, &why);

	if (c->json && r >= 0) {
		json_t *o = json_pack("{s:I, s:I, s:O}", "files",
		    (json_int_t)t.whole, "damaged", (json_int_t)t.damaged,
		    "problems", t.problems);

		ctl_print_json(c, o);
		json_decref(o);
	} else if (r >= 0)
		(void)fprintf(c->out, "%llu images are in %s; %llu were damaged\n",
		    (unsigned long long)t.whole, c->words[1],
		    (unsigned long long)t.damaged);
	if (r < 0)
		(void)ctl_fail(c, "%s", why.len > 0 ? why.data :
		    "the spool could not be read");
	json_decref(t.problems);
	buf_free(&why);
	return r < 0 || t.damaged > 0 ? CTL_FAILED : CTL_DONE;
}
