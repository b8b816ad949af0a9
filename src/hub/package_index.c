#include "hub/package_index.h"
#include "hub/download.h"
#include "json/json.h"

#include <curl/curl.h>
#include <stdlib.h>

#define INDEX_DEFAULT "https://pypi.org/simple"
#define URL_BYTES_MAX ((size_t)8192)
/* Indexes that do not know the JSON form send HTML whatever is asked for. */
#define INDEX_ACCEPT "Accept: application/vnd.pypi.simple.v1+json, text/html;q=0.1"

/* Appends href as seen from base, without its fragment. */
static bool append_absolute(vmt_str href, const char *base, vmt_buf *url) {
    vmt_buf relative;
    vmt_buf_init(&relative, URL_BYTES_MAX);
    for (size_t i = 0; i < href.len && href.ptr[i] != '#'; i++) {
        vmt_buf_append_byte(&relative, href.ptr[i]);
        /* The one entity that addresses have use for. */
        if (vmt_str_starts(vmt_str_slice(href, i, href.len), VMT_STR("&amp;"))) i += 4;
    }
    CURLU *u = curl_url();
    char *text = NULL;
    bool good = u && relative.ptr && !relative.failed && !memchr(relative.ptr, 0, relative.len) &&
                curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
                curl_url_set(u, CURLUPART_URL, relative.ptr, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK;
    if (good) vmt_buf_append_c(url, text);
    curl_free(text);
    curl_url_cleanup(u);
    vmt_buf_free(&relative);
    return good;
}

static bool scan_json(vmt_json page, const char *page_url, const char *file, vmt_buf *url) {
    vmt_json_iter iter = vmt_json_iter_begin(VMT_JSON_AT(page, "files"));
    vmt_json entry;
    while (vmt_json_iter_next(&iter, NULL, &entry)) {
        vmt_str name, href;
        bool is_it = vmt_json_get_str(VMT_JSON_AT(entry, "filename"), &name) && vmt_str_eq_c(name, file) &&
                     vmt_json_get_str(VMT_JSON_AT(entry, "url"), &href);
        if (is_it) return append_absolute(href, page_url, url);
    }
    return false;
}

/* <a href="...">file</a>: the text of the anchor is the file's name, the order of attributes is free. */
static bool scan_html(vmt_str page, const char *page_url, const char *file, vmt_buf *url) {
    for (size_t at = vmt_str_find(page, VMT_STR("<a "), 0); at != SIZE_MAX;
         at = vmt_str_find(page, VMT_STR("<a "), at + 1)) {
        size_t open_end = vmt_str_find(page, VMT_STR(">"), at);
        size_t close = vmt_str_find(page, VMT_STR("</a>"), at);
        if (open_end == SIZE_MAX || close == SIZE_MAX || close < open_end) continue;
        vmt_str text = vmt_str_trim(vmt_str_slice(page, open_end + 1, close));
        if (!vmt_str_eq_c(text, file)) continue;
        vmt_str tag = vmt_str_slice(page, at, open_end);
        size_t begin = vmt_str_find(tag, VMT_STR("href=\""), 0);
        if (begin == SIZE_MAX) continue;
        begin += sizeof "href=\"" - 1;
        size_t end = vmt_str_find(tag, VMT_STR("\""), begin);
        if (end != SIZE_MAX) return append_absolute(vmt_str_slice(tag, begin, end), page_url, url);
    }
    return false;
}

bool vmt_package_index_scan(vmt_str page, const char *page_url, const char *file, vmt_buf *url) {
    vmt_str text = vmt_str_trim(page);
    if (!vmt_str_starts(text, VMT_STR("{"))) return scan_html(page, page_url, file, url);
    vmt_json_doc *doc = NULL;
    if (vmt_json_parse(&doc, text, NULL) != VMT_OK) return false;
    bool is_found = scan_json(vmt_json_root(doc), page_url, file, url);
    vmt_json_doc_destroy(doc);
    return is_found;
}

vmt_status vmt_package_index_find(const vmt_hub_config *config, const char *label, const char *project,
                                  const char *file, vmt_buf *url, vmt_err *err) {
    vmt_str base = vmt_str_from(config->index_url && config->index_url[0] ? config->index_url : INDEX_DEFAULT);
    while (vmt_str_ends(base, VMT_STR("/"))) base.len--;
    vmt_buf address, page, final_url;
    vmt_buf_init(&address, URL_BYTES_MAX);
    vmt_buf_init(&page, 0);
    vmt_buf_init(&final_url, URL_BYTES_MAX);
    vmt_buf_printf(&address, "%.*s/%s/", VMT_STR_ARG(base), project);
    vmt_status status = VMT_OK;
    if (address.failed) status = vmt_fail(err, VMT_E_INVALID, "the package index's address is too long");
    if (status == VMT_OK) {
        status = vmt_download_text(config, address.ptr, INDEX_ACCEPT, label, &page, &final_url, err);
    }
    const char *page_url = final_url.len ? final_url.ptr : address.ptr;
    if (status == VMT_OK && !vmt_package_index_scan(vmt_buf_str(&page), page_url, file, url)) {
        status =
            vmt_fail(err, VMT_E_NOT_FOUND, "cannot fetch %s: the package index does not list %s", label, file);
    }
    vmt_buf_free(&address);
    vmt_buf_free(&page);
    vmt_buf_free(&final_url);
    return status;
}
