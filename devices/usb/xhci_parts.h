/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the controller share.
 *
 *   xhci.c           PCI, the thread, and what it does in one turn
 *   xhci_regs.c      registers
 *   xhci_port.c      ports, and the devices in them
 *   xhci_cmd.c       the command ring; what a command does is in xhci_slot.c
 *   xhci_ctx.c       the contexts of slots, endpoints and streams
 *   xhci_ring.c      reads TRBs of the guest; transfer descriptors (TDs) become jobs
 *   xhci_transfer.c  jobs on their way: submitted, complete, cancelled
 *   xhci_report.c    the events that a job causes
 *   xhci_event.c     the event ring and the interrupt
 *
 * Threads: vCPUs only store what the guest writes into struct xhci_regs, under the lock of the PCI
 * device, and wake the controller's thread. Everything else belongs to that thread. It takes the
 * lock for moments, never while it reads or writes guest memory or calls a device.
 */
#ifndef DEVICES_USB_XHCI_PARTS_H
#define DEVICES_USB_XHCI_PARTS_H

#include "devices/pci/pci.h"
#include "devices/usb/xhci.h"
#include "devices/usb/xhci_spec.h"
#include "vmm/core/evloop.h"
#include "vmm/core/mem.h"

#define XHCI_SLOTS	 64u
#define XHCI_PSA_SIZE	 4u /* HCCPARAMS1: stream arrays have 2 to the power of this + 1 entries */
#define XHCI_ERST_MAX	 3u /* HCSPARAMS2: 2 to the power of this segments */
#define XHCI_TD_TRBS	 1024u
#define XHCI_TD_BYTES	 (4u << 20)
#define XHCI_TD_LINKS	 64u
#define XHCI_BYTES_MAX	 (16u << 20) /* in flight; what usbfs permits for the whole host */
#define XHCI_JOBS_MAX	 32u	     /* of an endpoint or stream */
#define XHCI_PACKETS_MAX 32u	     /* of one isochronous job */
#define XHCI_ISOCH_MAX	 128u	     /* packets of an isochronous endpoint */
#define XHCI_RETRY_NS	 10000000u
#define XHCI_TICK_NS	 1000000u
#define XHCI_HALT_TICKS	 10u   /* for cancelled jobs; a halt takes at most 16 ms (5.4.1.1) */
#define XHCI_PAUSE_TICKS 1000u /* the same while only the machine waits */

#define XHCI_OPER     0x0040u
#define XHCI_RUNTIME  0x1000u
#define XHCI_DOORBELL 0x2000u
#define XHCI_MSIX     0x3000u
#define XHCI_BAR_SIZE 0x8000u

struct xhci_pos {
	uint64_t addr;
	bool cycle;
};

/* A TRB of a job, as it was read. */
struct xhci_rec {
	uint64_t addr, param;
	uint32_t len; /* of the data that it describes */
	uint32_t control;
};

struct xhci_job {
	struct usb_xfer xfer;
	struct xhci_job *next;
	struct xhci_ep *ep;
	struct xhci_ring *ring;
	bool done;
	bool orphan;	     /* the controller has forgotten it, but the device has not */
	struct xhci_pos end; /* behind its last TRB */
	uint32_t skip;	     /* bytes of the first TRB that were transferred before a stop */
	uint32_t edtla;	     /* ... and of the TD before that, for Event Data (4.11.5.2) */
	uint64_t cost;	     /* its part of XHCI_BYTES_MAX */
	unsigned n_recs;
	struct iovec *iov;
	struct xhci_rec rec[];
};

struct xhci_ring {
	struct xhci_pos next; /* where to read */
	struct xhci_job *head, **tail;
	unsigned n_jobs;
	uint32_t skip, edtla; /* for the job that begins at `next` */
	bool stopped;	      /* that job was in progress, with so many bytes of its TRB left */
	uint32_t residue;
	bool loaded; /* of a stream: its context was read */
};

/* Why an endpoint has its jobs cancelled and reads no new ones. */
enum xhci_drain {
	XHCI_DRAIN_SELF = 1, /* an error, or a lack of memory */
	XHCI_DRAIN_CMD = 2,
	XHCI_DRAIN_HOLD = 4, /* the controller is halted, reset or paused */
	XHCI_DRAIN_PORT = 8, /* its port is reset */
};

struct xhci_ep {
	struct xhci_slot *slot;
	uint8_t dci, type, state;
	struct xhci_ctx ctx; /* as in the guest's memory */
	unsigned n_jobs, flights, packets;
	uint8_t drain; /* enum xhci_drain, a set */
	bool busy;     /* the host lacked memory */
	bool dry;      /* isochronous: the guest was told that there was no TD */
	unsigned n_rings;
	struct xhci_ring ring[]; /* [0], or one for each stream */
};

struct xhci_slot {
	struct xhci *x;
	bool enabled;
	uint8_t id, state, port;
	uint64_t ctx_addr;
	struct xhci_ctx ctx;
	struct xhci_ep *ep[32]; /* by device context index (DCI) */
	uint32_t kicked;	/* endpoints that may have TDs */
	uint32_t dirty;		/* endpoints whose jobs have completed */
};

enum xhci_socket_state { XHCI_EMPTY, XHCI_COMING, XHCI_HERE, XHCI_LEAVING };

/* A pair of ports. */
struct xhci_socket {
	struct xhci *x;
	struct usb_device *dev; /* under the lock */
	enum xhci_socket_state state;
	unsigned port; /* that shows it; 0: none */
	unsigned flights;
	bool resetting;
};

struct xhci_port {
	uint32_t portsc, pmsc, hlpmc;
	bool usb3;
};

/* Under the lock of the PCI device. */
struct xhci_regs {
	uint32_t usbcmd, usbsts, dnctrl, config;
	uint64_t crcr, dcbaap;
	bool crr, cr_command; /* cr_command: of the last write to CRCR, which was no pointer */
	uint32_t iman, imod, erstsz;
	uint64_t erstba, erdp, er_enqueue;
	bool ipe;  /* an interrupt is due */
	bool full; /* events wait for room in the guest's ring */
	uint64_t imod_until, started_ns;
	struct xhci_port port[2 * XHCI_PORTS_MAX + 1];
	/* What the guest has asked for, until the thread takes it. */
	uint64_t slots_rung;
	uint32_t bell[XHCI_SLOTS + 1];
	bool cmd_rung, cr_loaded, cr_stop, cr_abort, erst_loaded;
	bool reset; /* HCRST; the thread clears it when all is done */
	uint32_t port_reset, port_warm, port_event;
	/* What the machine has asked for. */
	bool master, paused, ended;
	bool frozen; /* the machine is about to be reset */
	bool quiet;  /* the thread does not touch guest memory */
};

struct xhci_cmd {
	struct xhci_trb trb;
	uint64_t addr;
	struct xhci_slot *slot;	 /* NULL: the command needs none, or its slot is not enabled */
	uint32_t drain;		 /* endpoints that must have nothing in flight */
	struct xhci_ctx control; /* input control context */
};

struct xhci_event {
	struct xhci_trb trb;
	bool silent; /* BEI */
};

struct xhci_queue {
	struct xhci_event *ev;
	unsigned first, n, size; /* size: a power of two */
};

struct xhci_segment {
	uint64_t addr;
	uint32_t size;
};

struct xhci {
	struct pci_device pci;
	const struct guest_mem *mem;
	struct guest_mem *mem_rw; /* the same */
	struct mem_last last_trb, last_event;
	unsigned n_sockets, n_ports;
	struct xhci_regs regs;
	struct xhci_socket socket[XHCI_PORTS_MAX];
	struct evloop *loop;
	struct ev_call call;
	struct ev_timer *timer;
	struct ev_source *wake_source;
	struct iothread *thread;
	int wake_fd;
	pthread_cond_t settled; /* `quiet` is set, or a socket is empty; with the lock */
	/* The thread's. */
	struct xhci_slot slot[XHCI_SLOTS + 1];
	uint64_t kicked, dirty; /* slots with such endpoints; bit 0: slot 1 */
	unsigned n_jobs;
	uint64_t cost;	   /* of all jobs, also of orphans */
	bool more;	   /* something has happened that the turn must look at */
	bool in_turn;	   /* completions need no wake-up */
	bool freed;	   /* a job is gone, and with it some of the host's memory */
	bool held;	   /* all endpoints are drained */
	unsigned ticks;	   /* that it waits for their jobs */
	uint64_t tick_ns;  /* when the next one ends; 0: it does not wait */
	uint64_t timer_ns; /* when the timer fires; 0: it is off */
	uint64_t retry_ns; /* when endpoints that are busy try again; 0: none is */
	struct xhci_pos cr;
	bool cmd_waits;
	struct xhci_cmd cmd;
	struct xhci_queue queue;
	struct xhci_segment seg[1u << XHCI_ERST_MAX];
	unsigned n_seg, er_seg, er_index;
	bool er_cycle, event_out;
	struct xhci_rec recs[XHCI_TD_TRBS];
	struct iovec iovs[2 * XHCI_TD_TRBS];
	struct log_limit limit;
};

static inline unsigned xhci_ep_address(const struct xhci_ep *e)
{
	return e->dci / 2u | (e->dci & 1u && e->dci != 1 ? 0x80u : 0);
}

static inline bool xhci_ep_is_isoch(const struct xhci_ep *e)
{
	return e->type == XHCI_EP_ISO_IN || e->type == XHCI_EP_ISO_OUT;
}

/* ---- xhci_base.c ---- */

/* Asks for a turn of the thread. Any thread. */
void xhci_wake(struct xhci *);
/* A guest error that cannot be reported otherwise: the controller stops (HCE, 4.24.1). */
void xhci_fail(struct xhci *, const char *why);
/* The device in a port; NULL: there is none, or it leaves. */
struct xhci_socket *xhci_port_socket(struct xhci *, unsigned port);

/* ---- xhci_regs.c; under the lock ---- */

extern const struct io_region_ops xhci_bar_ops;
void xhci_regs_reset(struct xhci *);

/* ---- xhci_port.c ---- */

void xhci_port_write(struct xhci *, unsigned port, uint32_t val); /* under the lock */
void xhci_ports_reset(struct xhci *);				  /* under the lock */
/* A set of change bits of a port. Under the lock. */
void xhci_port_change(struct xhci *, unsigned port, uint32_t bits);
/* All ports with change bits report them again. Under the lock. */
void xhci_ports_report(struct xhci *);
void xhci_sockets_work(struct xhci *);
void xhci_port_events(struct xhci *);

/* ---- xhci_event.c ---- */

void xhci_event_push(struct xhci *, const struct xhci_trb *, bool silent);
static inline bool xhci_events_wait(const struct xhci *x)
{
	return x->queue.n != 0;
}
void xhci_events_flush(struct xhci *);
void xhci_events_reset(struct xhci *);
/* The guest has changed ERDP, IMAN, IMOD or INTE. Under the lock. */
void xhci_erdp_write(struct xhci *, uint64_t val);
void xhci_intr_update(struct xhci *);
/* Raises what is due. Returns when to call it again; 0: not before something else happens. */
uint64_t xhci_intr_try(struct xhci *); /* under the lock */

/* ---- xhci_ring.c ---- */

/* Reads the next TD (or several isochronous ones), and makes a job. 1: *job; 0: there is no whole
 * TD; -ENOMEM; -EINVAL: what the guest has written is not valid; the ring stands before it. */
int xhci_job_fetch(struct xhci *, struct xhci_ep *, struct xhci_ring *, struct xhci_job **job);
void xhci_job_free(struct xhci_job *);
/* Reads a TRB at a position, and follows links. 1: *trb at *pos; 0: there is none. -EINVAL. */
int xhci_trb_next(struct xhci *, struct xhci_pos *pos, struct xhci_trb *trb, unsigned *links);
static inline struct xhci_pos xhci_rec_pos(const struct xhci_rec *r)
{
	return (struct xhci_pos){ r->addr, r->control & XHCI_TRB_C };
}

/* ---- xhci_report.c ---- */

/* The events of a job that is done without an error. */
void xhci_job_report(struct xhci *, struct xhci_job *);
/* Those of a job that failed: the last one has the code. */
void xhci_job_report_error(struct xhci *, struct xhci_job *, enum xhci_cc);
/* Those of the part of a cancelled job that is done. The ring will continue behind it. */
void xhci_job_report_part(struct xhci *, struct xhci_job *);
/* A transfer event that belongs to no TRB of a job. */
void xhci_ep_event(struct xhci_ep *, uint64_t addr, enum xhci_cc, uint32_t length);

/* ---- xhci_transfer.c ---- */

void xhci_ep_kick(struct xhci_ep *);
/* Takes the doorbells that the guest has rung: stopped endpoints run, halted ones do not. */
void xhci_bells_work(struct xhci *);
/* Cancels what is in flight, the newest first. When the endpoint has no jobs any more, its rings
 * stand at the first TRB that is not done. */
void xhci_ep_drain(struct xhci_ep *, enum xhci_drain);
void xhci_ep_undrain(struct xhci_ep *, enum xhci_drain);
/* A device does not end what was cancelled: its jobs count as cancelled. What they still transfer
 * does not reach guest memory; their TDs stay on the rings. */
void xhci_ep_abandon(struct xhci_ep *);
void xhci_eps_settle(struct xhci *);
void xhci_eps_pump(struct xhci *);
/* For usb_device.complete. */
void xhci_complete(struct usb_device *, struct usb_xfer *);
/* Calls fn for each endpoint of a slot, or of all slots. */
void xhci_slot_each(struct xhci_slot *, void (*fn)(struct xhci_ep *));
void xhci_each_ep(struct xhci *, void (*fn)(struct xhci_ep *));

/* ---- xhci_ctx.c ---- */

struct xhci_ep *xhci_ep_new(struct xhci_slot *, unsigned dci, const struct xhci_ctx *);
/* Nothing is in flight. */
void xhci_ep_free(struct xhci_slot *, unsigned dci);
void xhci_slot_free(struct xhci_slot *);
/* Write the output contexts. */
void xhci_slot_publish(struct xhci_slot *);
void xhci_ep_publish(struct xhci_ep *);
/* Sets and publishes the state. */
void xhci_ep_set_state(struct xhci_ep *, enum xhci_ep_state);
/* Input contexts: 0 is the control context, 1 the slot's, then by DCI + 1. */
int xhci_ctx_read(struct xhci *, uint64_t input, unsigned i, struct xhci_ctx *);
/* Reads the position of a stream (6.2.4.1). A completion code. */
enum xhci_cc xhci_stream_load(struct xhci_ep *, unsigned stream);

/* ---- xhci_cmd.c ---- */

void xhci_cmds_work(struct xhci *);
void xhci_cmds_reset(struct xhci *);
/* ---- xhci_slot.c: what a command does; nothing of its `drain` is in flight ---- */

/* The endpoints that a command needs idle. Reads the input control context. */
uint32_t xhci_cmd_drains(struct xhci *, struct xhci_cmd *);
/* *slot: the slot of the completion event. */
enum xhci_cc xhci_cmd_run(struct xhci *, struct xhci_cmd *, unsigned *slot);

#endif
