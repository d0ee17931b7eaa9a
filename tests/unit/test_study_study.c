/* test_study_study.c - completion and routing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/study/study.h"

static const struct study_patience patient = { 60000, 3600000, false };

static void
rule_11_silence_completes(void **state)
{
	struct study_arrivals a = { 1000, 5000, 0, false };

	(void)state;
	assert_int_equal(study_complete_at(&a, &patient), 65000);
	a.last_ms = 70000;
	assert_int_equal(study_complete_at(&a, &patient), 130000);
}

static void
rule_11_an_open_association_holds_it_an_hour(void **state)
{
	struct study_arrivals a = { 1000, 5000, 1, false };

	(void)state;
	assert_int_equal(study_complete_at(&a, &patient), 3601000);
	/* one that still sends then goes by silence again */
	a.last_ms = 3700000;
	assert_int_equal(study_complete_at(&a, &patient), 3760000);
}

static void
rule_11_stat_and_start_early_do_not_wait(void **state)
{
	struct study_arrivals a = { 1000, 5000, 1, true };
	struct study_patience early = { 60000, 3600000, true };

	(void)state;
	assert_int_equal(study_complete_at(&a, &patient), 1000);
	a.stat = false;
	assert_int_equal(study_complete_at(&a, &early), 1000);
}

/* ---- routing ---- */

static char *ct[] = { (char *)"CT", (char *)"MR" };
static char *from[] = { (char *)"CT1", (char *)"MR*" };
static char *to_a[] = { (char *)"a" }, *to_b[] = { (char *)"b" };
static struct config_destination dest_a = { .name = (char *)"a" };
static struct config_destination dest_b = { .name = (char *)"b" };
static void *dests[] = { &dest_a, &dest_b };

static struct config
make_config(void **routes, size_t n)
{
	return (struct config){ .destinations = { 2, dests }, .routes = { n, routes } };
}

static void
rule_1_no_routes_means_everywhere(void **state)
{
	struct config c = make_config(NULL, 0);
	struct study_facts f = { "X", "Y", "SR", NULL };
	bool to[2];

	(void)state;
	assert_int_equal(study_route(&c, &f, to, NULL), 2);
	assert_true(to[0] && to[1]);
}

static void
rule_1_each_match_adds_and_final_stops(void **state)
{
	struct config_route r1 = { .from = { 2, from }, .to = { 1, to_a } };
	struct config_route r2 = { .to = { 1, to_b } };
	void *routes[] = { &r1, &r2 };
	struct config c = make_config(routes, 2);
	struct study_facts f = { "MR7", "Y", "MR", NULL };
	bool to[2];

	(void)state;
	assert_int_equal(study_route(&c, &f, to, NULL), 2);
	r1.final = true;
	assert_int_equal(study_route(&c, &f, to, NULL), 1);
	assert_true(to[0]);
	f.calling = "US1";
	assert_int_equal(study_route(&c, &f, to, NULL), 1);
	assert_true(to[1]);
	f.calling = "ct1";	/* titles count by case */
	assert_int_equal(study_route(&c, &f, to, NULL), 1);
}

static void
rule_1_the_dose_report_travels_with_the_exam(void **state)
{
	struct config_route r1 = { .modality = { 2, ct }, .to = { 1, to_a } };
	void *routes[] = { &r1 };
	struct config c = make_config(routes, 1);
	struct study_facts f = { "CT1", "Y", "SR\\CT", NULL };
	bool to[2];

	(void)state;
	assert_int_equal(study_route(&c, &f, to, NULL), 1);
	f.modalities = "SR";
	assert_int_equal(study_route(&c, &f, to, NULL), 0);
	f.modalities = "CTX";
	assert_int_equal(study_route(&c, &f, to, NULL), 0);
	f.modalities = "";
	assert_int_equal(study_route(&c, &f, to, NULL), 0);
	assert_true(study_routable(&c, "CT1", "Y"));
	r1.from = (struct config_strings){ 2, from };
	assert_false(study_routable(&c, "US1", "Y"));
	r1.from = r1.to = (struct config_strings){ 0 };
	r1.final = true;
	r1.modality = (struct config_strings){ 0 };
	assert_false(study_routable(&c, "CT1", "Y"));	/* it ends there */
}

/* A route of one question, and what a study answers. */
static bool
meets(struct config_strings *list, struct config_route *r, enum study_trait what,
    const char *pattern, const char *text)
{
	char *v[] = { (char *)(uintptr_t)pattern };
	void *routes[] = { r };
	struct config c = make_config(routes, 1);
	struct study_traits *t = study_traits_new(&c);
	struct study_facts f = { "CT1", "Y", "CT", t };
	bool to[2], matched[1];
	size_t n;

	*list = (struct config_strings){ 1, v };
	assert_int_equal(study_traits_wanted(&c), 1u << what);
	assert_int_equal(study_route(&c, &f, to, matched), 0);
	assert_false(matched[0]);
	study_traits_note(t, what, "another");
	study_traits_note(t, what, "");
	study_traits_note(t, what, text);
	study_traits_note(t, what, "something else");
	n = study_route(&c, &f, to, matched);
	assert_int_equal(n, matched[0] ? 1 : 0);
	f.traits = NULL;
	assert_int_equal(study_route(&c, &f, to, matched), 0);
	study_traits_free(t);
	*list = (struct config_strings){ 0 };
	return n == 1;
}

static void
rule_1_routes_by_what_any_part_of_the_study_has(void **state)
{
	struct config_route r = { .to = { 1, to_a } };

#define MEETS(field, what, pattern, text) meets(&r.field, &r, what, pattern, text)
	(void)state;
	assert_true(MEETS(sop_class, STUDY_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.2",
	    "1.2.840.10008.5.1.4.1.1.2"));
	assert_true(MEETS(sop_class, STUDY_SOP_CLASS, "CTImageStorage",
	    "1.2.840.10008.5.1.4.1.1.2"));
	assert_false(MEETS(sop_class, STUDY_SOP_CLASS, "CTImageStorage",
	    "1.2.840.10008.5.1.4.1.1.4"));
	assert_false(MEETS(sop_class, STUDY_SOP_CLASS, "1.2.840.10008.5.1.4.1.1",
	    "1.2.840.10008.5.1.4.1.1.2"));
	assert_true(MEETS(body_part, STUDY_BODY_PART, "head", "HEAD"));
	assert_true(MEETS(body_part, STUDY_BODY_PART, "*SPINE", "LSPINE"));
	assert_false(MEETS(body_part, STUDY_BODY_PART, "SPINE", "LSPINE"));
	assert_true(MEETS(station, STUDY_STATION, "CT_ER*", "CT_ER1"));
	assert_false(MEETS(station, STUDY_STATION, "CT_ER*", "ct_er1"));
	assert_true(MEETS(description, STUDY_DESCRIPTION, "*trauma*",
	    "CT Polytrauma"));
	assert_true(MEETS(description, STUDY_DESCRIPTION, "*SCH\xc3\x84""DEL*",
	    "ct sch\xc3\xa4""del nativ"));
	assert_true(MEETS(description, STUDY_DESCRIPTION, "CT ?", "ct \xc3\xa9"));
	assert_false(MEETS(description, STUDY_DESCRIPTION, "CT ?", "CT"));
}

static void
rule_1_all_that_a_route_asks_must_be_met(void **state)
{
	char *head[] = { (char *)"HEAD" }, *er[] = { (char *)"ER", (char *)"ER2" };
	struct config_route r1 = { .modality = { 2, ct }, .body_part = { 1, head },
		.station = { 2, er }, .to = { 1, to_a }, .final = true };
	struct config_route r2 = { .to = { 1, to_b } };
	void *routes[] = { &r1, &r2 };
	struct config c = make_config(routes, 2);
	struct study_traits *t = study_traits_new(&c);
	struct study_facts f = { "CT1", "Y", "CT", t };
	bool to[2], matched[2];

	(void)state;
	assert_int_equal(study_traits_wanted(&c),
	    1u << STUDY_BODY_PART | 1u << STUDY_STATION);
	study_traits_note(t, STUDY_BODY_PART, "HEAD");
	study_traits_note(t, STUDY_DESCRIPTION, "ER");
	assert_int_equal(study_route(&c, &f, to, matched), 1);
	assert_true(to[1] && !matched[0] && matched[1]);
	study_traits_note(t, STUDY_STATION, "ER2");
	assert_int_equal(study_route(&c, &f, to, matched), 1);
	assert_true(to[0] && matched[0] && !matched[1]);
	f.modalities = "US";
	assert_int_equal(study_route(&c, &f, to, matched), 1);
	assert_true(to[1]);
	study_traits_free(t);
	/* Who asks C-STORE first: it may turn out to be one of those. */
	r1.to = (struct config_strings){ 0 };
	r1.modality = (struct config_strings){ 0 };
	assert_true(study_routable(&c, "CT1", "Y"));
	r1.body_part = r1.station = (struct config_strings){ 0 };
	assert_false(study_routable(&c, "CT1", "Y"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_11_silence_completes),
		cmocka_unit_test(rule_11_an_open_association_holds_it_an_hour),
		cmocka_unit_test(rule_11_stat_and_start_early_do_not_wait),
		cmocka_unit_test(rule_1_no_routes_means_everywhere),
		cmocka_unit_test(rule_1_each_match_adds_and_final_stops),
		cmocka_unit_test(rule_1_the_dose_report_travels_with_the_exam),
		cmocka_unit_test(rule_1_routes_by_what_any_part_of_the_study_has),
		cmocka_unit_test(rule_1_all_that_a_route_asks_must_be_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
