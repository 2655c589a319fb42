# minivmm. `make help` lists the targets.
#
#   CC=clang        the other supported compiler        SAN=1    ASan + UBSan variant, SAN=thread: TSan
#   PREFIX=/usr/local DESTDIR=                           V=1      show the commands
#   BUILD=build     the folder for everything that is built

CC      = gcc
BUILD   = build
PREFIX  = /usr/local
DESTDIR =
SAN     = 0
V       = 0

Q       = $(if $(filter 1,$(V)),,@)
ccname  = $(notdir $(firstword $(CC)))
variant = $(ccname)$(if $(filter 1,$(SAN)),-san)$(if $(filter thread,$(SAN)),-tsan)
O       = $(BUILD)/$(variant)

VERSION := $(shell cat .version 2>/dev/null || git describe --always --dirty 2>/dev/null || echo unknown)

WARN    = -Wall -Wextra -Wshadow -Wvla -Wimplicit-fallthrough -Wmissing-prototypes -Werror
WARN   += $(if $(findstring clang,$(ccname)),-Wthread-safety)
OPT     = -O2
CFLAGS  = $(OPT) -g
ifeq ($(SAN),1)
CFLAGS  = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),thread)
# TSan does not understand fences, and gcc warns about it: an order that only a fence guarantees is reported as a race.
CFLAGS  = -O1 -g -fsanitize=thread -fno-omit-frame-pointer $(if $(findstring clang,$(ccname)),,-Wno-tsan)
LDFLAGS += -fsanitize=thread
endif
BASE    = -std=gnu17 $(WARN) -I. -fPIE -ffunction-sections -fdata-sections -pthread -D_GNU_SOURCE -MMD -MP

# The program is linked statically if the archives exist: loading and relocating libc and four small libraries takes
# 0.3 ms, a sixth of a start. Functions that nobody calls are left out, because a page fault in the program also maps the
# neighbouring pages.
has      = $(filter /%,$(shell $(CC) -print-file-name=$(1)))
lib      = $(if $(call has,lib$(1).a),-l:lib$(1).a,-l$(1))
LIBS    := $(foreach l,uring fdt aio jansson,$(call lib,$(l))) -pthread

# libnuma reads /sys and /proc in a constructor. The constructor is removed from the archive that we link, and
# vmm/placement/numa.c calls it when nodes are asked for. The weak symbol keeps out affinity.o, which nobody calls and
# which needs the resolver of libc.
OBJCOPY  = objcopy
numa_in := $(call has,libnuma.a)
NUMA    := $(if $(numa_in),$(BUILD)/libnuma.a)
LIBS    := $(or $(NUMA),-lnuma) $(LIBS)
$(if $(numa_in),,$(info No libnuma.a: minivmm is linked dynamically, and each start pays for libnuma's constructor.))

# vmm/start.ld says which code lies together. ORDER= for a linker that does not know such scripts.
ORDER    = -Wl,-T,vmm/start.ld
static   = -static-pie -Wl,-z,pack-relative-relocs $(ORDER)
dynamic  = $(filter-out 0,$(SAN))$(filter-out %.a -pthread,$(LIBS))$(if $(call has,rcrt1.o),,1)
LINK    := $(if $(strip $(dynamic)),,$(static)) -Wl,--gc-sections

# The rooms are the folders below these four. vmm/bench/guest runs in a guest and is built separately.
ROOMS  := $(filter-out vmm/bench/guest,$(sort $(patsubst %/,%,$(dir \
	$(wildcard $(foreach d,vmm devices vfio firmware,$(d)/*.c $(d)/*/*.c $(d)/*/*/*.c))))))
SRC     = $(foreach d,$(ROOMS),$(wildcard $(d)/*.c))
HDR     = $(foreach d,$(ROOMS) guest-tests,$(wildcard $(d)/*.h))
OBJ     = $(SRC:%.c=$(O)/%.o)
# Code that runs only once, or never, is compiled for size, because its pages are mapped together with their neighbours.
ONCE    = firmware/% vmm/machine/% vmm/report/% vmm/import/% vmm/bench/% vmm/cli/% vfio/host/%
$(filter $(ONCE:%=$(O)/%.o),$(OBJ)): OPT = -Os
LIBOBJ  = $(filter-out $(O)/vmm/cli/main.o,$(OBJ))
FAKES   = $(wildcard tests/unit/fake_*.c)
UNIT    = $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all help check check-headers check-rooms check-style check-page check-figures unit test demo bench fuzz format \
	tidy host clean distclean install deps
.DEFAULT_GOAL = all

all: $(if $(wildcard vmm/cli/main.c),$(O)/minivmm) $(O)/make-disk

include tests/host/host.mk
-include $(wildcard tests/fuzz/fuzz.mk tests/bench/bench.mk)

help:
	@echo "make            build $(O)/minivmm"
	@echo "make install    PREFIX=$(PREFIX) DESTDIR="
	@echo "make deps       install the packages that building and testing need"
	@echo "make demo       show what it does (installs what it needs)"
	@echo "make test       every test (installs what it needs)"
	@echo "make check      the quick tests: unit, headers, rooms, style, figures"
	@echo "make unit       the unit tests alone"
	@echo "make fuzz       every fuzz target, FUZZ_SECS=60 seconds each"
	@echo "make bench      the measurements"
	@echo "make host       only set up the nested VFIO host under $(BUILD)/host"
	@echo "make format     clang-format                 make tidy       clang-tidy"
	@echo "make clean      remove the objects           make distclean  all of $(BUILD)/"
	@echo
	@echo "One unit test (irq stands for tests/unit/test_irq.c):"
	@echo "  make $(O)/unit/test_irq && $(O)/unit/test_irq"
	@echo "One fuzz target (virtq stands for tests/fuzz/fuzz_virtq.c):"
	@echo "  make fuzz FUZZ=virtq FUZZ_SECS=60"
	@echo "One script in the nested host, as root (--list shows machines and devices):"
	@echo "  make host l1 && tests/host/run tests/host/virtio.sh"
	@echo "Sanitizers: CC=clang SAN=1 (address, undefined) or SAN=thread (races)"
	@echo "  make CC=clang SAN=1 unit"
	@echo "V=1 shows the commands. .github/CONTRIBUTING.md says more."

$(O)/minivmm: $(OBJ) $(NUMA) vmm/start.ld
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) $(LINK) -o $@ $(OBJ) $(LIBS)

$(BUILD)/libnuma.a: $(numa_in)
	@mkdir -p $(@D)
	@echo "  COPY  $@"
	$(Q)$(OBJCOPY) -R .init_array -R .rela.init_array -R .fini_array -R .rela.fini_array \
		--weaken-symbol=resolve_affinity $< $@

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) -DMINIVMM_VERSION='"$(VERSION)"' -c -o $@ $<

# The guest of `minivmm bench`: an ELF of 18 KB, which the program contains.
GUEST_CFLAGS = -m32 -march=i686 -std=gnu17 -O2 -ffreestanding -fno-pic -fno-stack-protector -mno-sse -mno-mmx \
	-mno-80387 -fcf-protection=none -fno-asynchronous-unwind-tables $(WARN) -I.
GUEST_LINK   = -nostdlib -static -s -Wl,-m,elf_i386,-T,guest-tests/micro/link.ld,--build-id=none \
	-Wl,--no-warn-rwx-segments,-z,noexecstack
GUEST_SRC    = guest-tests/micro/start.S guest-tests/micro/lib.c vmm/bench/guest/main.c \
	$(wildcard vmm/bench/driver*.c)
$(O)/bench-guest.elf: $(GUEST_SRC) guest-tests/micro/link.ld guest-tests/micro/lib.h vmm/bench/driver.h
	@mkdir -p $(@D)
	@echo "  GUEST $@"
	$(Q)$(CC) $(GUEST_CFLAGS) $(GUEST_LINK) -o $@ $(GUEST_SRC)

%/bench/image.o: BASE += -DBENCH_GUEST='"$(O)/bench-guest.elf"'
$(O)/vmm/bench/image.o $(BUILD)/fuzz/vmm/bench/image.o: $(O)/bench-guest.elf

# The program also contains the page of `minivmm report`.
$(O)/vmm/report/report_html.o $(BUILD)/fuzz/vmm/report/report_html.o: vmm/report/page.html

.SECONDARY: $(FAKES:%.c=$(O)/%.o)
# Everything except main, for tests. From an archive, the linker takes only what a test needs, which is faster. But with
# --wrap, binutils 2.40 crashes on an archive.
$(O)/minivmm.a: $(LIBOBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

tested = $(if $(findstring --wrap,$(LDFLAGS)),$(LIBOBJ),$(O)/minivmm.a)
$(O)/unit/%: tests/unit/%.c $(FAKES:%.c=$(O)/%.o) $(O)/minivmm.a $(NUMA)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $< $(FAKES:%.c=$(O)/%.o) $(tested) $(LIBS) -lcmocka

# This test has its own engine instead of io_uring.
$(O)/unit/test_virtio_run: LDFLAGS += -Wl,--wrap=blk_uring_ops
# The controller's loop runs on the test's thread.
$(O)/unit/test_xhci $(O)/unit/test_xhci_ports: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,iothread_new iothread_resume \
	iothread_free iothread_wanted)
# Hot-pluggable slots of its own.
$(O)/unit/test_monitor_devices: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,hotplug_add hotplug_remove qmp_answer)
# A machine of its own at the other end of the control socket.
$(O)/unit/test_ctl_devices: LDFLAGS += -Wl,--wrap=qmp_peer_ask -Wl,--wrap=qmp_peer_event
# A tap device and vhost of its own.
$(O)/unit/test_virtio_net_queues: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,tap_open tap_add_queue tap_attach_queue \
	tap_set_offload vhost_net_open vhost_net_start vhost_net_stop)
$(O)/unit/test_parallel: LDFLAGS += -Wl,--wrap=pthread_create
# A VFIO of its own, whose devices are fake_vfio's.
$(O)/unit/test_late_card $(O)/unit/test_card_news: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,open close ioctl \
	sysfs_check vfio_kernel_new kvm_vfio_file)
# A clock of its own.
$(O)/unit/test_card_news: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,evloop_now_ns evloop_add_timer evloop_del_timer \
	ev_timer_set)
$(O)/unit/test_vhost_net: LDFLAGS += -Wl,--wrap=ioctl -Wl,--wrap=virtio_queue_call_fd

$(O)/make-disk: guest-tests/make-disk.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) -o $@ $<

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	$(if $(wildcard vmm/cli/main.c),install -m 755 $(O)/minivmm $(DESTDIR)$(PREFIX)/bin/minivmm)
	$(if $(wildcard vmm/cli/minivmm.1),install -D -m 644 vmm/cli/minivmm.1 $(DESTDIR)$(PREFIX)/share/man/man1/minivmm.1)

# The quick checks print one line for each test; tests/run counts them.
check: $(UNIT) check-headers check-rooms check-style check-page check-figures
	$(Q)tests/run-units $(UNIT)

# The unit tests alone.
unit: $(UNIT)
	$(Q)tests/run-units $(UNIT)

# Checks that every header compiles alone.
check-headers: $(HDR:%=$(O)/%.ok)
$(O)/%.h.ok: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Wno-unused-function -MF $@.d -fsyntax-only -x c $<
	$(Q)touch $@

# tests/rooms: which room may use which, and which kernel headers it may see.
check-rooms: $(OBJ)
	$(Q)tests/check-rooms $(O)
	$(Q)tests/check-rooms-refuses $(O)

check-style:
	$(Q)tests/check-style

check-page:
	$(Q)tests/check-page

# Checks that the figures in the READMEs are those of the records.
check-figures:
	$(Q)tests/bench/table --check tests/bench/README.md README.md

test:
	$(Q)tests/run

demo:
	$(Q)tests/demo

deps:
	$(Q)tests/deps

format:
	clang-format -i $(SRC) $(HDR) $(wildcard tests/*/*.c guest-tests/*.c)

tidy:
	$(Q)clang-tidy --quiet $(SRC) -- $(filter-out -Werror,$(BASE)) -DMINIVMM_VERSION='""' -DBENCH_GUEST='""'

clean:
	rm -rf $(filter-out $(BUILD)/host,$(wildcard $(BUILD)/*))

distclean:
	rm -rf $(BUILD)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
