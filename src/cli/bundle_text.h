/* cli/bundle_text.h: the text half of a model: tokenizer, chat template, generation defaults, end-of-sequence ids. */
#ifndef VMT_CLI_BUNDLE_TEXT_H
#define VMT_CLI_BUNDLE_TEXT_H

#include "cli/bundle.h"

#define VMT_TOKENIZER_JSON_MAX ((size_t)256 << 20) /* bytes; the largest known one has 33 MB */
#define VMT_CONFIG_JSON_MAX    ((size_t)16 << 20)  /* bytes of config.json and its siblings */

vmt_status vmt_bundle_open_tokenizer(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
vmt_status vmt_bundle_open_template(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
vmt_status vmt_bundle_open_defaults(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
/* Appends DIR/NAME to buf if that file exists (false if not); fails only when it exists and can't be read. */
vmt_status vmt_bundle_read(const char *dir, const char *name, size_t bytes_max, vmt_buf *buf, bool *found,
                           vmt_err *err);

#endif
