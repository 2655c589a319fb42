# The nested VFIO host. All its files are built in $(BUILD)/host, and built again when their inputs change.

HOST    = $(BUILD)/host
IN_TREE = tests/host/in-tree $(HOST)/tree

host: $(HOST)/l1-initrd $(HOST)/svmfix.so $(HOST)/make-disk $(HOST)/guest-initrd $(HOST)/debian.raw
	@:

$(HOST)/tree.ok: tests/host/make-tree tests/host/packages
	@echo "  HOST  Debian tree (about a minute)"
	$(Q)tests/host/make-tree $(HOST)
	$(Q)touch $@

$(HOST)/l1-initrd: tests/host/make-initrd tests/host/l1-initrd-init tests/host/in-tree $(HOST)/tree.ok
	@echo "  HOST  $@"
	$(Q)$(IN_TREE) tests/host/make-initrd $@

$(HOST)/svmfix.so: tests/host/svmfix.c $(HOST)/tree.ok
	@echo "  HOST  $@"
	$(Q)$(IN_TREE) gcc $(WARN) -std=gnu17 -O2 -shared -fPIC -o $@ $<

$(HOST)/make-disk: guest-tests/make-disk.c guest-tests/pattern.h
	@mkdir -p $(@D)
	@echo "  HOST  $@"
	$(Q)$(CC) $(BASE) -O2 -o $@ $<

guest_parts = $(wildcard guest-tests/*.[ch] guest-tests/steps/* guest-tests/build-helpers guest-tests/initramfs/*)

$(HOST)/guest-initrd: $(guest_parts) $(HOST)/tree.ok
	@echo "  HOST  $@"
	$(Q)$(IN_TREE) guest-tests/initramfs/build $@

$(HOST)/debian.raw: $(guest_parts) $(wildcard guest-tests/debian/*) $(HOST)/tree.ok
	@echo "  HOST  $@ (about a minute)"
	$(Q)guest-tests/debian/build $(HOST)/tree $(HOST)/apt-sources.list $@

# The minivmm that runs in the host is built inside the tree, with its libraries.
.PHONY: l1
l1: $(HOST)/tree.ok
	$(Q)$(IN_TREE) make -s BUILD=$(BUILD)/l1 CC=gcc all
	$(Q)$(IN_TREE) gcc -std=gnu17 -O2 -static -s -o $(BUILD)/l1/netcheck guest-tests/netcheck.c
	$(Q)for p in usbcases usbiso; do $(IN_TREE) gcc -std=gnu17 -O2 -static -s -o $(BUILD)/l1/$$p guest-tests/$$p.c || exit 1; done
	$(Q)$(IN_TREE) gcc -std=gnu17 -O2 -static -s -I. -o $(BUILD)/l1/vusb tests/host/vusb.c

# The programs of the counting scripts are built here, because a compiler takes minutes in a machine that counts
# instructions.
.PHONY: l1-count
l1-count: l1
	$(Q)mkdir -p $(BUILD)/l1/count
	$(Q)$(IN_TREE) sh guest-tests/micro/run --build $(BUILD)/l1/count count edu
	$(Q)$(IN_TREE) gcc $(WARN) -std=gnu17 -D_GNU_SOURCE -O2 -static -o $(BUILD)/l1/count/run_until tests/bench/run_until.c
	$(Q)$(IN_TREE) gcc $(WARN) -std=gnu17 -D_GNU_SOURCE -O2 -static-pie -o $(BUILD)/l1/count/start_bare tests/bench/start_bare.c
	$(Q)$(IN_TREE) gcc -m32 -no-pie -w $(GUEST_LINK) -o $(BUILD)/l1/count/start.elf tests/bench/start_guest.S
	$(Q)$(IN_TREE) gcc -m32 -no-pie -w -DREBOOT $(GUEST_LINK) -o $(BUILD)/l1/count/reboot.elf tests/bench/start_guest.S
	$(Q)[ -e $(BUILD)/l1/count/vmlinux ] || $(IN_TREE) sh -c 'tests/bench/vmlinux /boot/vmlinuz-* $(BUILD)/l1/count/vmlinux'
