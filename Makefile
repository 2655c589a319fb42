# minivmm. `make help` lists the targets.
#
#   CC=clang        the other supported compiler        SAN=1    ASan + UBSan variant
#   PREFIX=/usr/local DESTDIR=                           V=1      show the commands
#   BUILD=build     where everything that is made goes

CC      = gcc
BUILD   = build
PREFIX  = /usr/local
DESTDIR =
SAN     = 0
V       = 0

Q       = $(if $(filter 1,$(V)),,@)
ccname  = $(notdir $(firstword $(CC)))
variant = $(ccname)$(if $(filter 1,$(SAN)),-san)
O       = $(BUILD)/$(variant)

VERSION := $(shell cat .version 2>/dev/null || git describe --always --dirty 2>/dev/null || echo unknown)

WARN    = -Wall -Wextra -Wshadow -Wvla -Wimplicit-fallthrough -Wmissing-prototypes -Werror
WARN   += $(if $(findstring clang,$(ccname)),-Wthread-safety)
OPT     = -O2 -g
CFLAGS  = $(OPT)
ifeq ($(SAN),1)
CFLAGS  = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
BASE    = -std=gnu17 $(WARN) -I. -pthread -D_GNU_SOURCE -MMD -MP

# Linked into the program where there is an archive: the loader takes 0.2 ms for the four, a tenth of a
# start, and they add 16 KB. Of libnuma only the header is used: see vmm/numa.c.
lib      = $(if $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l:lib$(1).a,-l$(1))
LIBS    := $(foreach l,uring fdt aio jansson,$(call lib,$(l))) -pthread

ROOMS   = vmm devices vfio firmware
# guest-tests/bench: drivers that run in this program and in its measuring guest.
SRC     = $(foreach d,$(ROOMS) guest-tests/bench,$(wildcard $(d)/*.c))
HDR     = $(foreach d,$(ROOMS) guest-tests guest-tests/bench,$(wildcard $(d)/*.h))
OBJ     = $(SRC:%.c=$(O)/%.o)
LIBOBJ  = $(filter-out $(O)/vmm/main.o,$(OBJ))
FAKES   = $(wildcard tests/unit/fake_*.c)
UNIT    = $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all help check check-headers check-includes check-style unit test demo bench fuzz format tidy \
	host clean distclean install deps
.DEFAULT_GOAL = all

all: $(if $(wildcard vmm/main.c),$(O)/minivmm) $(O)/make-disk

include tests/host/host.mk
-include $(wildcard tests/fuzz/fuzz.mk tests/bench/bench.mk guest-tests/guest-tests.mk)

help:
	@echo "make            build $(O)/minivmm          make install  PREFIX=$(PREFIX) DESTDIR="
	@echo "make demo       show what it does (installs what it needs)"
	@echo "make test       every test (installs what it needs)"
	@echo "make check      the quick ones: unit, headers, includes, style"
	@echo "make bench      the measurements             make fuzz     the fuzz targets, longer"
	@echo "make host       only set up the nested VFIO host under $(BUILD)/host"
	@echo "make format     clang-format                 make tidy     clang-tidy"
	@echo "make clean      the objects                  make distclean  all of $(BUILD)/"

$(O)/minivmm: $(OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) -DMINIVMM_VERSION='"$(VERSION)"' -c -o $@ $<

# The measuring guest: an ELF of 18 KB, which the program carries.
GUEST_CFLAGS = -m32 -march=i686 -std=gnu17 -O2 -ffreestanding -fno-pic -fno-stack-protector -mno-sse -mno-mmx \
	-mno-80387 -fcf-protection=none -fno-asynchronous-unwind-tables $(WARN) -I.
GUEST_LINK   = -nostdlib -static -s -Wl,-m,elf_i386,-T,guest-tests/micro/link.ld,--build-id=none \
	-Wl,--no-warn-rwx-segments,-z,noexecstack
GUEST_SRC    = guest-tests/micro/start.S guest-tests/micro/lib.c guest-tests/bench/guest/main.c \
	$(wildcard guest-tests/bench/*.c)
$(O)/bench-guest.elf: $(GUEST_SRC) guest-tests/micro/link.ld guest-tests/micro/lib.h guest-tests/bench/bench.h
	@mkdir -p $(@D)
	@echo "  GUEST $@"
	$(Q)$(CC) $(GUEST_CFLAGS) $(GUEST_LINK) -o $@ $(GUEST_SRC)

%/command_bench_image.o: BASE += -DBENCH_GUEST='"$(O)/bench-guest.elf"'
$(O)/vmm/command_bench_image.o $(BUILD)/fuzz/vmm/command_bench_image.o: $(O)/bench-guest.elf

.SECONDARY: $(FAKES:%.c=$(O)/%.o)
$(O)/unit/%: tests/unit/%.c $(FAKES:%.c=$(O)/%.o) $(LIBOBJ)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $< $(FAKES:%.c=$(O)/%.o) $(LIBOBJ) $(LIBS) -lcmocka

$(O)/make-disk: guest-tests/make-disk.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) -o $@ $<

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	$(if $(wildcard vmm/main.c),install -m 755 $(O)/minivmm $(DESTDIR)$(PREFIX)/bin/minivmm)
	$(if $(wildcard vmm/minivmm.1),install -D -m 644 vmm/minivmm.1 $(DESTDIR)$(PREFIX)/share/man/man1/minivmm.1)

# Quick checks, one line a test. The runner counts them.
check: $(UNIT) check-headers check-includes check-style
	$(Q)tests/run-units $(UNIT)

# Every header compiles alone.
check-headers: $(HDR:%=$(O)/%.ok)
$(O)/%.h.ok: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Wno-unused-function -MF $@.d -fsyntax-only -x c $<
	$(Q)touch $@

# core <- devices <- {vfio, firmware} <- composition; who may see which UAPI header.
check-includes:
	$(Q)tests/check-includes

check-style:
	$(Q)tests/check-style

test:
	$(Q)tests/run

demo:
	$(Q)tests/demo

deps:
	$(Q)tests/deps

format:
	clang-format -i $(SRC) $(HDR) $(wildcard tests/*/*.c guest-tests/*.c)

tidy:
	clang-tidy --quiet $(SRC) -- $(filter-out -Werror,$(BASE))

clean:
	rm -rf $(filter-out $(BUILD)/host,$(wildcard $(BUILD)/*))

distclean:
	rm -rf $(BUILD)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
