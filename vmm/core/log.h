/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes lines to stderr, with "minivmm: " in front. Thread-safe: each line is one write(2). */
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

/* Called when the guest starts, or when the start is cancelled. From now on no line waits for the
 * reader of stderr (log.c). */
void log_run(void);
/* Called when the guest has ended: lines may wait for a short time again. */
void log_end(void);
/* Writes a text of several lines that the user asked for. Main loop; waits up to half a second. */
void log_text(const char *, size_t);

/* For messages that a guest can cause at will: at most 8 lines in 10 s for each struct log_limit,
 * then one line that says how many were dropped. The caller owns the struct; it lives in the
 * device. */
struct log_limit {
	uint64_t window_ns;
	uint32_t count;
	uint32_t dropped;
};
void log_guest(struct log_limit *limit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for other levels, or for several lines: true if they may be logged now. */
bool log_allow(enum log_level level, struct log_limit *limit);

#endif
