/* study_int.h - what the files of gateway/study share. */
#ifndef CW_STUDY_STUDY_INT_H
#define CW_STUDY_STUDY_INT_H

#include "gateway/study/study.h"

/* Bits by enum study_trait. */
unsigned study_route_asks(const struct config_route *r);
/* All that this route asks of the study is met; t may be NULL: nothing is known. */
bool study_traits_meet(const struct study_traits *t, const struct config *cfg,
    size_t route);

#endif
