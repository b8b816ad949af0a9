/* cli/bundle_device.h: where a model runs: --device, --dtype, --kv-cache-dtype, and how much memory there is for it. */
#ifndef VMT_CLI_BUNDLE_DEVICE_H
#define VMT_CLI_BUNDLE_DEVICE_H

#include "cli/bundle.h"

/* Opens the device: bundle->gpu, or bundle->backend for the CPU.  `auto` is Metal on a Mac, if it can be had, else the
 * CPU.  A device that can't be had is one sentence that offers the CPU. */
vmt_status vmt_bundle_open_device(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
/* Opens the model on it. */
vmt_status vmt_bundle_open_model(vmt_bundle *bundle, const vmt_bundle_options *options,
                                 vmt_model_progress progress, vmt_err *err);
/* vmt_model_kv_create(); a GPU that lacks a kernel is one sentence that offers the CPU. */
vmt_status vmt_bundle_create_kv(vmt_bundle *bundle, const vmt_model_kv_options *kv, vmt_err *err);
/* Decides bundle->kv_dtype; after the model was opened. */
vmt_status vmt_bundle_choose_kv_dtype(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
/* How much the KV cache may take: what was asked for, or what is left of the device's memory after weights and scratch.
 * least: bytes of the smallest cache.  VMT_E_EXHAUSTED says by how much a GPU is too small, and what would fit. */
vmt_status vmt_bundle_kv_budget(const vmt_bundle *bundle, const vmt_bundle_options *options, uint64_t least,
                                uint64_t *out, vmt_err *err);
uint64_t vmt_bundle_step_timeout_ns(const vmt_bundle *bundle, const vmt_bundle_options *options);

#endif
