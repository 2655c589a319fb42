/* SPDX-License-Identifier: BSD-2-Clause */
/* The decisions of vfio/reset.c for a set of devices, and the order of its actions. The devices are
 * fakes that record what happens to them: q quiesced, R function reset, H bus reset, a after the
 * reset. Devices that have nothing to do with each other are reset at the same time, so the order
 * is asked of those that have, and of what comes before and after all resets. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vfio/iommu/iommu_backend.h"
#include "vfio/iommu/kernel.h"
#include "vfio/reset.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

struct fake {
	struct vfio_kernel k;
	char letter;
	bool function_reset;
	const struct vfio_pci_dependent_device *hit;
	unsigned n_hit;
	int hit_error, reset_error, hot_error;
};

static pthread_mutex_t story_lock = PTHREAD_MUTEX_INITIALIZER;
static char story[200];
static struct error err;
static struct fake gpu, audio, nic;

static void note(const struct fake *f, char what)
{
	size_t n;

	scoped_lock(&story_lock);
	n = strlen(story);
	if (n + 4 < sizeof(story))
		snprintf(story + n, sizeof(story) - n, "%s%c%c", n ? " " : "", f->letter, what);
}

static struct fake *fake_of(struct vfio_kernel *k)
{
	return container_of(k, struct fake, k);
}

/* What the story says of these devices. */
static void happened(const char *letters, const char *want)
{
	char of[sizeof(story)] = "";
	size_t n = 0;

	for (const char *p = story; *p; p += p[2] ? 3 : 2)
		if (strchr(letters, p[0]))
			n += (size_t)snprintf(of + n, sizeof(of) - n, "%s%.2s", n ? " " : "", p);
	assert_string_equal(of, want);
}

/* All devices are quiet before the first reset, and nothing follows before the last one. */
static void quiet_meanwhile(void)
{
	const char *p = story, *const kinds[] = { "q", "RH", "a" };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		while (*p && strchr(kinds[i], p[1]))
			p += p[2] ? 3 : 2;
	assert_string_equal(p, "");
}

/* Resets that the test wants at the same time wait for each other. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned all, inside, most, expected;
	bool missed;
} resets = { .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER };

static void resets_meet(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 60;
	pthread_mutex_lock(&resets.lock);
	resets.all++;
	if (++resets.inside > resets.most)
		resets.most = resets.inside;
	pthread_cond_broadcast(&resets.came);
	while (resets.all < resets.expected && !resets.missed)
		resets.missed = pthread_cond_timedwait(&resets.came, &resets.lock, &end) != 0;
	pthread_mutex_unlock(&resets.lock);
	usleep(1000);
	pthread_mutex_lock(&resets.lock);
	resets.inside--;
	pthread_mutex_unlock(&resets.lock);
}

static int reset(struct vfio_kernel *k)
{
	note(fake_of(k), 'R');
	resets_meet();
	return fake_of(k)->reset_error;
}

static int hot_reset_info(struct vfio_kernel *k, struct vfio_pci_dependent_device *list,
			  unsigned *n)
{
	struct fake *f = fake_of(k);
	unsigned room = *n;

	if (f->hit_error)
		return f->hit_error;
	*n = f->n_hit;
	if (room < f->n_hit)
		return -ENOSPC;
	memcpy(list, f->hit, f->n_hit * sizeof(*list));
	return 0;
}

static int hot_reset(struct vfio_kernel *k, const int *fds, unsigned n)
{
	/* Only those of our groups that the reset touches; the kernel refuses others. */
	assert_int_equal(n, 2);
	assert_int_equal(fds[0], 42);
	assert_int_equal(fds[1], 43);
	note(fake_of(k), 'H');
	resets_meet();
	return fake_of(k)->hot_error;
}

static const struct vfio_kernel_ops ops = {
	.reset = reset,
	.hot_reset_info = hot_reset_info,
	.hot_reset = hot_reset,
};

static void quiesce(void *arg)
{
	note(arg, 'q');
}

static void after(void *arg)
{
	note(arg, 'a');
}

static unsigned owned; /* bit n: group n is ours */

static int hot_reset_fds(void *backend, const struct vfio_pci_dependent_device *hit, unsigned n,
			 int *fds, unsigned *foreign)
{
	struct iommu_group group[32];
	unsigned n_groups = 0;

	(void)backend;
	for (unsigned i = 0; i < 32; i++)
		if (owned >> i & 1)
			group[n_groups++] = (struct iommu_group){ i, 30 + (int)i };
	return iommu_group_fds(group, n_groups, hit, n, fds, foreign);
}

static void backend_free(void *backend)
{
	(void)backend;
}

static const struct iommu_ops backend_ops = { .hot_reset_fds = hot_reset_fds,
					      .free = backend_free };

/* A graphics card with its audio behind one port, and a NIC elsewhere. */
static const struct vfio_pci_dependent_device card[] = {
	{ .group_id = 12, .bus = 1, .devfn = 0 },
	{ .group_id = 13, .bus = 1, .devfn = 1 },
};

static struct fake fake(char letter, const char *name)
{
	struct fake f = { .letter = letter, .k.ops = &ops, .hit_error = -ENODEV };

	snprintf(f.k.name, sizeof(f.k.name), "%s", name);
	return f;
}

static int setup(void **state)
{
	(void)state;
	story[0] = '\0';
	resets.all = resets.most = resets.expected = 0;
	resets.missed = false;
	err = (struct error){ 0 };
	owned = 1 << 12 | 1 << 13 | 1 << 14;
	gpu = fake('g', "0000:01:00.0");
	audio = fake('s', "0000:01:00.1");
	nic = fake('n', "0000:02:00.0");
	gpu.hit = audio.hit = card;
	gpu.n_hit = audio.n_hit = ARRAY_SIZE(card);
	gpu.hit_error = audio.hit_error = 0;
	nic.function_reset = true;
	return 0;
}

static struct vfio_reset_device dev(struct fake *f, const char *methods)
{
	return (struct vfio_reset_device){ .function_reset = f->function_reset,
					   .kernel = &f->k,
					   .methods = methods,
					   .quiesce = quiesce,
					   .after = after,
					   .opaque = f };
}

static struct vfio_reset *make(const struct vfio_reset_device *d, size_t n)
{
	struct iommu *iommu = iommu_new_with(&backend_ops, NULL);
	struct vfio_reset *r = vfio_reset_new(d, n, iommu, &err);

	assert_non_null(r);
	iommu_free(iommu);
	assert_string_equal(story, "");
	return r;
}

static void test_choices(void **state)
{
	struct vfio_reset_device d[] = { dev(&gpu, ""), dev(&audio, "pm bus"), dev(&nic, "flr") };
	struct vfio_reset *r;

	(void)state;
	d[1].function_reset = true;
	r = make(d, 3);
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_BUS);
	assert_int_equal(vfio_reset_how(r, 1), VFIO_RESET_BUS);
	assert_int_equal(vfio_reset_how(r, 2), VFIO_RESET_FUNCTION);
	vfio_reset_free(r);
	/* The audio function is in a group that is not ours, so there is no bus reset for either.
	 */
	owned = 1 << 12 | 1 << 14;
	r = make(d, 3);
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_NONE);
	assert_int_equal(vfio_reset_how(r, 1), VFIO_RESET_PM);
	vfio_reset_free(r);
}

static void test_methods(void **state)
{
	static const struct {
		const char *methods;
		bool flr;
		enum vfio_reset_how how;
	} t[] = {
		{ "flr pm", false, VFIO_RESET_FUNCTION },
		{ "af_flr", false, VFIO_RESET_FUNCTION },
		{ "device_specific flr", false, VFIO_RESET_FUNCTION },
		{ "bus", false, VFIO_RESET_FUNCTION },
		{ "pm", true, VFIO_RESET_PM },
		{ "pm bus", false, VFIO_RESET_PM },
		{ NULL, true, VFIO_RESET_FUNCTION },
		{ NULL, false, VFIO_RESET_PM },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct vfio_reset_device d = dev(&nic, t[i].methods);
		struct vfio_reset *r;

		d.flr = t[i].flr;
		r = make(&d, 1);
		assert_int_equal(vfio_reset_how(r, 0), t[i].how);
		vfio_reset_free(r);
	}
}

/* One bus reset for both functions, and the NIC's own reset. All devices are quiet before the first
 * reset. */
static void test_once(void **state)
{
	struct vfio_reset_device d[] = { dev(&nic, "flr"), dev(&gpu, ""), dev(&audio, "pm") };
	struct vfio_reset *r;

	(void)state;
	d[2].function_reset = true;
	r = make(d, 3);
	assert_int_equal(vfio_reset_all(r, false), 0);
	happened("gs", "gq sq gH ga sa");
	happened("n", "nq nR na");
	quiet_meanwhile();
	/* If the kernel resets functions itself, only the bus reset is left. */
	story[0] = '\0';
	assert_int_equal(vfio_reset_all(r, true), 0);
	assert_string_equal(story, "nq gq sq gH na ga sa");
	vfio_reset_free(r);
}

static void test_covered_function(void **state)
{
	struct vfio_reset_device d[] = { dev(&gpu, "flr"), dev(&audio, "") };
	struct vfio_reset *r;

	(void)state;
	d[0].function_reset = true;
	r = make(d, 2);
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_FUNCTION);
	vfio_reset_all(r, false);
	assert_string_equal(story, "gq sq sH ga sa");
	vfio_reset_free(r);
}

/* The audio function stays in the guest, so the graphics function does without the bus reset. */
static void test_spared(void **state)
{
	struct vfio_reset_device d[] = { dev(&gpu, ""), dev(&nic, "flr") };
	struct vfio_reset *r = make(d, 2);
	char text[400];

	(void)state;
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_BUS);
	vfio_reset_spare(r, "0000:02:00.1");
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_BUS);
	vfio_reset_spare(r, "0000:01:00.1");
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_NONE);
	assert_int_equal(vfio_reset_how(r, 1), VFIO_RESET_FUNCTION);
	assert_false(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "would hit 0000:01:00.1, which the guest uses"));
	assert_int_equal(vfio_reset_all(r, true), 0);
	assert_string_equal(story, "gq nq ga na");
	vfio_reset_free(r);
	story[0] = '\0';
	d[0].function_reset = true;
	d[0].methods = "pm";
	r = make(d, 1);
	vfio_reset_spare(r, "0000:01:00.1");
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_PM);
	vfio_reset_free(r);
}

static void test_failures(void **state)
{
	struct vfio_reset_device d[] = { dev(&audio, "pm"), dev(&nic, "flr") };
	struct vfio_reset *r;

	(void)state;
	/* If the bus reset fails, power management remains. */
	d[0].function_reset = true;
	audio.hot_error = -EINVAL;
	nic.reset_error = -ENOTTY;
	r = make(d, 2);
	assert_int_equal(vfio_reset_all(r, false), 1);
	happened("s", "sq sH sR sa");
	happened("n", "nq nR na");
	quiet_meanwhile();
	vfio_reset_free(r);
}

/* Three cards: the time of one reset. */
static void test_at_once(void **state)
{
	struct fake two = fake('t', "0000:03:00.0");
	struct vfio_reset_device d[] = { dev(&nic, "flr"), dev(&gpu, ""), dev(&two, "pm"),
					 dev(&audio, "") };
	struct vfio_reset *r;

	(void)state;
	d[2].function_reset = true;
	resets.expected = 3;
	r = make(d, 4);
	assert_int_equal(vfio_reset_all(r, false), 0);
	assert_int_equal(resets.most, 3);
	assert_int_equal(resets.all, 3);
	assert_false(resets.missed);
	quiet_meanwhile();
	happened("gs", "gq sq gH ga sa");
	vfio_reset_free(r);
}

/* Two functions of one card: at once only if both have a function-level reset. */
static void test_one_bus(void **state)
{
	static const struct {
		const char *methods[2];
		unsigned most;
	} t[] = { { { "flr", "pm" }, 1 },
		  { { "device_specific", "flr" }, 1 },
		  { { "flr bus", "af_flr" }, 2 } };
	struct fake two = fake('t', "0000:02:00.1");
	struct vfio_reset *r;

	(void)state;
	two.function_reset = true;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		struct vfio_reset_device d[] = { dev(&nic, t[i].methods[0]),
						 dev(&two, t[i].methods[1]) };

		setup(NULL);
		resets.expected = t[i].most;
		r = make(d, 2);
		assert_int_equal(vfio_reset_all(r, false), 0);
		assert_int_equal(resets.most, t[i].most);
		assert_int_equal(resets.all, 2);
		quiet_meanwhile();
		vfio_reset_free(r);
	}
}

static void test_verdicts(void **state)
{
	struct vfio_reset_device d[] = { dev(&gpu, ""), dev(&nic, "flr") };
	struct vfio_reset *r = make(d, 2);
	char text[400];

	(void)state;
	assert_true(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "with its bus (2 functions)"));
	assert_true(vfio_reset_verdict(r, 1, text, sizeof(text)));
	assert_string_equal(text, "0000:02:00.0: resets by itself, by flr");
	vfio_reset_free(r);
	owned = 1 << 12;
	r = make(d, 1);
	assert_false(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "0000:01:00.0 cannot be reset"));
	assert_non_null(strstr(text, "0000:01:00.1, which is not given"));
	vfio_reset_all(r, false);
	assert_string_equal(story, "gq ga");
	story[0] = '\0';
	vfio_reset_free(r);
	/* Only power management is left: the same reason. */
	d[0].function_reset = true;
	d[0].methods = "pm bus";
	r = make(d, 1);
	assert_true(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "0000:01:00.1, which is not given"));
	vfio_reset_free(r);
	d[0].function_reset = false;
	/* On the root bus there is no bridge that could reset it. */
	gpu.hit_error = -ENODEV;
	story[0] = '\0';
	r = make(d, 1);
	assert_false(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "no port"));
	assert_non_null(strstr(text, "reboot"));
	vfio_reset_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_choices, setup),
		cmocka_unit_test_setup(test_methods, setup),
		cmocka_unit_test_setup(test_once, setup),
		cmocka_unit_test_setup(test_covered_function, setup),
		cmocka_unit_test_setup(test_spared, setup),
		cmocka_unit_test_setup(test_failures, setup),
		cmocka_unit_test_setup(test_at_once, setup),
		cmocka_unit_test_setup(test_one_bus, setup),
		cmocka_unit_test_setup(test_verdicts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
