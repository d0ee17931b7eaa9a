# Causeway - make, make check, make demo; see README.md.
#
# Every folder becomes one static archive, objects lie in $(BUILD) as their
# sources do in the tree, and a new file is picked up by itself.
#
#   make V=1              show the commands
#   make WERROR=1         warnings are errors (as in make check)
#   make SAN=address      AddressSanitizer and UBSan, into build-asan/
#   make SAN=thread       ThreadSanitizer, into build-tsan/
#   make DICOM_DIC=FILE   the PS3.6 dictionary, if DCMTK's is not found

VERSION   := 0.1.0

prefix     ?= /usr
sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
libdir     ?= $(prefix)/lib
docdir     ?= $(prefix)/share/doc/causeway
mandir     ?= $(prefix)/share/man
sysconfdir ?= /etc

PKG_CONFIG ?= pkg-config
INSTALL    ?= install
CFLAGS     ?= -O2 -g
CXXFLAGS   ?= $(CFLAGS)

ifeq ($(SAN),address)
BUILD ?= build-asan
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(SAN),thread)
BUILD ?= build-tsan
SANITIZE := -fsanitize=thread
else ifeq ($(SAN),fuzzer)
BUILD ?= build-fuzz
SANITIZE := -fsanitize=fuzzer-no-link,address,undefined
else ifneq ($(SAN),)
$(error SAN is address or thread)
endif
BUILD ?= build

# --- what is built of what -------------------------------------------------

# The folders, and what each may use, from tests/lint/layers: the linker meets
# each archive once, top to bottom, so an upward call stays undefined.
needs  = $(filter-out $(1):,$(shell grep '^$(1):' tests/lint/layers))
LAYERS := $(call needs,main)

folder   = $(if $(filter spool config,$(1)),$(1),gateway/$(1))
sources  = $(wildcard $(1)/*.c $(1)/*.cc)
objects  = $(patsubst %,$(BUILD)/%.o,$(basename $(call sources,$(1))))
archives = $(patsubst %,$(BUILD)/lib%.a,$(1))

PROGRAMS := $(if $(wildcard gateway/main.c),$(BUILD)/causewayd) \
	$(if $(wildcard gateway/ctl/*.c),$(BUILD)/causewayctl)
# tests/unit/test_spool_find.c needs the spool and what that needs, no more.
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
# What make bench measures with: its sender, its sink, and what fills a spool.
BENCH := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))

# VR, keyword and multiplicity of every tag, from the dictionary that DCMTK
# installs; nothing reads that file at run time.
DICOM_DIC ?= $(firstword $(wildcard /usr/share/libdcmtk*/dicom.dic \
	/usr/share/dcmtk*/dicom.dic /usr/local/share/dcmtk*/dicom.dic))
DICT := $(if $(wildcard gateway/dicom/gen-dict.awk),$(BUILD)/gen/dict_table)

# --- compiler and linker ---------------------------------------------------

PACKAGES := libcurl openssl sqlite3 yaml-0.1 libevent libevent_pthreads jansson \
	expat libxxhash zlib
LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) -lm
# Debian's dcmtk.pc asks for packages that nothing here needs.
DCMTK_LIBS := -ldcmtls -ldcmnet -ldcmdata -loflog -lofstd

knows = $(shell echo | $(CC) -Werror $(1) -x c -c -o /dev/null - 2>/dev/null && \
	echo '$(1)')

HARDEN := -fPIE -fstack-protector-strong $(call knows,-fstack-clash-protection) \
	$(call knows,-fcf-protection) $(call knows,-mbranch-protection=standard)
ifeq ($(SANITIZE)$(filter -O0,$(CFLAGS)),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2
WARN_C := $(WARN) -Wstrict-prototypes -Wmissing-prototypes

COMMON := -I. -D_GNU_SOURCE -DCAUSEWAY_VERSION=\"$(VERSION)\" -pthread \
	$(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null) $(HARDEN) \
	$(SANITIZE) $(if $(SANITIZE),-fno-omit-frame-pointer)
C_FLAGS   := -std=gnu17 $(WARN_C) $(COMMON) $(CPPFLAGS) $(CFLAGS)
CXX_FLAGS := -std=gnu++17 $(WARN) $(COMMON) $(CPPFLAGS) $(CXXFLAGS)
LD_FLAGS  := -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) \
	$(LDFLAGS)
ERROR := $(if $(filter 1,$(WERROR)),-Werror)

say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $@;)

# --- rules -----------------------------------------------------------------

all: $(PROGRAMS)

$(BUILD)/causewayd: $(call objects,gateway) $(call archives,$(LAYERS))
	$(call say,LD)$(CXX) $(LD_FLAGS) -o $@ $^ $(DCMTK_LIBS) $(LIBS)

$(BUILD)/causewayctl: $(call objects,gateway/ctl) \
    $(call archives,$(call needs,ctl))
	$(call say,LD)$(CC) $(LD_FLAGS) -o $@ $^ $(LIBS)

$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o \
    $(call archives,$(LAYERS))
	$(call say,LD)$(CXX) $(LD_FLAGS) -fsanitize=fuzzer -o $@ $^ $(DCMTK_LIBS) \
	    $(LIBS)

$(BENCH): %: %.o
	$(call say,LD)$(CC) $(LD_FLAGS) -o $@ $^ $(LIBS)

$(BUILD)/tests/bench/owe: $(call archives,spool $(call needs,spool))

.SECONDEXPANSION:
tested = $(word 2,$(subst _, ,$(notdir $(1))))
$(UNIT): %: %.o $$(call archives,$$(call tested,$$*) \
    $$(call needs,$$(call tested,$$*)))
	$(call say,LD)$(CXX) $(LD_FLAGS) -o $@ $^ $(DCMTK_LIBS) $(LIBS) -lcmocka

$(BUILD)/lib%.a: $$(call objects,$$(call folder,$$*)) \
    $$(if $$(filter dicom,$$*),$$(addsuffix .o,$$(DICT)))
	@mkdir -p $(@D)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(C_FLAGS) $(ERROR) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.cc $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)$(CXX) $(CXX_FLAGS) $(ERROR) -MMD -MP -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(call say,CC)$(CC) $(C_FLAGS) $(ERROR) -MMD -MP -c -o $@ $<

$(BUILD)/gen/dict_table.c: gateway/dicom/gen-dict.awk $(DICOM_DIC)
	@mkdir -p $(@D)
	@test -n "$(DICOM_DIC)" || { echo "No dicom.dic found: install DCMTK" \
	    "or say DICOM_DIC=FILE" >&2; exit 1; }
	$(call say,GEN)LC_ALL=C awk -f $< $(DICOM_DIC) >$@.tmp && mv $@.tmp $@

# Changes when the flags do, and then everything is compiled anew. -Werror does
# not count, so that make and make check share their objects.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@$(PKG_CONFIG) --exists --print-errors $(PACKAGES) || { echo \
	    "Libraries are missing: packaging/install-deps build" >&2; exit 1; }
	@printf '%s\n' $(CC) $(C_FLAGS) $(CXX) $(CXX_FLAGS) $(LD_FLAGS) >$@.$$$$; \
	    if cmp -s $@.$$$$ $@; then rm -f $@.$$$$; else mv $@.$$$$ $@; fi

# --- tests -----------------------------------------------------------------

# What follows starts make again (+), for what is only then known to be needed.
check:
	@packaging/install-deps check
	+@tests/run

# Also what needs more than packages: it is skipped by make check.
check-all:
	@packaging/install-deps check check-all
	+@CAUSEWAY_CHECK_ALL=1 tests/run

# After make check: only what it skipped, with whatever is installed by now.
check-rest:
	+@CAUSEWAY_CHECK_ALL=1 tests/run -s

unit:
	+@tests/run unit

# docs/CONFIGURATION.md from the option tables; a unit test says when it is old.
reference:
	+@UPDATE=1 tests/run unit test_destination_reference

lint:
	@tests/lint/check-layers
	@tests/lint/check-style

demo bench:
	@packaging/install-deps check
	+@$(MAKE) --no-print-directory all $(if $(filter bench,$@),bench-programs)
	+@CAUSEWAY_BUILD=$(abspath $(BUILD)) tests/$@/run

# Every fuzzer for FUZZ_TIME seconds, from tests/fuzz/seeds/NAME where that is; what
# it finds stays in build-fuzz/.
FUZZ_TIME ?= 60
fuzz:
	@packaging/install-deps dev
	+@$(MAKE) --no-print-directory CC=clang CXX=clang++ SAN=fuzzer fuzz-programs
	@set -e; for f in $(FUZZERS:$(BUILD)/%=build-fuzz/%); do \
	    mkdir -p $$f.corpus; echo "== $$f"; \
	    $$f -max_total_time=$(FUZZ_TIME) -artifact_prefix=$$f- $$f.corpus \
	    $$(find tests/fuzz/seeds/$${f##*/} -maxdepth 0 2>/dev/null); done

unit-programs: $(UNIT)

fuzz-programs: $(FUZZERS)

bench-programs: $(BENCH)

print-build:
	@echo $(BUILD)

# --- installation ----------------------------------------------------------

install: all
	$(INSTALL) -d $(addprefix $(DESTDIR),$(sbindir) $(bindir) $(docdir) \
	    $(libdir)/systemd/system $(libdir)/sysusers.d $(libdir)/tmpfiles.d \
	    $(mandir)/man1 $(mandir)/man8 $(sysconfdir)/causeway)
	$(INSTALL) $(BUILD)/causewayd $(DESTDIR)$(sbindir)
	$(INSTALL) $(BUILD)/causewayctl $(DESTDIR)$(bindir)
	sed 's|/usr/sbin/|$(sbindir)/|; s|/etc/causeway/|$(sysconfdir)/causeway/|' \
	    systemd/causeway.service \
	    >$(DESTDIR)$(libdir)/systemd/system/causeway.service
	$(INSTALL) -m 644 systemd/causeway.sysusers \
	    $(DESTDIR)$(libdir)/sysusers.d/causeway.conf
	$(INSTALL) -m 644 systemd/causeway.tmpfiles \
	    $(DESTDIR)$(libdir)/tmpfiles.d/causeway.conf
	$(INSTALL) -m 644 README.md LICENSE packaging/causeway.yaml \
	    $(wildcard docs/*.md) $(DESTDIR)$(docdir)
	$(INSTALL) -d $(DESTDIR)$(docdir)/examples
	$(INSTALL) -m 644 $(wildcard packaging/examples/*.yaml) \
	    $(DESTDIR)$(docdir)/examples
	$(INSTALL) -m 644 docs/man/causewayctl.1 $(DESTDIR)$(mandir)/man1
	$(INSTALL) -m 644 docs/man/causewayd.8 $(DESTDIR)$(mandir)/man8
	test -e $(DESTDIR)$(sysconfdir)/causeway/causeway.yaml || \
	    $(INSTALL) -m 644 packaging/causeway.yaml $(DESTDIR)$(sysconfdir)/causeway

clean:
	rm -rf build build-asan build-tsan build-fuzz

FORCE:
.SECONDARY:
.PHONY: all check check-all check-rest unit lint reference demo bench fuzz unit-programs \
	fuzz-programs bench-programs print-build install clean FORCE

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
