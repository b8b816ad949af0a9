#ifndef VMT_BACKEND_TEST_KARGS_H
#define VMT_BACKEND_TEST_KARGS_H

#include <stdint.h>

typedef struct vmt_test_kargs {
    uint32_t num_rows;
    uint32_t fault; /* what a planted fault does is wrong only with 1 */
    float scale;
} vmt_test_kargs;

#endif
