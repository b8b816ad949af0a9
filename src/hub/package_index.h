/* hub/package_index.h: where a Python package index has a file (PEP 503 pages and their JSON form, PEP 691). */
#ifndef VMT_HUB_PACKAGE_INDEX_H
#define VMT_HUB_PACKAGE_INDEX_H

#include "hub/config.h"

/* Asks the index, and appends the file's absolute address to url.  label: what errors say could not be fetched. */
vmt_status vmt_package_index_find(const vmt_hub_config *config, const char *label, const char *project,
                                  const char *file, vmt_buf *url, vmt_err *err);

/* The address of file in a project page that was read from page_url: JSON or HTML, whichever it is.  false when the
 * page does not have it. */
bool vmt_package_index_scan(vmt_str page, const char *page_url, const char *file, vmt_buf *url);

#endif
