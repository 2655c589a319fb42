/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of QMP, a row each. Threads: the main loop's. */
#ifndef VMM_CONTROL_QMP_COMMANDS_H
#define VMM_CONTROL_QMP_COMMANDS_H

#include "vmm/control/qmp.h"

/* Version of QEMU whose interface this is. */
#define QMP_QEMU_MAJOR 11
#define QMP_QEMU_MINOR 1

struct qmp_call {
	const struct qmp_machine *machine;
	const char *command; /* its name; qmp_execute() sets both */
	const json_t *args;  /* an object; NULL: none */
	bool negotiated;     /* by this client; qmp_capabilities sets it */
	uint64_t ticket;     /* of this request */
};

struct qmp_command {
	const char *name;
	/* A new reference; NULL with *err. The error's code chooses the class: -ENOSYS
	 * CommandNotFound, -ENODEV DeviceNotFound, others GenericError. -EINPROGRESS: it is
	 * answered later. */
	json_t *(*run)(struct qmp_call *, struct error *);
	/* The names it takes, with a blank behind each; NULL: none; "*": any. */
	const char *args;
	bool waits_quiet; /* answered when the machine is quiet */
};

/* Ends with a row without a name. */
extern const struct qmp_command qmp_commands[];

/* Runs a request, the object {"execute": ..., "arguments": ...}. As qmp_command's run(). *command:
 * which one it was, NULL: none. */
json_t *qmp_execute(struct qmp_call *, const json_t *request, const struct qmp_command **command,
		    struct error *);
/* {"qemu": {...}, "package": ...} */
json_t *qmp_version(void);

#endif
