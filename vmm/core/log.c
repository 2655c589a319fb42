/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging: a line is formatted on the caller's stack and leaves in one write(2), so lines of
 * different threads never mix and a vCPU thread never waits for another's.
 *
 * Until log_run() a line waits for whoever reads stderr: an error at the start must arrive. Only a
 * signal that asks for the end stops the waiting (nbio_write_patiently()). From then on a line may
 * come from a thread that holds a device's lock or from the main loop, so what stderr does not take
 * at once is dropped, and counted in front of the next line that it takes. From log_end() on, all
 * lines together wait up to LAST_MS.
 */
#include "vmm/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/error.h"
#include "vmm/core/nbio.h"

#define LOG_LINE_MAX	1024
#define LAST_MS		1000u
#define TEXT_MS		500u /* for a text that the user asked for */
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

/* How lines go to stderr, which every thread shares, too; changed while no guest runs. */
static struct {
	bool runs;
	struct nbio out;  /* once `runs` */
	uint64_t last_ns; /* when waiting ends; 0: there is none */
	uint32_t dropped; /* atomic: lines */
	bool torn;	  /* atomic: the last line broke off */
} log_out;

static uint64_t log_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void log_run(void)
{
	if (log_out.runs)
		nbio_close(&log_out.out);
	log_out.out = nbio_shared(STDERR_FILENO, O_WRONLY);
	log_out.last_ns = 0;
	log_out.runs = true;
}

void log_end(void)
{
	if (log_out.runs)
		log_out.last_ns = log_now_ns() + LAST_MS * 1000000ull;
}

static unsigned log_patience_ms(void)
{
	uint64_t now = log_out.last_ns ? log_now_ns() : 0;

	return now < log_out.last_ns ? (unsigned)((log_out.last_ns - now) / 1000000u) : 0;
}

/* Less than all of it when nobody read it and the end was asked for. What cannot be written at all
 * (stderr is closed, the disk is full) is lost without a word. */
static size_t log_write_first(const char *text, size_t len)
{
	struct nbio out = nbio_shared(STDERR_FILENO, O_WRONLY);
	size_t done = nbio_write_patiently(&out, text, len);

	if (done < len && errno != EINTR)
		done = len;
	nbio_close(&out);
	return done;
}

/* All of it, or false. */
static bool log_write(const char *text, size_t len, unsigned ms)
{
	size_t done;

	done = log_out.runs ? nbio_write_all(&log_out.out, text, len, ms)
			    : log_write_first(text, len);
	if (done > 0 && done < len)
		__atomic_store_n(&log_out.torn, true, __ATOMIC_RELAXED);
	return done == len;
}

static void log_drop(uint32_t n)
{
	__atomic_add_fetch(&log_out.dropped, n, __ATOMIC_RELAXED);
}

/* Says what is missing, if something is and can be said. */
static bool log_dropped(unsigned ms)
{
	uint32_t n = __atomic_exchange_n(&log_out.dropped, 0, __ATOMIC_RELAXED);
	bool torn = __atomic_exchange_n(&log_out.torn, false, __ATOMIC_RELAXED);
	char text[96];
	int len;

	if (!n)
		return true;
	len = snprintf(text, sizeof(text),
		       "%sminivmm: %u messages were dropped, nobody read them\n", torn ? "\n" : "",
		       n);
	if (log_write(text, (size_t)len, ms))
		return true;
	log_drop(n);
	return false;
}

static void log_put(const char *text, size_t len, unsigned ms)
{
	if (!log_dropped(ms) || !log_write(text, len, ms))
		log_drop(1);
}

void log_text(const char *text, size_t len)
{
	log_put(text, len, TEXT_MS);
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
	log_put(line, (size_t)n + 1, log_patience_ms());
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

bool log_allow(enum log_level level, struct log_limit *limit)
{
	uint32_t dropped;

	if (!log_enabled(level) || !limit_pass(limit, &dropped))
		return false;
	if (dropped)
		log_msg(level, "%u more messages like the next one were dropped", dropped);
	return true;
}

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	va_list ap;

	if (!log_allow(LOG_WARN, limit))
		return;
	va_start(ap, fmt);
	log_line(LOG_WARN, fmt, ap);
	va_end(ap);
}
