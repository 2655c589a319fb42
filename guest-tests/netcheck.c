/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netcheck: the queues of a network interface, and traffic between a guest and its host that is
 * timed by the processor's clock.
 *
 *   netcheck queues IFNAME [N]       sets the number of pairs; prints "N of MAX"
 *   netcheck sent IFNAME             prints, for each pair, packets or kicks
 *   netcheck serve PORT              answers `measure`, one connection after the other
 *   netcheck measure HOST PORT to|from MIB      prints ticks of the TSC per MiB of TCP
 *   netcheck measure HOST PORT echo N BYTES     prints ticks per UDP datagram that comes back
 *
 * Single-threaded.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <x86intrin.h>

#define CHUNK (256 << 10)
#define MIB   (1 << 20)

#define MAX_QUEUES 16

static char chunk[CHUNK];

static void die(const char *what)
{
	fprintf(stderr, "netcheck: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void ethtool(const char *ifname, void *data)
{
	struct ifreq r = { .ifr_data = data };
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	if (s < 0 || ioctl(s, SIOCETHTOOL, &r))
		die(ifname);
	close(s);
}

static void queues(const char *ifname, const char *n)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };

	ethtool(ifname, &c);
	if (n) {
		c.cmd = ETHTOOL_SCHANNELS;
		c.combined_count = (unsigned)atoi(n);
		ethtool(ifname, &c);
		c.cmd = ETHTOOL_GCHANNELS;
		ethtool(ifname, &c);
	}
	printf("%u of %u\n", c.combined_count, c.max_combined);
}

/* The queue of a counter of packets sent, or of kicks for them, which newer drivers have instead.
 * -1: of something else. */
static int queue_sent(const char *name)
{
	static const char *const forms[] = { "tx%u_packets%n", "tx_queue_%u_packets%n",
					     "tx%u_kicks%n", "tx_queue_%u_kicks%n" };
	unsigned q, i;
	int end;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		end = 0;
		if (sscanf(name, forms[i], &q, &end) == 1 && end && !name[end])
			return (int)q;
	}
	return -1;
}

static void sent(const char *ifname)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t n;
	} set = { { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_STATS }, 0 };
	unsigned long long count[MAX_QUEUES] = { 0 };
	struct ethtool_gstrings *names;
	struct ethtool_stats *values;
	unsigned i, n = 0;

	ethtool(ifname, &set);
	names = calloc(1, sizeof(*names) + (size_t)set.n * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) + (size_t)set.n * sizeof(uint64_t));
	*names = (struct ethtool_gstrings){ ETHTOOL_GSTRINGS, ETH_SS_STATS, set.n };
	*values = (struct ethtool_stats){ ETHTOOL_GSTATS, set.n };
	ethtool(ifname, names);
	ethtool(ifname, values);
	for (i = 0; i < set.n; i++) {
		int q = queue_sent((char *)names->data + i * ETH_GSTRING_LEN);

		if (q < 0 || q >= MAX_QUEUES)
			continue;
		count[q] += values->data[i];
		n = (unsigned)q >= n ? (unsigned)q + 1 : n;
	}
	for (i = 0; i < n; i++)
		printf("%s%llu", i ? " " : "", count[i]);
	printf("\n");
}

static void send_all(int s, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = send(s, chunk, bytes < CHUNK ? bytes : CHUNK, MSG_NOSIGNAL);

		if (n <= 0)
			die("send");
		bytes -= (uint64_t)n;
	}
}

static void receive_all(int s, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = recv(s, chunk, bytes < CHUNK ? bytes : CHUNK, 0);

		if (n <= 0)
			die("receive");
		bytes -= (uint64_t)n;
	}
}

static int udp_on(struct sockaddr_in *a)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (s < 0 || bind(s, (struct sockaddr *)a, sizeof(*a)))
		die("UDP");
	return s;
}

/* Sends datagrams back until the connection that asked for it ends. */
static void echo(int conn, int udp)
{
	struct timeval t = { .tv_usec = 200000 };
	struct sockaddr_in from;
	socklen_t len;
	ssize_t n;

	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	for (;;) {
		len = sizeof(from);
		n = recvfrom(udp, chunk, CHUNK, 0, (struct sockaddr *)&from, &len);
		if (n >= 0)
			sendto(udp, chunk, (size_t)n, 0, (struct sockaddr *)&from, len);
		else if (recv(conn, chunk, 1, MSG_DONTWAIT) == 0)
			return;
	}
}

/* The request of a connection: a direction and a number of bytes. */
struct request {
	uint64_t what, bytes;
};

static void serve(uint16_t port)
{
	struct sockaddr_in a = { AF_INET, htons(port), { INADDR_ANY }, { 0 } };
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1, udp = udp_on(&a);
	struct request r;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 8))
		die("listen");
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c < 0)
			die("accept");
		receive_all(c, sizeof(r));
		memcpy(&r, chunk, sizeof(r));
		if (r.what == 't')
			receive_all(c, r.bytes);
		else if (r.what == 'f')
			send_all(c, r.bytes);
		if (r.what == 'e')
			echo(c, udp);
		else
			send_all(c, 1);
		close(c);
	}
}

static uint64_t echoes(const struct sockaddr_in *a, unsigned n, size_t len)
{
	struct timeval t = { .tv_sec = 60 };
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t begin = 0;
	unsigned i;

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (connect(s, (const struct sockaddr *)a, sizeof(*a)))
		die("connect");
	for (i = 0; i < n + 16; i++) {
		if (i == 16) /* 16 rounds to warm the caches are not counted */
			begin = __rdtsc();
		if (send(s, chunk, len, 0) < 0 || recv(s, chunk, CHUNK, 0) < 0)
			die("echo");
	}
	return (__rdtsc() - begin) / n;
}

static uint64_t measure(char **arg)
{
	struct sockaddr_in a = { AF_INET, htons((uint16_t)atoi(arg[1])), { 0 }, { 0 } };
	struct request r = { (uint64_t)arg[2][0], (uint64_t)atoi(arg[3]) * MIB };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t begin;

	if (!inet_aton(arg[0], &a.sin_addr) || connect(s, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	if (send(s, &r, sizeof(r), 0) != sizeof(r))
		die("send");
	if (r.what == 'e')
		return echoes(&a, (unsigned)atoi(arg[3]), (size_t)atoi(arg[4]));
	begin = __rdtsc();
	if (r.what == 't')
		send_all(s, r.bytes);
	else
		receive_all(s, r.bytes);
	receive_all(s, 1);
	return (__rdtsc() - begin) / (r.bytes / MIB);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "queues") && argc > 2)
		queues(argv[2], argv[3]);
	else if (!strcmp(what, "sent") && argc == 3)
		sent(argv[2]);
	else if (!strcmp(what, "serve") && argc == 3)
		serve((uint16_t)atoi(argv[2]));
	else if (!strcmp(what, "measure") && argc >= 6)
		printf("%llu\n", (unsigned long long)measure(argv + 2));
	else
		return 2;
	return 0;
}
