#include "backend/cuda/spread.h"
#include "base/status.h"

#define UNIT 256u /* bytes that threadgroup memory is given out by */

uint32_t vmt_cuda_spread_bytes(vmt_cuda_shared shared, uint64_t num_groups, uint32_t num_cores, uint32_t own) {
    VMT_ASSERT(own <= shared.group && num_cores > 0);
    uint64_t share = num_groups / num_cores + (num_groups % num_cores != 0),
             used = (uint64_t)own + shared.reserved;
    if (share == 0 || shared.core / share <= used) return 0;
    uint64_t bytes = VMT_MIN(shared.core / share - used, shared.group - own);
    return (uint32_t)(bytes / UNIT * UNIT);
}
