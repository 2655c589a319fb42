/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers of BAR 0 of QEMU's edu device (QEMU, docs/specs/edu). */
#ifndef VMM_BENCH_EDU_H
#define VMM_BENCH_EDU_H

#define EDU_ID	    0x00
#define EDU_RAISE   0x60
#define EDU_ACK	    0x64
#define EDU_DMA_SRC 0x80
#define EDU_DMA_DST 0x88
#define EDU_DMA_LEN 0x90
#define EDU_DMA_CMD 0x98
#define DMA_START   1u
#define DMA_TO_RAM  2u
#define DMA_IRQ	    4u
#define DMA_BUFFER  0x40000u
#define DMA_DONE    0x100u /* bit of the interrupt status: the DMA has ended */

#endif
