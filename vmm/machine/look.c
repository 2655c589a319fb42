/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before there is a machine: everything that the user named.
 *
 * What is read (disks, kernel, initrd, firmware, variable store) is opened here, once, and stays
 * open: the machine gets what was looked at. What is written to is looked at only, after all that
 * is read, and every file once: it is opened last, and emptied when nothing else can fail.
 *
 * First comes what the host's own files tell (devices, memory, processors), then the user's files.
 *
 * Threads: main. The helper asks KVM what it supports meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/outfile.h"
#include "vmm/core/outputs.h"
#include "vmm/machine/classes.h"
#include "vmm/machine/pidfile.h"
#include "vmm/machine/vm.h"

static int look_devices(struct vm *vm, bool writes, struct error *err)
{
	struct device_env env = {
		.devices = &vm->cfg->devices,
		.name = vm->cfg->name,
		.cpus = (unsigned)vm->cfg->cpus.n,
		.outputs = vm->outputs,
	};
	const struct device_class *const *c;
	int ret = 0;

	for (c = device_classes; *c && ret == 0; c++)
		if (((*c)->stage != DEVICE_FIRST) == writes)
			ret = devices_open(&vm->cfg->devices, *c, &env, err);
	return ret;
}

static int look_outputs(const struct vm *vm, struct error *err)
{
	const struct {
		const char *option, *path;
		int (*check)(const char *path, struct error *);
	} files[] = {
		{ "--stats", vm->cfg->stats_file, outfile_check },
		{ "--dump-dtb", vm->cfg->dump_dtb, outfile_check },
		{ "--pidfile", vm->cfg->pidfile, pidfile_check },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		if (files[i].path && (files[i].check(files[i].path, err) < 0 ||
				      outputs_claim(vm->outputs, files[i].path, err) < 0))
			return error_prefix(err, "%s", files[i].option);
	return 0;
}

/* What a shell was told to append to (>>disk.img) is written to as well. */
static int look_standard_file(int fd, const char *name, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) ||
	    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || !outfile_is_locked(fd))
		return 0;
	return error_set(err, -EBUSY,
			 "standard %s goes into a file that is in use, by this machine or another: "
			 "redirect it elsewhere",
			 name);
}

/* That standard error is such a file cannot be said there. */
static int look_standard_files(struct error *err)
{
	int out = look_standard_file(STDOUT_FILENO, "output", err);
	scoped_fd null = -1;

	if (look_standard_file(STDERR_FILENO, "error", err) == 0)
		return out;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(out < 0 ? null : STDOUT_FILENO, STDERR_FILENO);
	return err->code;
}

static bool wants_shared_ram(const struct vm *vm)
{
	const struct device_class *const *c;

	for (c = device_classes; *c; c++)
		if ((*c)->shared_ram && device_count(&vm->cfg->devices, *c))
			return true;
	return false;
}

static int look_memory(struct vm *vm, struct error *err)
{
	const struct memory_want want = {
		.size = vm->cfg->memory,
		.ram = &vm->cfg->ram,
		.core_dump = vm->cfg->core_dump,
		.passthrough = machine_vfio_any(vm->vfio),
		.shared = wants_shared_ram(vm),
		.device_node = machine_vfio_node(vm->vfio),
	};

	/* Only the IOMMU minds where RAM lies; a device may come later. */
	memmap_ram(&vm->map, want.size, vm->vfio && memmap_host_is_amd());
	return machine_memory_look(&vm->memory, "", &want, err);
}

static int look_vfio(struct vm *vm, struct error *err)
{
	int ret = machine_vfio_look(&vm->vfio, &vm->cfg->devices, err);

	if (ret < 0 || vm->vfio || !vm->cfg->hotplug.n)
		return ret;
	vm->vfio = machine_vfio_new();
	return vm->vfio ? 0 : error_set(err, -ENOMEM, "--hotplug: out of memory");
}

int machine_look(struct vm *vm, struct error *err)
{
	int ret = look_vfio(vm, err);
	struct config_hotplug *slots = &vm->cfg->hotplug;

	if (slots->n && !slots->window)
		slots->window = hotplug_window("");

	if (ret == 0)
		ret = look_memory(vm, err);
	if (ret == 0)
		ret = machine_cpus_look(&vm->cpus, "", machine_vfio_node(vm->vfio), err);
	if (ret == 0)
		ret = look_devices(vm, false, err);
	if (look_standard_files(err) < 0)
		return err->code;
	if (ret == 0)
		ret = machine_boot_look(&vm->boot, err);
	if (look_standard_files(err) < 0)
		return err->code;
	if (ret == 0)
		ret = look_devices(vm, true, err);
	return ret < 0 ? ret : look_outputs(vm, err);
}
