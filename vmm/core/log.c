/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging: a line is formatted on the caller's stack and leaves in one write(2), so lines of
 * different threads never mix and a vCPU thread never waits for another's.
 */
#include "vmm/core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/error.h"

#define LOG_LINE_MAX	1024
#define LIMIT_LINES	8
#define LIMIT_WINDOW_NS 10000000000ull

/* The one setting every thread shares; written once while the command line is read. */
static enum log_level log_level = LOG_WARN;

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_level level)
{
	return level <= __atomic_load_n(&log_level, __ATOMIC_RELAXED);
}

static void log_line(enum log_level level, const char *fmt, va_list ap)
{
	static const char *const tag[] = { "", "warning: ", "", "debug: " };
	char line[LOG_LINE_MAX];
	int saved = errno, n, m;

	n = snprintf(line, sizeof(line), "minivmm: %s", tag[level]);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (m > 0)
		n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\0';
	error_visible(line);
	line[n] = '\n';
	while (write(STDERR_FILENO, line, (size_t)n + 1) < 0 && errno == EINTR)
		;
	errno = saved;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}

static uint64_t log_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The counters are advisory: two threads racing here may let one line more through, no harm. */
static bool limit_pass(struct log_limit *l, uint32_t *dropped)
{
	uint64_t now = log_now_ns(), start = __atomic_load_n(&l->window_ns, __ATOMIC_RELAXED);

	*dropped = 0;
	if (start == 0 || now - start > LIMIT_WINDOW_NS) {
		__atomic_store_n(&l->window_ns, now, __ATOMIC_RELAXED);
		__atomic_store_n(&l->count, 0, __ATOMIC_RELAXED);
		*dropped = __atomic_exchange_n(&l->dropped, 0, __ATOMIC_RELAXED);
	}
	if (__atomic_add_fetch(&l->count, 1, __ATOMIC_RELAXED) <= LIMIT_LINES)
		return true;
	__atomic_add_fetch(&l->dropped, 1, __ATOMIC_RELAXED);
	/* Never let the counter wrap back into the passing range. */
	__atomic_store_n(&l->count, LIMIT_LINES, __ATOMIC_RELAXED);
	return false;
}

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	uint32_t dropped;
	va_list ap;

	if (!log_enabled(LOG_WARN) || !limit_pass(limit, &dropped))
		return;
	if (dropped)
		log_warn("%u more messages like the next were dropped", dropped);
	va_start(ap, fmt);
	log_line(LOG_WARN, fmt, ap);
	va_end(ap);
}
