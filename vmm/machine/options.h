/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line as data. Nothing here opens or checks a file: that is realize's business. */
#ifndef VMM_MACHINE_OPTIONS_H
#define VMM_MACHINE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/kvm/cpuid.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/keys.h"

#define CONFIG_MAX_CPUS 255u

struct vm;

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };
enum config_pin { PIN_NONE, PIN_LIST, PIN_AUTO };

enum config_choice { CONFIG_AUTO, CONFIG_ON, CONFIG_OFF };

/* --memory beside the size. */
struct config_ram {
	const char *size, *hugepages, *node_list; /* as given */
	unsigned pages;				  /* enum ram_pages */
	const char *path;			  /* of a hugetlbfs */
	uint64_t nodes;				  /* mask; 0: none asked for */
	bool nodes_auto, lock;
	unsigned prefault; /* enum config_choice */
};

struct config_cpus {
	uint64_t n, sockets, cores, threads; /* 0: not given, until config_parse() returns */
	const char *pin;
};

struct config_cpu {
	signed char feature[CPU_FEATURES_MAX]; /* as in struct cpu_model */
	unsigned kvm;			       /* 0 on, 1 off */
	bool hv_time, hv_relaxed, hv_vapic;
	uint64_t hv_spinlocks, phys_bits;
	const char *hv_vendor_id;
};

/* --hotplug */
struct config_hotplug {
	uint64_t n; /* slots */
	const char *size;
	uint64_t window; /* bytes of a slot for 64-bit BARs; 0: chosen when the host is looked at */
};

struct config {
	enum config_action action;
	const char *name, *pidfile, *firmware, *nvram, *kernel, *initrd, *append, *dump_dtb,
		*stats_file;
	uint64_t memory; /* bytes */
	struct config_ram ram;
	struct config_cpus cpus;
	struct config_cpu cpu;
	struct config_hotplug hotplug;
	struct device_list devices;
	bool daemonize, no_reboot, bind, stats;
	/* --bind: binds one more device, or gives it back, as in struct vfio_news. NULL: nobody
	 * does. */
	int (*bind_device)(void *opaque, const char *bdf, bool bind, struct error *);
	void *bind_opaque;
	unsigned verbose;
	uint64_t rt;		/* SCHED_FIFO priority of the vCPUs' threads; 0: none */
	unsigned idle;		/* 0 halt, 1 poll */
	unsigned rtc_localtime; /* 0: UTC */
	unsigned msr_gp;	/* 0: registers KVM does not know read 0, 1: #GP */
	bool core_dump;		/* with guest memory */
	/* A caller's own device on the machine's buses, made before the others; NULL: none. */
	int (*extra)(struct vm *, void *arg, struct error *);
	void *extra_arg;
	/* derived */
	enum config_pin pin_kind;
	unsigned pin[CONFIG_MAX_CPUS]; /* PIN_LIST: the host's CPU for each of ours */
	struct cpu_topology topo;
	struct cpu_model model;
	struct key_pool pool; /* of the strings above */
};

/* Returns 0, or -EINVAL with a message that names the option: exit status 2. argv[0] is skipped.
 * config_free() in either case. */
int config_parse(struct config *, int argc, char **argv, struct error *);
void config_free(struct config *);
/* options_cpus.c: the processors' part of config_parse(): fills in the topology, checks the CPU
 * list. */
int config_cpus_finish(struct config *, struct error *);
/* --cpu +name and -name. */
int config_cpu_feature(struct config_cpu *, const char *word, struct error *);
/* At most 24 lines of 80 columns. */
void config_help(FILE *);

#endif
