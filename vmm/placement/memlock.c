/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/placement/memlock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/core/hostfs.h"

static int caps_line(void *caps, const char *line)
{
	return sscanf(line, "CapEff: %llx", (unsigned long long *)caps) == 1;
}

/* A process with CAP_IPC_LOCK is exempt from RLIMIT_MEMLOCK. In a user namespace the kernel ignores
 * the capability. Then locking fails later, and memlock_explain() gives the same message. */
static bool may_lock_all(void)
{
	unsigned long long caps = 0;

	hostfs_each_line("", caps_line, &caps, "/proc/self/status");
	return caps >> 14 & 1;
}

enum memlock_plan memlock_plan(uint64_t need, const struct rlimit *now)
{
	if (now->rlim_cur == RLIM_INFINITY || need <= now->rlim_cur)
		return MEMLOCK_ENOUGH;
	if (now->rlim_max == RLIM_INFINITY || need <= now->rlim_max)
		return MEMLOCK_RAISE_SOFT;
	return MEMLOCK_RAISE_BOTH;
}

int memlock_error(uint64_t need, const struct rlimit *now, struct error *err)
{
	unsigned long long kib = (need + 1023) / 1024;

	return error_set(err, -ENOMEM,
			 "the guest's memory (%llu MiB) must be locked, but this process may lock "
			 "only %llu KiB (RLIMIT_MEMLOCK, hard limit %llu): as root, raise it for "
			 "the shell that starts minivmm: prlimit --pid $$ --memlock=%llu, or add "
			 "the line '* hard memlock %llu' to /etc/security/limits.conf",
			 (unsigned long long)(need >> 20),
			 (unsigned long long)(now->rlim_cur / 1024),
			 (unsigned long long)(now->rlim_max / 1024), kib * 1024, kib);
}

int memlock_raise(uint64_t need, struct error *err)
{
	struct rlimit now, want;
	enum memlock_plan plan;

	if (getrlimit(RLIMIT_MEMLOCK, &now) < 0)
		return 0;
	plan = memlock_plan(need, &now);
	if (plan == MEMLOCK_ENOUGH)
		return 0;
	want = (struct rlimit){ need, plan == MEMLOCK_RAISE_BOTH ? need : now.rlim_max };
	if (setrlimit(RLIMIT_MEMLOCK, &want) == 0 || may_lock_all())
		return 0;
	return memlock_error(need, &now, err);
}

int memlock_explain(uint64_t need, struct error *err)
{
	struct rlimit now = { 0, 0 };

	getrlimit(RLIMIT_MEMLOCK, &now);
	return may_lock_all() ? 0 : memlock_error(need, &now, err);
}
