/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers of the xHCI specification, 1.2. The section is at each group. */
#ifndef DEVICES_USB_XHCI_SPEC_H
#define DEVICES_USB_XHCI_SPEC_H

#include <assert.h>
#include <stdint.h>

/* Operational registers, 5.4; offsets from their base. */
#define XHCI_USBCMD   0x00u
#define XHCI_USBSTS   0x04u
#define XHCI_PAGESIZE 0x08u
#define XHCI_DNCTRL   0x14u
#define XHCI_CRCR     0x18u
#define XHCI_DCBAAP   0x30u
#define XHCI_CONFIG   0x38u
#define XHCI_PORTS    0x400u

#define XHCI_CMD_RUN   (1u << 0)
#define XHCI_CMD_HCRST (1u << 1)
#define XHCI_CMD_INTE  (1u << 2)
#define XHCI_CMD_CSS   (1u << 8)
#define XHCI_CMD_CRS   (1u << 9)
#define XHCI_CMD_EWE   (1u << 10)
/* What reads back. */
#define XHCI_CMD_KEEPS 0x2c0du

#define XHCI_STS_HCH  (1u << 0)
#define XHCI_STS_EINT (1u << 3)
#define XHCI_STS_PCD  (1u << 4)
#define XHCI_STS_SRE  (1u << 10)
#define XHCI_STS_CNR  (1u << 11)
#define XHCI_STS_HCE  (1u << 12)
#define XHCI_STS_W1C  0x41cu

#define XHCI_CRCR_RCS 1u
#define XHCI_CRCR_CS  2u
#define XHCI_CRCR_CA  4u
#define XHCI_CRCR_CRR 8u

/* PORTSC, 5.4.8. */
#define XHCI_PORT_CCS	  (1u << 0)
#define XHCI_PORT_PED	  (1u << 1)
#define XHCI_PORT_PR	  (1u << 4)
#define XHCI_PORT_PLS	  (15u << 5)
#define XHCI_PORT_PP	  (1u << 9)
#define XHCI_PORT_SPEED	  (15u << 10)
#define XHCI_PORT_PIC	  (3u << 14)
#define XHCI_PORT_LWS	  (1u << 16)
#define XHCI_PORT_CSC	  (1u << 17)
#define XHCI_PORT_PEC	  (1u << 18)
#define XHCI_PORT_WRC	  (1u << 19)
#define XHCI_PORT_PRC	  (1u << 21)
#define XHCI_PORT_PLC	  (1u << 22)
#define XHCI_PORT_CHANGES 0xfe0000u
#define XHCI_PORT_WAKE	  (7u << 25)
#define XHCI_PORT_WPR	  (1u << 31)

enum xhci_pls {
	XHCI_PLS_U0 = 0,
	XHCI_PLS_U2 = 2,
	XHCI_PLS_U3 = 3,
	XHCI_PLS_DISABLED = 4,
	XHCI_PLS_RX_DETECT = 5,
	XHCI_PLS_POLLING = 7,
	XHCI_PLS_RESUME = 15,
};

/* Runtime registers, 5.5; offsets from those of interrupter 0. */
#define XHCI_IMAN   0x00u
#define XHCI_IMOD   0x04u
#define XHCI_ERSTSZ 0x08u
#define XHCI_ERSTBA 0x10u
#define XHCI_ERDP   0x18u

#define XHCI_IMAN_IP  1u
#define XHCI_IMAN_IE  2u
#define XHCI_ERDP_EHB 8u

/* A transfer request block, 6.4. Little-endian in guest memory. */
struct xhci_trb {
	uint64_t param;
	uint32_t status, control;
};
static_assert(sizeof(struct xhci_trb) == 16, "xHCI 1.2 6.4");

enum xhci_trb_type {
	XHCI_TRB_NORMAL = 1,
	XHCI_TRB_SETUP,
	XHCI_TRB_DATA,
	XHCI_TRB_STATUS,
	XHCI_TRB_ISOCH,
	XHCI_TRB_LINK,
	XHCI_TRB_EVENT_DATA,
	XHCI_TRB_NOOP,
	XHCI_TRB_ENABLE_SLOT,
	XHCI_TRB_DISABLE_SLOT,
	XHCI_TRB_ADDRESS,
	XHCI_TRB_CONFIGURE,
	XHCI_TRB_EVALUATE,
	XHCI_TRB_RESET_EP,
	XHCI_TRB_STOP_EP,
	XHCI_TRB_SET_DEQ,
	XHCI_TRB_RESET_DEV,
	XHCI_TRB_BANDWIDTH = 21,
	XHCI_TRB_NOOP_CMD = 23,
	XHCI_TRB_EV_TRANSFER = 32,
	XHCI_TRB_EV_COMMAND,
	XHCI_TRB_EV_PORT,
	XHCI_TRB_EV_HOST = 37,
};

#define XHCI_TRB_C     (1u << 0)
#define XHCI_TRB_TC    (1u << 1) /* Link: toggle cycle */
#define XHCI_TRB_ED    (1u << 2) /* event: made by an Event Data TRB */
#define XHCI_TRB_ISP   (1u << 2)
#define XHCI_TRB_CH    (1u << 4)
#define XHCI_TRB_IOC   (1u << 5)
#define XHCI_TRB_IDT   (1u << 6)
#define XHCI_TRB_BEI   (1u << 9)
#define XHCI_TRB_BSR   (1u << 9) /* Address Device: no SET_ADDRESS; Configure: deconfigure */
#define XHCI_TRB_TSP   (1u << 9) /* Reset Endpoint: transfer state preserve */
#define XHCI_TRB_IN    (1u << 16)
#define XHCI_TRB_LEN   0x1ffffu /* status */
#define XHCI_EV_LENGTH 0xffffffu

static inline unsigned xhci_trb_type(const struct xhci_trb *t)
{
	return t->control >> 10 & 63;
}

/* Completion codes, 6.4.5. */
enum xhci_cc {
	XHCI_CC_SUCCESS = 1,
	XHCI_CC_BABBLE = 3,
	XHCI_CC_TRANSACTION = 4,
	XHCI_CC_TRB = 5,
	XHCI_CC_STALL = 6,
	XHCI_CC_RESOURCE = 7,
	XHCI_CC_NO_SLOTS = 9,
	XHCI_CC_STREAM_TYPE = 10,
	XHCI_CC_SLOT_DISABLED = 11,
	XHCI_CC_EP_DISABLED = 12,
	XHCI_CC_SHORT = 13,
	XHCI_CC_UNDERRUN = 14,
	XHCI_CC_OVERRUN = 15,
	XHCI_CC_PARAMETER = 17,
	XHCI_CC_CONTEXT_STATE = 19,
	XHCI_CC_RING_FULL = 21,
	XHCI_CC_MISSED_SERVICE = 23,
	XHCI_CC_RING_STOPPED = 24,
	XHCI_CC_ABORTED = 25,
	XHCI_CC_STOPPED = 26,
	XHCI_CC_STOPPED_LENGTH = 27,
	XHCI_CC_STREAM_ID = 34,
};

/* Contexts, 6.2: 32 bytes. Word and shift. */
struct xhci_ctx {
	uint32_t w[8];
};
static_assert(sizeof(struct xhci_ctx) == 32, "xHCI 1.2 6.2");

enum xhci_slot_state {
	XHCI_SLOT_ENABLED,
	XHCI_SLOT_DEFAULT,
	XHCI_SLOT_ADDRESSED,
	XHCI_SLOT_CONFIGURED
};
enum xhci_ep_state {
	XHCI_EP_DISABLED,
	XHCI_EP_RUNNING,
	XHCI_EP_HALTED,
	XHCI_EP_STOPPED,
	XHCI_EP_ERROR
};
enum xhci_ep_type {
	XHCI_EP_ISO_OUT = 1,
	XHCI_EP_BULK_OUT,
	XHCI_EP_INT_OUT,
	XHCI_EP_CONTROL,
	XHCI_EP_ISO_IN,
	XHCI_EP_BULK_IN,
	XHCI_EP_INT_IN,
};

#endif
