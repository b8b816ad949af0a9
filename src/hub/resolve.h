/* hub/resolve.h: from the MODEL argument to a path on this machine. */
#ifndef VMT_HUB_RESOLVE_H
#define VMT_HUB_RESOLVE_H

#include "hub/config.h"

/* Appends the path of a .gguf file or of a model's folder.  Tried in order:
 *   1. an existing file or folder of that name
 *   2. the default model under one of its names: from the cache, else fetched (see default_model.h)
 *   3. ORG/NAME in Hugging Face's cache: the snapshot that refs/main names, else the only one
 * The error says what was tried. */
vmt_status vmt_hub_resolve(const vmt_hub_config *config, vmt_str model, vmt_buf *path, vmt_err *err);

#endif
