/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtccheck [DEVICE]: tests the interrupts of the real-time clock through the driver of Linux.
 *
 * It tests the update-ended interrupt (which hwclock uses), the alarm (rtcwake) and the periodic
 * interrupt, one after the other. Single-threaded. Prints one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 8000

static int rtc;

static void fail(const char *what)
{
	printf("%s\n", what);
	exit(1);
}

static void rtc_call(unsigned long request, unsigned long arg, const char *what)
{
	if (ioctl(rtc, request, arg) < 0) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static bool irq_came(void)
{
	struct pollfd p = { rtc, POLLIN, 0 };
	unsigned long data;

	return poll(&p, 1, WAIT_MS) == 1 && read(rtc, &data, sizeof(data)) == sizeof(data);
}

static void check_alarm(void)
{
	struct rtc_time now;
	struct tm tm = { 0 };
	time_t at;

	rtc_call(RTC_RD_TIME, (unsigned long)&now, "RTC_RD_TIME");
	tm = (struct tm){ .tm_sec = now.tm_sec,
			  .tm_min = now.tm_min,
			  .tm_hour = now.tm_hour,
			  .tm_mday = now.tm_mday,
			  .tm_mon = now.tm_mon,
			  .tm_year = now.tm_year };
	at = timegm(&tm) + 2;
	gmtime_r(&at, &tm);
	now.tm_sec = tm.tm_sec;
	now.tm_min = tm.tm_min;
	now.tm_hour = tm.tm_hour;
	rtc_call(RTC_ALM_SET, (unsigned long)&now, "RTC_ALM_SET");
	rtc_call(RTC_AIE_ON, 0, "RTC_AIE_ON");
	if (!irq_came())
		fail("no alarm");
	rtc_call(RTC_AIE_OFF, 0, "RTC_AIE_OFF");
}

int main(int argc, char **argv)
{
	rtc = open(argc > 1 ? argv[1] : "/dev/rtc0", O_RDONLY);
	if (rtc < 0)
		fail("no clock");
	rtc_call(RTC_UIE_ON, 0, "RTC_UIE_ON");
	if (!irq_came())
		fail("no update interrupt");
	rtc_call(RTC_UIE_OFF, 0, "RTC_UIE_OFF");
	check_alarm();
	rtc_call(RTC_IRQP_SET, 64, "RTC_IRQP_SET");
	rtc_call(RTC_PIE_ON, 0, "RTC_PIE_ON");
	for (int i = 0; i < 8; i++)
		if (!irq_came())
			fail("no periodic interrupt");
	rtc_call(RTC_PIE_OFF, 0, "RTC_PIE_OFF");
	printf("update, alarm and periodic interrupts came\n");
	return 0;
}
