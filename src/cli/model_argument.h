/* cli/model_argument.h: MODEL, given as the positional argument, as --model, or not at all. */
#ifndef VMT_CLI_MODEL_ARGUMENT_H
#define VMT_CLI_MODEL_ARGUMENT_H

#include "cli/flags.h"

#define VMT_DEFAULT_MODEL "SmolLM2-135M-Instruct"

static inline vmt_str vmt_model_argument(vmt_flag_list positional, vmt_str flag) {
    if (positional.num > 0) return positional.items[0];
    return flag.len > 0 ? flag : VMT_STR(VMT_DEFAULT_MODEL);
}

#endif
