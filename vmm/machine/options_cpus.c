/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors' part of the command line: topology, features, the list of CPUs. */
#include <errno.h>
#include <string.h>

#include "vmm/machine/options.h"
#include "vmm/placement/pin.h"

/* Fills in what was left out, in the order people mean it: cores, then sockets, then threads. */
static int finish_topology(struct config *c, struct error *err)
{
	uint64_t given, nodes = (uint64_t)__builtin_popcountll(c->ram.nodes);
	struct config_cpus *p = &c->cpus;

	p->n = p->n ? p->n : 1;
	p->threads = p->threads ? p->threads : 1;
	/* A node of the guest's is a socket, unless it is said otherwise. */
	if (!p->sockets && !p->cores && nodes > 1 && p->n % (nodes * p->threads) == 0)
		p->sockets = nodes;
	given = p->threads * (p->sockets ? p->sockets : 1) * (p->cores ? p->cores : 1);
	if (p->n % given == 0) {
		if (!p->cores)
			p->cores = p->n / given;
		else if (!p->sockets)
			p->sockets = p->n / given;
	}
	p->sockets = p->sockets ? p->sockets : 1;
	p->cores = p->cores ? p->cores : 1;
	if (p->sockets * p->cores * p->threads != p->n)
		return error_set(err, -EINVAL,
				 "--cpus %llu: sockets, cores and threads make %llu, not %llu",
				 (unsigned long long)p->n,
				 (unsigned long long)(p->sockets * p->cores * p->threads),
				 (unsigned long long)p->n);
	c->topo = (struct cpu_topology){ (unsigned)p->sockets, (unsigned)p->cores,
					 (unsigned)p->threads };
	if (cpu_apic_id(&c->topo, (unsigned)p->n - 1) > 254)
		return error_set(err, -EINVAL,
				 "--cpus %llu: with this topology APIC ids would exceed 254: use a "
				 "power of two for cores and threads",
				 (unsigned long long)p->n);
	return 0;
}

static void finish_model(struct config *c)
{
	const struct config_cpu *u = &c->cpu;

	c->model = (struct cpu_model){
		.hide_kvm = u->kvm == 1,
		.hv_time = u->hv_time,
		.hv_relaxed = u->hv_relaxed,
		.hv_vapic = u->hv_vapic,
		.hv_spinlocks_set = u->hv_spinlocks != 0,
		.hv_spinlocks = (uint32_t)u->hv_spinlocks,
		.max_phys_bits = (unsigned)u->phys_bits,
	};
	memcpy(c->model.feature, u->feature, sizeof(u->feature));
	if (u->hv_vendor_id)
		memcpy(c->model.hv_vendor_id, u->hv_vendor_id, strlen(u->hv_vendor_id) + 1);
}

static int finish_pin(struct config *c, struct error *err)
{
	const char *list = c->cpus.pin;
	unsigned n = (unsigned)c->cpus.n, i, j;
	int given;

	if (!list)
		return 0;
	c->pin_kind = PIN_AUTO;
	if (strcmp(list, "auto") == 0)
		return 0;
	c->pin_kind = PIN_LIST;
	given = pin_list_parse(list, c->pin, CONFIG_MAX_CPUS);
	if (given < 0)
		return error_set(err, given, "--cpus: pin=%s: use CPUs like 2-5,10, or auto", list);
	if ((unsigned)given != n)
		return error_set(err, -EINVAL,
				 "--cpus: pin=%s: the list has %d CPUs, but %u processors need %u",
				 list, given, n, n);
	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			if (c->pin[i] == c->pin[j])
				return error_set(err, -EINVAL,
						 "--cpus: pin=%s: CPU %u is listed twice", list,
						 c->pin[i]);
	return 0;
}

int config_cpu_feature(struct config_cpu *c, const char *word, struct error *err)
{
	int i = cpu_feature_find(word + 1);
	char near[160];

	if (i < 0) {
		cpu_feature_near(word + 1, near, sizeof(near));
		return error_set(err, -EINVAL,
				 "--cpu %.40s: no such feature%s%s: names are those of "
				 "/proc/cpuinfo",
				 word, near[0] ? "; there is " : "", near);
	}
	c->feature[i] = *word == '+' ? 1 : -1;
	return 0;
}

int config_cpus_finish(struct config *c, struct error *err)
{
	int ret = finish_topology(c, err);

	finish_model(c);
	return ret < 0 ? ret : finish_pin(c, err);
}
