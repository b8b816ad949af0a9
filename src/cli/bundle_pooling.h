/* cli/bundle_pooling.h: is the model there to generate or to pool, and how is it pooled?
 *
 * Read in this order, later ones win: the model's own files (Sentence-Transformers' modules.json and
 * Pooling/config.json, config.json, a GGUF header's pooling_type), --hf-overrides, --pooler-config; --runner and
 * --convert have the last word. */
#ifndef VMT_CLI_BUNDLE_POOLING_H
#define VMT_CLI_BUNDLE_POOLING_H

#include "cli/bundle.h"

/* Fills bundle->pooling and says in bundle->config whether the head is needed.  After the text half is open. */
vmt_status vmt_bundle_open_pooling(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);

#endif
