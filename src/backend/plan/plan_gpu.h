/* plan/plan_gpu.h: a device that runs nothing: programs can be recorded on it, to see what they would dispatch.
 *
 * Shared memory is real, for the host writes to it while recording; private memory and wrapped files are addresses
 * without bytes behind them that anyone would read.  No name of vmt_gpu_open() leads here. */
#ifndef VMT_BACKEND_PLAN_PLAN_GPU_H
#define VMT_BACKEND_PLAN_PLAN_GPU_H

#include "backend/gpu.h"

/* caps: of the device that is imagined; copied. */
vmt_status vmt_plan_gpu_open(vmt_gpu **out, const vmt_gpu_caps *caps, vmt_err *err);

#endif
