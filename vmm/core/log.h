/* SPDX-License-Identifier: BSD-2-Clause */
/* One line to stderr, prefixed "minivmm: ". Thread-safe: one write(2) a line. */
#ifndef VMM_CORE_LOG_H
#define VMM_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* default LOG_WARN; -v raises it */
bool log_enabled(enum log_level level);
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

/* The guest is about to start, or the start was told to end: from now on no line waits for whoever
 * reads stderr (log.c). */
void log_run(void);
/* It has ended: lines wait a little. */
void log_end(void);
/* A text of several lines that the user asked for, on the main loop: waits up to half a second. */
void log_text(const char *, size_t);

/* For anything the guest can provoke at will: at most 8 lines per call site and 10 s, then one line
 * that says how many were dropped. The state is the caller's (it lives in the device, not in a
 * global). */
struct log_limit {
	uint64_t window_ns;
	uint32_t count;
	uint32_t dropped;
};
void log_guest(struct log_limit *limit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for lines of other levels, or for several: whether they may be logged now. */
bool log_allow(enum log_level level, struct log_limit *limit);

#endif
