/* SPDX-License-Identifier: BSD-2-Clause */
/* What a passed-through card causes when it has an error or the host wants it back. The slots are
 * this test's: it notes what they are asked for, and takes the steps that others would take. */
#include "tests/unit/card_fixture.h"
#include "tests/unit/holder.h"

#include "vmm/machine/card.h"

#define SECOND 1000000000ull

uint64_t __wrap_evloop_now_ns(void);
struct ev_timer *__wrap_evloop_add_timer(struct evloop *, void (*fn)(void *), void *arg);
void __wrap_evloop_del_timer(struct ev_timer *);
void __wrap_ev_timer_set(struct ev_timer *, uint64_t deadline_ns);

/* ---- time ---- */

static struct {
	uint64_t now, due;
	void (*fn)(void *);
	void *arg;
} timer;

uint64_t __wrap_evloop_now_ns(void)
{
	return timer.now;
}

struct ev_timer *__wrap_evloop_add_timer(struct evloop *l, void (*fn)(void *), void *arg)
{
	(void)l;
	assert_null(timer.fn);
	timer.fn = fn;
	timer.arg = arg;
	return (struct ev_timer *)&timer;
}

void __wrap_evloop_del_timer(struct ev_timer *t)
{
	assert_ptr_equal(t, &timer);
	timer.fn = NULL;
	timer.due = 0;
}

void __wrap_ev_timer_set(struct ev_timer *t, uint64_t deadline_ns)
{
	assert_ptr_equal(t, &timer);
	timer.due = deadline_ns;
}

static void pass(uint64_t ns)
{
	uint64_t end = timer.now + ns;

	while (timer.due && timer.due <= end) {
		timer.now = timer.due > timer.now ? timer.due : timer.now;
		timer.due = 0;
		timer.fn(timer.arg);
	}
	timer.now = end;
}

/* ---- slots ---- */

static struct {
	char text[400];
	bool refuses;	      /* the guest cannot be asked */
	bool back;	      /* what has left comes back */
	struct device *in[8]; /* what is in the slot, by function */
} slot;

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	size_t n = strlen(slot.text);
	va_list ap;

	va_start(ap, fmt);
	if (n)
		slot.text[n++] = ' ';
	vsnprintf(slot.text + n, sizeof(slot.text) - n, fmt, ap);
	va_end(ap);
}

static void happened(const char *want)
{
	assert_string_equal(slot.text, want);
	slot.text[0] = '\0';
}

static bool power_button(void *opaque)
{
	(void)opaque;
	note("button");
	return true;
}

static void on_stop(void *opaque, int status)
{
	(void)opaque;
	note("stop:%d", status);
}

static int on_unplug(void *opaque, const struct device *d, enum vfio_unplug how, struct error *err)
{
	static const char *const name[] = { "ask", "force", "replace" };

	(void)opaque;
	note("%s:%s", name[how], d->id);
	if (how == VFIO_UNPLUG_ASK)
		return slot.refuses ? error_set(err, -EBUSY, "it blinks") : 0;
	slot.back = how == VFIO_UNPLUG_REPLACE;
	for (unsigned i = 0; i < 8; i++)
		if (slot.in[i] && (slot.in[0] || slot.in[i] == d))
			machine_vfio_unplug(slot.in[i]);
	return 0;
}

static void on_event(void *opaque, const char *name, const char *id, const char *action)
{
	(void)opaque;
	assert_int_equal(strncmp(name, "X_MINIVMM_DEVICE_", 17), 0);
	note("%s:%s%s%s", name + 17, id, action ? ":" : "", action ? action : "");
}

static int setup_news(void **state)
{
	memset(&slot, 0, sizeof(slot));
	memset(&timer, 0, sizeof(timer));
	timer.now = 1000 * SECOND;
	news = (struct vfio_news){ .power_button = power_button,
				   .stop = on_stop,
				   .unplug = on_unplug,
				   .event = on_event };
	if (setup(state) < 0)
		return -1;
	((struct fixture *)*state)->port.dev.id = "hotplug0";
	return 0;
}

/* A device in the slot, with an id if the slot is hot-pluggable. */
static struct card_function *put(struct fixture *x, const char *arg, const char *id, unsigned fn)
{
	struct device *d = asked(x, arg);

	d->id = id;
	add(x, d);
	plug(x, d, fn);
	slot.in[fn] = d;
	return d->state;
}

static void close_all(void)
{
	for (unsigned i = 0; i < 8; i++) {
		if (slot.in[i])
			machine_vfio_remove(slot.in[i], slot.back);
		slot.in[i] = NULL;
	}
	slot.back = false;
}

static struct card_function *come_back(struct fixture *x, struct device *d, unsigned fn)
{
	slot.back = false;
	pass(SECOND);
	add(x, d);
	plug(x, d, fn);
	slot.in[fn] = d;
	return d->state;
}

static uint32_t vendor(struct fixture *x)
{
	return pci_cfg_read(&x->m.root, 1, 0, PCI_VENDOR_ID, 4);
}

/* ---- errors ---- */

static int on_bind(void *opaque, const char *bdf, bool bind, struct error *err)
{
	(void)opaque, (void)bdf, (void)err;
	if (!bind)
		note("restore");
	return 0;
}

static void test_error(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);
	struct device *d = f->device;

	assert_int_equal(vendor(x), 0x56781234);
	x->v->news.bind = on_bind;
	card_on_error(f, "nic");
	assert_int_equal(vendor(x), UINT32_MAX);
	assert_int_equal(pci_get16(dev[2].f.config, PCI_COMMAND), 0);
	happened("ERROR:nic:unplug replace:nic");
	card_on_error(f, "nic"); /* it has left */
	happened("");
	close_all();
	f = come_back(x, d, 0);
	happened("RECOVERED:nic");
	assert_int_equal(vendor(x), 0x56781234);
	/* Then somebody removes it and adds it again: the host has it meanwhile. */
	machine_vfio_unplug(d);
	close_all();
	happened("restore");
	come_back(x, d, 0);
	happened("");
}

/* A processor has the guest's configuration space, for as long as the kernel resets a device. */
static void test_busy(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);
	struct holder h = { .lock = &x->m.root.lock };

	holder_start(&h);
	card_on_error(f, "nic");
	pass(SECOND);
	happened("");
	assert_true(holder_stop(&h));
	pass(SECOND / 200);
	happened("ERROR:nic:unplug replace:nic");
	close_all();
	pass(100 * SECOND);
	happened("");
}

static void test_functions(void **state)
{
	struct fixture *x = *state;
	struct device *audio = put(x, "01:00.1", "audio", 1)->device;
	struct card_function *gpu = put(x, "01:00.0", "gpu", 0);
	struct device *d = gpu->device;

	card_on_error(audio->state, "audio");
	card_on_error(gpu, "gpu"); /* the same error */
	happened("ERROR:audio:unplug replace:audio");
	close_all();
	come_back(x, audio, 1);
	happened("");
	come_back(x, d, 0);
	happened("RECOVERED:gpu");
}

/* Two functions wait for function 0: only the one with the error leaves and comes back. */
static void test_waits(void **state)
{
	struct fixture *x = *state;
	struct device *gpu, *audio;

	x->v->news.bind = on_bind;
	gpu = put(x, "01:00.0", "gpu", 2)->device;
	audio = put(x, "01:00.1", "audio", 1)->device;
	card_on_error(audio->state, "audio");
	happened("ERROR:audio:unplug replace:audio");
	machine_vfio_remove(audio, true);
	happened("");
	come_back(x, audio, 1);
	happened("RECOVERED:audio");
	machine_vfio_unplug(gpu);
	machine_vfio_remove(gpu, false);
	happened("restore");
	slot.in[2] = NULL;
	machine_vfio_unplug(audio);
	close_all();
	happened("restore");
}

/* While a processor is busy: then what its own on-error= says, and not that of function 0. */
static void test_busy_functions(void **state)
{
	struct fixture *x = *state;
	struct card_function *audio = put(x, "01:00.1,on-error=unplug", "audio", 1);
	struct holder h = { .lock = &x->m.root.lock };

	put(x, "01:00.0,on-error=stop", "gpu", 0);
	holder_start(&h);
	card_on_error(audio, "audio");
	pass(SECOND);
	happened("");
	assert_true(holder_stop(&h));
	pass(SECOND / 200);
	happened("ERROR:audio:unplug replace:audio");
	close_all();
}

static void test_three_times(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);
	struct device *d = f->device;

	for (unsigned i = 0; i < 3; i++) {
		card_on_error(f, "nic");
		close_all();
		happened("ERROR:nic:unplug replace:nic");
		f = come_back(x, d, 0);
		happened("RECOVERED:nic");
	}
	card_on_error(f, "nic");
	close_all();
	happened("ERROR:nic:unplug force:nic");
	/* Somebody adds it by hand. Later the old errors are forgotten. */
	f = come_back(x, d, 0);
	happened("");
	pass(600 * SECOND);
	card_on_error(f, "nic");
	close_all();
	happened("ERROR:nic:unplug replace:nic");
}

static void test_policies(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0,on-error=report", "nic", 0);

	card_on_error(f, "nic");
	happened("ERROR:nic:report");
	assert_int_equal(vendor(x), 0x56781234);
	machine_vfio_unplug(f->device);
	close_all();
	f = put(x, "03:00.0,on-error=stop", "disk", 0);
	card_on_error(f, "disk");
	happened("ERROR:disk:stop stop:1");
	machine_vfio_unplug(f->device);
	close_all();
	/* A slot that is not hot-pluggable. */
	f = put(x, "01:00.0", NULL, 0);
	card_on_error(f, "gpu");
	happened("ERROR:0000:01:00.0:stop stop:1");
}

/* ---- requests ---- */

static void test_request(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);

	card_on_request(f, "nic");
	happened("ask:nic");
	card_on_request(f, "nic");
	pass(10 * SECOND);
	card_on_request(f, "nic");
	happened("");
	assert_int_equal(vendor(x), 0x56781234);
	pass(10 * SECOND);
	happened("force:nic");
	assert_int_equal(vendor(x), UINT32_MAX);
	card_on_request(f, "nic");
	close_all();
	pass(1000 * SECOND);
	happened("");
}

/* The guest lets it go, and it comes again before the time is over. */
static void test_lets_go(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);
	struct device *d = f->device;

	card_on_request(f, "nic");
	happened("ask:nic");
	pass(6 * SECOND);
	machine_vfio_unplug(f->device);
	close_all();
	come_back(x, d, 0);
	pass(100 * SECOND);
	happened("");
	assert_int_equal(vendor(x), 0x56781234);
}

/* It cannot be asked, having just been asked by somebody else; and a device that the host wants
 * does not come back after an error. */
static void test_cannot_ask(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", "nic", 0);

	slot.refuses = true;
	card_on_request(f, "nic");
	pass(20 * SECOND);
	happened("ask:nic force:nic");
	close_all();
	f = put(x, "03:00.0", "disk", 0);
	card_on_request(f, "disk");
	card_on_error(f, "disk");
	happened("ask:disk ERROR:disk:unplug force:disk");
	close_all();
	pass(100 * SECOND);
	happened("");
}

static void test_button(void **state)
{
	struct fixture *x = *state;
	struct card_function *f = put(x, "02:00.0", NULL, 0);

	card_on_request(f, "nic");
	happened("button");
	card_on_request(f, "nic");
	happened("stop:0");
}

int main(void)
{
#define N(fn) cmocka_unit_test_setup_teardown(fn, setup_news, teardown)
	const struct CMUnitTest tests[] = {
		N(test_waits),	   N(test_busy_functions), N(test_error),    N(test_busy),
		N(test_functions), N(test_three_times),	   N(test_policies), N(test_request),
		N(test_lets_go),   N(test_cannot_ask),	   N(test_button),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
