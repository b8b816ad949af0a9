#include "http/h1.h"

#include <llhttp.h>
#include <stdlib.h>

void vmt_h1_head_init(vmt_h1_head *head, size_t bytes_max, size_t count_max) {
    *head = (vmt_h1_head){.count_max = count_max};
    vmt_buf_init(&head->raw, bytes_max);
}

void vmt_h1_head_reset(vmt_h1_head *head) {
    vmt_buf_free(&head->raw);
    free(head->headers);
    *head = (vmt_h1_head){.count_max = head->count_max, .raw.cap_max = head->raw.cap_max};
}

static vmt_h1_result refuse(vmt_h1_head *head, int status, const char *reason) {
    if (head->status == 0) {
        head->status = status;
        head->reason = reason;
    }
    return VMT_H1_REFUSED;
}

bool vmt_h1_is_token(vmt_str s) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == 0 || !strchr(others, c))) return false;
    }
    return s.len > 0;
}

vmt_str vmt_h1_head_get(const vmt_h1_head *head, vmt_str name) {
    for (size_t i = 0; i < head->num_headers; i++) {
        if (vmt_str_eq_nocase(head->headers[i].name, name)) return head->headers[i].value;
    }
    return (vmt_str){0};
}

/* ---- raw bytes up to the empty line */

/* Looks at one byte of the head; what is wrong with it, or NULL. */
static const char *scan_byte(vmt_h1_head *head, uint8_t c) {
    uint8_t prev = head->prev;
    head->prev = c;
    if (prev == '\r') {
        if (c != '\n') return "a CR in the head is not followed by LF";
        head->is_done = head->line_len == 0;
        head->line_len = 0;
        return NULL;
    }
    if (c == '\r') return NULL;
    if (c == '\n') return "a line of the head ends without CR";
    if ((c < 0x20 && c != '\t') || c == 0x7f) return "a control character in the head";
    if (head->line_len == 0 && (c == ' ' || c == '\t')) return "a folded header line";
    head->line_len++;
    return NULL;
}

size_t vmt_h1_skip_empty_lines(vmt_str in) {
    size_t i = 0;
    while (i < in.len && (in.ptr[i] == '\r' || in.ptr[i] == '\n')) i++;
    return i;
}

/* ---- llhttp */

static int on_method(llhttp_t *parser, const char *at, size_t len) {
    vmt_h1_head *head = parser->data;
    head->method = (vmt_str){at, len};
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    vmt_h1_head *head = parser->data;
    head->target = (vmt_str){at, len};
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len) {
    vmt_h1_head *head = parser->data;
    size_t need = head->num_headers + 1;
    if (need > head->count_max) {
        refuse(head, 431, "too many header fields");
        return HPE_USER;
    }
    if (vmt_array_grow((void **)&head->headers, &head->headers_cap, need, sizeof head->headers[0],
                       head->count_max)) {
        refuse(head, 503, "no memory for the request");
        return HPE_USER;
    }
    head->headers[head->num_headers++] = (vmt_h1_header){.name = {at, len}};
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len) {
    vmt_h1_head *head = parser->data;
    if (head->num_headers == 0) return HPE_USER;
    vmt_str *value = &head->headers[head->num_headers - 1].value;
    if (value->len == 0) {
        *value = (vmt_str){at, len};
    } else if (value->ptr + value->len == at) {
        value->len += len;
    } else if (len > 0) {
        return HPE_USER; /* two pieces of one value exist only in folded lines, which were refused */
    }
    return 0;
}

static int on_headers_complete(llhttp_t *parser) {
    return HPE_PAUSED; /* the body is ours: see chunked.h */
}

static const llhttp_settings_t parser_settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

/* ---- the request line */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* In place: a decoded path is never longer. */
static bool decode_path(vmt_str *path) {
    char *text = (char *)path->ptr;
    size_t len = 0;
    for (size_t i = 0; i < path->len; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '%') {
            int high = i + 2 < path->len ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < path->len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) return false;
        text[len++] = (char)c;
    }
    path->len = len;
    return true;
}

static bool has_dot_dot(vmt_str path) {
    size_t begin = 0;
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.ptr[i] != '/') continue;
        if (vmt_str_eq(vmt_str_slice(path, begin, i), VMT_STR(".."))) return true;
        begin = i + 1;
    }
    return false;
}

static bool starts_nocase(vmt_str s, vmt_str prefix) {
    return s.len >= prefix.len && vmt_str_eq_nocase(vmt_str_slice(s, 0, prefix.len), prefix);
}

static vmt_h1_result split_target(vmt_h1_head *head) {
    vmt_str rest = head->target;
    for (size_t i = 0; i < rest.len; i++) {
        uint8_t c = (uint8_t)rest.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            return refuse(head, 400, "a byte that the request target may not contain");
        }
    }
    bool is_absolute = starts_nocase(rest, VMT_STR("http://")) || starts_nocase(rest, VMT_STR("https://"));
    if (is_absolute) {
        size_t i = vmt_str_find(rest, VMT_STR("//"), 0) + 2;
        size_t authority = i;
        while (i < rest.len && rest.ptr[i] != '/' && rest.ptr[i] != '?') i++;
        if (i == authority) return refuse(head, 400, "the request target has no authority");
        rest = vmt_str_slice(rest, i, rest.len);
    }
    size_t mark = vmt_str_find(rest, VMT_STR("?"), 0);
    head->path = vmt_str_slice(rest, 0, VMT_MIN(mark, rest.len));
    head->query = mark < rest.len ? vmt_str_slice(rest, mark + 1, rest.len) : (vmt_str){0};
    if (is_absolute && head->path.len == 0) {
        head->path = VMT_STR("/");
        return VMT_H1_DONE;
    }
    bool is_star = vmt_str_eq(head->target, VMT_STR("*")) && vmt_str_eq(head->method, VMT_STR("OPTIONS"));
    if (!is_star && !vmt_str_starts(head->path, VMT_STR("/"))) {
        return refuse(head, 400, "the request target is not a path");
    }
    if (!decode_path(&head->path)) return refuse(head, 400, "a bad percent-escape in the path");
    if (has_dot_dot(head->path)) return refuse(head, 400, "the path has a '..' segment");
    return VMT_H1_DONE;
}

/* Exactly: method SP target SP HTTP/1.x CRLF.  llhttp itself allows more spaces. */
static vmt_h1_result check_request_line(vmt_h1_head *head, const llhttp_t *parser) {
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(head, 505, "the server speaks HTTP/1.0 and HTTP/1.1");
    head->minor = parser->http_minor;
    vmt_str raw = vmt_buf_str(&head->raw);
    vmt_str version = head->minor ? VMT_STR(" HTTP/1.1\r\n") : VMT_STR(" HTTP/1.0\r\n");
    size_t target_at = head->method.len + 1;
    size_t version_at = target_at + head->target.len;
    bool is_exact = head->method.ptr == raw.ptr && head->target.ptr == raw.ptr + target_at &&
                    head->target.len > 0 && vmt_str_starts(vmt_str_slice(raw, version_at, raw.len), version);
    if (!is_exact) return refuse(head, 400, "malformed request line");
    return split_target(head);
}

/* ---- header fields that frame the message */

static bool is_host(vmt_str value) {
    static const char others[] = "-._~!$&'()*+,;=:[]%";
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == 0 || !strchr(others, c))) return false;
    }
    return true;
}

static void read_connection(vmt_str value, bool *close, bool *keep) {
    size_t begin = 0;
    for (size_t i = 0; i <= value.len; i++) {
        if (i < value.len && value.ptr[i] != ',') continue;
        vmt_str option = vmt_str_trim(vmt_str_slice(value, begin, i));
        if (vmt_str_eq_nocase(option, VMT_STR("close"))) *close = true;
        if (vmt_str_eq_nocase(option, VMT_STR("keep-alive"))) *keep = true;
        begin = i + 1;
    }
}

static vmt_h1_result read_length(vmt_h1_head *head, vmt_str value) {
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return refuse(head, 400, "Content-Length is not a number");
    }
    if (head->has_length) return refuse(head, 400, "two Content-Length headers");
    if (!vmt_str_to_u64(value, &head->content_length)) return refuse(head, 400, "Content-Length is not a number");
    head->has_length = true;
    return VMT_H1_DONE;
}

static vmt_h1_result check_headers(vmt_h1_head *head) {
    uint32_t num_hosts = 0;
    bool close = false, keep = false;
    for (size_t i = 0; i < head->num_headers; i++) {
        vmt_h1_header *h = &head->headers[i];
        h->value = vmt_str_trim(h->value);
        if (!h->value.ptr) h->value.ptr = ""; /* present, but empty */
        if (!vmt_h1_is_token(h->name)) return refuse(head, 400, "a header name is not a token");
        if (vmt_str_eq_nocase(h->name, VMT_STR("host"))) {
            if (++num_hosts > 1) return refuse(head, 400, "two Host headers");
            if (!is_host(h->value)) return refuse(head, 400, "malformed Host header");
        } else if (vmt_str_eq_nocase(h->name, VMT_STR("content-length"))) {
            if (read_length(head, h->value) != VMT_H1_DONE) return VMT_H1_REFUSED;
        } else if (vmt_str_eq_nocase(h->name, VMT_STR("transfer-encoding"))) {
            if (head->is_chunked) return refuse(head, 400, "two Transfer-Encoding headers");
            if (!vmt_str_eq_nocase(h->value, VMT_STR("chunked"))) {
                return refuse(head, 400, "the only Transfer-Encoding known is 'chunked'");
            }
            head->is_chunked = true;
        } else if (vmt_str_eq_nocase(h->name, VMT_STR("connection"))) {
            read_connection(h->value, &close, &keep);
        } else if (vmt_str_eq_nocase(h->name, VMT_STR("expect"))) {
            if (!vmt_str_eq_nocase(h->value, VMT_STR("100-continue"))) {
                return refuse(head, 417, "the only expectation known is '100-continue'");
            }
            head->expects_continue = true;
        }
    }
    if (num_hosts == 0 && head->minor == 1) return refuse(head, 400, "HTTP/1.1 without a Host header");
    if (head->is_chunked && head->has_length) return refuse(head, 400, "Content-Length with Transfer-Encoding");
    if (head->is_chunked && head->minor == 0) return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
    head->keep_alive = !close && (head->minor == 1 || keep);
    return VMT_H1_DONE;
}

static vmt_h1_result parse(vmt_h1_head *head) {
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &parser_settings);
    parser.data = head;
    llhttp_errno_t code = llhttp_execute(&parser, head->raw.ptr, head->raw.len);
    if (head->status != 0) return VMT_H1_REFUSED;
    /* Paused by on_headers_complete, at the end of what was scanned: both agree on where the head ends. */
    bool is_whole = code == HPE_PAUSED && llhttp_get_error_pos(&parser) == head->raw.ptr + head->raw.len;
    if (!is_whole) return refuse(head, 400, "malformed request head");
    if (check_request_line(head, &parser) != VMT_H1_DONE) return VMT_H1_REFUSED;
    return check_headers(head);
}

vmt_h1_result vmt_h1_head_feed(vmt_h1_head *head, vmt_str in, size_t *used) {
    VMT_ASSERT(!head->is_done && head->status == 0);
    size_t i = 0;
    size_t room = head->raw.cap_max - head->raw.len;
    while (i < in.len && i < room && !head->is_done) {
        const char *fault = scan_byte(head, (uint8_t)in.ptr[i++]);
        if (fault) {
            *used = i;
            return refuse(head, 400, fault);
        }
    }
    *used = i;
    vmt_buf_append(&head->raw, vmt_str_slice(in, 0, i));
    if (head->raw.failed) return refuse(head, 503, "no memory for the request");
    if (head->is_done) return parse(head);
    if (i < in.len) return refuse(head, 431, "the request line and headers are too large");
    return VMT_H1_MORE;
}
