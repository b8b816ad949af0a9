/* cli/doctor_checks.h: vmetal doctor --self-test. */
#ifndef VMT_CLI_DOCTOR_CHECKS_H
#define VMT_CLI_DOCTOR_CHECKS_H

#include "backend/gpu.h"

/* Checks a device's kernels and prints a line for each check.  device: "metal", "cuda", "host", or "auto": Metal on a
 * Mac, else the host driver.  The command's exit code: 1 if anything is wrong. */
int vmt_doctor_self_test(vmt_str device);
/* The same with a device that is open. */
int vmt_doctor_self_test_of(vmt_gpu *gpu);

#endif
